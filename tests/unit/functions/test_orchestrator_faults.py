"""Whatever single call fails, and wherever the function dies, the backup comes to the same end.

AWS Lambda tries an event three times, with the same request id. Each story below has one invocation that something
happens to; the number of its calls is counted first, then each of them is the one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.unit.functions.cloud import Calls, Cloud, Died, no_waiting

Event = dict[str, Any]

PUBLISH = "sns:Publish"


@dataclass(frozen=True)
class Story:
    """``before`` leads to the event that something happens to; ``after`` leads to the end of everything.

    ``mails`` are the statuses of the mails, in any order.
    """

    name: str
    before: Callable[[Cloud], Event]
    after: Callable[[Cloud], None]
    mails: tuple[str, ...]


def start(cloud: Cloud) -> Event:
    return cloud.start_event(1)


def succeed(cloud: Cloud) -> None:
    cloud.run_to_success()


def nothing(cloud: Cloud) -> None:
    pass


def start_on_expired_lease(cloud: Cloud) -> Event:
    cloud.invoke(cloud.start_event(1))
    cloud.scale_in()
    cloud.advance(hours=24)
    return cloud.start_event(2)


def start_on_live_lease(cloud: Cloud) -> Event:
    cloud.invoke(cloud.start_event(1))
    cloud.launch()
    cloud.advance(minutes=5)
    return cloud.start_event(2)


def succeed_with_the_instance_that_is_there(cloud: Cloud) -> None:
    (instance,) = cloud.instances
    backup = cloud.claim(instance)
    assert backup is not None
    cloud.record(backup, "Success")
    cloud.scale_in()
    cloud.gone(instance)
    cloud.invoke(cloud.terminated(instance))


def end_of_a_success(cloud: Cloud) -> Event:
    cloud.invoke(cloud.start_event(1))
    instance = cloud.launch()
    backup = cloud.claim(instance)
    assert backup is not None
    cloud.record(backup, "Success")
    cloud.scale_in()
    cloud.gone(instance)
    return cloud.terminated(instance)


def stop_of_a_running_backup(cloud: Cloud) -> Event:
    cloud.invoke(cloud.start_event(1))
    cloud.claim(cloud.launch())
    cloud.advance(minutes=170)
    return cloud.stop_event()


def drain(cloud: Cloud) -> None:
    (instance,) = cloud.instances
    assert cloud.desired == 0
    assert cloud.lease is not None
    cloud.record(cloud.lease["RunningBackupId"], "Incomplete")
    cloud.gone(instance)
    cloud.invoke(cloud.terminated(instance))


def stop_without_an_instance(cloud: Cloud) -> Event:
    cloud.invoke(cloud.start_event(1))
    cloud.advance(minutes=170)
    return cloud.stop_event()


def last_failed_launch(cloud: Cloud) -> Event:
    cloud.invoke(cloud.start_event(1))
    cloud.invoke(cloud.launch_failed())
    cloud.advance(minutes=15)
    return cloud.launch_failed()


def check_after_an_end(cloud: Cloud) -> Event:
    end_of_a_success(cloud)
    return cloud.CHECK


def check_of_a_lost_stop(cloud: Cloud) -> Event:
    stop_of_a_running_backup(cloud)
    return cloud.CHECK


STORIES = [
    Story("start", start, succeed, ("Success",)),
    Story("start on an expired lease", start_on_expired_lease, succeed, ("Unknown", "Success")),
    Story(
        "start on a live lease", start_on_live_lease, succeed_with_the_instance_that_is_there, ("Skipped", "Success")
    ),
    Story("end of a success", end_of_a_success, nothing, ("Success",)),
    Story("stop of a running backup", stop_of_a_running_backup, drain, ("Incomplete",)),
    Story("stop without an instance", stop_without_an_instance, nothing, ("Unknown",)),
    Story("last failed launch", last_failed_launch, nothing, ("Unsuccessful",)),
    Story("check after an end", check_after_an_end, nothing, ("Success",)),
    Story("check of a lost stop", check_of_a_lost_stop, drain, ("Incomplete",)),
]

MakeCloud = Callable[..., Cloud]


def calls_of(story: Story, make_cloud: MakeCloud) -> list[str]:
    """The calls of the invocation that something will happen to, when nothing does."""
    cloud = make_cloud()
    event = story.before(cloud)
    cloud.calls = Calls()
    cloud.invoke(event)
    return cloud.calls.made


def tell(story: Story, cloud: Cloud, calls: Calls) -> None:
    """Tell the story with these calls going wrong, to its end."""
    event = story.before(cloud)
    cloud.calls = calls
    cloud.invoke_until_done(event)
    story.after(cloud)


def statuses(cloud: Cloud) -> list[str]:
    return sorted(subject.removeprefix("EFS backup ").split(":")[0] for subject, _ in cloud.mails)


def assert_mails(story: Story, cloud: Cloud, may_repeat: bool, what: str) -> None:
    """Every mail came, and none twice.

    The mail and the note that it went out are two calls. Where the function is cut off between them, the one that comes
    after cannot know, and sends it again rather than not at all.
    """
    mails = statuses(cloud)
    assert sorted(set(mails)) == sorted(story.mails), what
    assert len(mails) - len(story.mails) in ((0, 1) if may_repeat else (0,)), what
    cloud.assert_clean()


@pytest.mark.parametrize("story", [STORIES[0], STORIES[3]], ids=lambda s: s.name)
def test_a_single_error_500_changes_nothing(
    story: Story, make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, call in enumerate(calls_of(story, make_cloud), start=1):
        cloud, calls = make_cloud(), Calls(fail=(number, 500))
        with no_waiting(monkeypatch):
            tell(story, cloud, calls)
        assert calls.times == 0, f"{call} was not made to fail"
        assert_mails(story, cloud, False, f"after an error 500 of {call}")


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)
def test_a_call_that_is_throttled_until_the_function_is_tried_again(
    story: Story, make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = calls_of(story, make_cloud)
    for number, call in enumerate(made, start=1):
        cloud, calls = make_cloud(), Calls(fail=(number, 400), times=20)
        with no_waiting(monkeypatch):
            tell(story, cloud, calls)
        assert calls.times < 20, f"{call} was not made to fail"
        assert_mails(story, cloud, made[number - 2] == PUBLISH, f"after throttling of {call}")


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)
def test_a_function_that_dies_after_any_call_is_completed_when_tried_again(story: Story, make_cloud: MakeCloud) -> None:
    for number, call in enumerate(calls_of(story, make_cloud), start=1):
        cloud = make_cloud()
        tell(story, cloud, Calls(die_after=number))
        assert_mails(story, cloud, call == PUBLISH, f"after death behind {call}")


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)
def test_a_function_that_dies_for_good_is_made_up_for_by_the_next_hour_and_night(
    story: Story, make_cloud: MakeCloud
) -> None:
    for number, call in enumerate(calls_of(story, make_cloud), start=1):
        cloud = make_cloud()
        event = story.before(cloud)
        cloud.calls = Calls(die_after=number)
        with pytest.raises(Died):
            cloud.invoke(event)
        cloud.calls = Calls()
        for instance in cloud.instances:
            cloud.gone(instance)
        cloud.advance(hours=24)
        cloud.invoke(cloud.start_event(99))
        cloud.run_to_success()
        cloud.invoke(cloud.CHECK)
        for backup, item in cloud.items.items():
            assert item.get("BackupStatus"), f"{backup} has no status after death behind {call}"
            assert cloud.mails_about(backup), f"no mail about {backup} after death behind {call}"
        cloud.assert_clean()
