"""Two invocations at once: whatever the second does between any two calls of the first, the end is the same.

Each fourth place is tried, every one with the deep profile; which ones is another for each pair of events.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.functions.cloud import Calls, Cloud
from tests.unit.functions.test_orchestrator_faults import (
    check_after_an_end,
    end_of_a_success,
    last_failed_launch,
    start_on_expired_lease,
    start_on_live_lease,
    stop_of_a_running_backup,
    stop_without_an_instance,
)

STRIDE = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 4
Event = dict[str, Any]
Begin = Callable[[Cloud], Event]


def first_start(cloud: Cloud) -> Event:
    return cloud.start_event(1)


def stop_of_nothing(cloud: Cloud) -> Event:
    return {"mode": "backup", "action": "stop"}


def start_that_comes_again_after_its_end(cloud: Cloud) -> Event:
    event = cloud.start_event(1)
    cloud.invoke(event)
    cloud.run_to_success()
    cloud.advance(minutes=1)
    return event


def the_same(cloud: Cloud, event: Event) -> Event:
    return event


def another_start(cloud: Cloud, event: Event) -> Event:
    return cloud.start_event(77)


def a_stop(cloud: Cloud, event: Event) -> Event:
    return {"mode": "backup", "action": "stop"}


def an_end(cloud: Cloud, event: Event) -> Event:
    return cloud.terminated("i-0123456789abcdef0")


def a_check(cloud: Cloud, event: Event) -> Event:
    return cloud.CHECK


def check_of_nothing(cloud: Cloud) -> Event:
    return cloud.CHECK


def to_the_end(cloud: Cloud) -> None:
    """The group obeys, the stop rule fires as long as it is there, and then there is one more night."""
    for _ in range(4):
        if cloud.desired == 1 and not cloud.instances:
            cloud.claim(cloud.launch())
        if cloud.rule:
            cloud.advance(hours=3)
            cloud.invoke(cloud.stop_event())
        for instance in cloud.instances:
            if cloud.desired == 0:
                cloud.gone(instance)
                cloud.invoke(cloud.terminated(instance))
    cloud.advance(hours=24)
    cloud.invoke(cloud.start_event())
    cloud.run_to_success()


def overlap(cloud: Cloud, event: Event, number: int, meanwhile: Event) -> None:
    """Handle an event, and another one after that many calls; AWS Lambda tries again what ends in an error."""
    failed: list[Event] = []

    def second() -> None:
        try:
            cloud.invoke_meanwhile(meanwhile)
        except RuntimeError:  # what a function raises that wants to be tried again
            failed.append(meanwhile)

    cloud.calls = Calls(between=(number, second))
    cloud.invoke_until_done(event)
    cloud.calls = Calls()
    cloud.advance(minutes=1)
    for late in failed:
        cloud.invoke_until_done(late)


@pytest.mark.parametrize("second", [the_same, another_start, a_stop, an_end, a_check], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "first",
    [
        first_start,
        start_on_expired_lease,
        start_on_live_lease,
        end_of_a_success,
        check_after_an_end,
        check_of_nothing,
        stop_of_a_running_backup,
        stop_without_an_instance,
        last_failed_launch,
        stop_of_nothing,
        start_that_comes_again_after_its_end,
    ],
    ids=lambda f: f.__name__,
)
def test_a_second_invocation_between_any_two_calls(
    make_cloud: Callable[..., Cloud], first: Begin, second: Callable[[Cloud, Event], Event]
) -> None:
    cloud = make_cloud()
    event = first(cloud)
    cloud.calls = Calls()
    cloud.invoke(event)
    calls = list(enumerate(cloud.calls.made, start=1))
    offset = zlib.crc32(f"{first.__name__} {second.__name__}".encode()) % STRIDE
    for number, call in calls[offset::STRIDE] or calls:
        cloud = make_cloud()
        event = first(cloud)
        meanwhile = second(cloud, event)
        overlap(cloud, event, number, meanwhile)
        assert len([item for item in cloud.items.values() if "BackupStatus" not in item]) <= 1
        if cloud.lease and "StopRequested" not in cloud.lease:
            assert cloud.rule, f"a backup runs without a stop rule: {second.__name__} after {call}"
        to_the_end(cloud)
        cloud.assert_clean()
        for backup in cloud.items:
            assert len(cloud.mails_about(backup)) == 1, f"{backup}: {second.__name__} after {call}"


def claim_the_end(cloud: Cloud) -> None:
    """Another invocation takes the right to end the backup that holds the lease, and is not done yet."""
    claim = {"EndClaim": {"S": "another"}, "EndClaimedAt": {"N": str(int(cloud.now.timestamp()))}}
    cloud._update("@running", **claim)


def test_a_start_does_not_take_over_what_another_invocation_is_ending(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    event = start_on_expired_lease(cloud)
    old = cloud.lease
    assert old is not None
    cloud.calls = Calls(between=(3, lambda: claim_the_end(cloud)))  # after it has looked at lease, item and group

    outcome = cloud.invoke_until_done(event)

    assert outcome["action"] == "refuse"
    assert cloud.lease is not None
    assert cloud.lease["RunningBackupId"] == old["RunningBackupId"]


def test_a_start_whose_end_has_begun_leaves_no_capacity(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    cloud.calls = Calls(between=(4, lambda: claim_the_end(cloud)))  # after capacity 1

    cloud.invoke(cloud.start_event(1))

    assert cloud.desired == 0
    assert cloud.lease is not None
    assert "Started" not in cloud.lease
