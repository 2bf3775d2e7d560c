"""A backup ends: by itself, by the stop rule, by the loss of its instance, or because it never got one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.unit.functions.cloud import Cloud, client

from orchestrator.events import InvalidEventError


@pytest.fixture
def running(cloud: Cloud) -> tuple[str, str]:
    """A backup that runs on an instance: the ids of both."""
    cloud.invoke(cloud.start_event())
    instance = cloud.launch()
    backup = cloud.claim(instance)
    assert backup is not None
    return backup, instance


def test_a_success_is_mailed_once_and_leaves_nothing_behind(cloud: Cloud, running: tuple[str, str]) -> None:
    backup, instance = running
    cloud.record(backup, "Success", NumberOfFiles={"N": "1234"}, TotalFileSize={"N": "1610612736"})
    cloud.scale_in()
    cloud.gone(instance)

    cloud.invoke(cloud.terminated(instance))
    cloud.invoke(cloud.terminated(instance))

    ((subject, message),) = cloud.mails
    assert subject == f"EFS backup Success: {backup} of nightly"
    assert "1,234" in message
    assert "1.5 GiB" in message
    assert cloud.items[backup]["BackupStatus"] == "Success"
    cloud.assert_clean()


def test_a_success_is_not_mailed_if_nobody_asked(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(SUCCESS_NOTIFICATION="No")
    cloud.invoke(cloud.start_event())

    cloud.run_to_success()

    assert cloud.mails == []
    cloud.assert_clean()


@pytest.mark.parametrize(
    "status", ["Incomplete", "Unsuccessful", "fpsync failed", "Rsync Delete Incomplete", "Unknown", "Something New"]
)
def test_a_failure_is_mailed_whatever_was_asked(make_cloud: Callable[..., Cloud], status: str) -> None:
    cloud = make_cloud(SUCCESS_NOTIFICATION="No")
    cloud.invoke(cloud.start_event())
    instance = cloud.launch()
    backup = cloud.claim(instance)
    assert backup is not None
    cloud.record(backup, status)
    cloud.scale_in()
    cloud.gone(instance)

    cloud.invoke(cloud.terminated(instance))

    assert cloud.mails_about(backup) == [f"EFS backup {status}: {backup} of nightly"]
    cloud.assert_clean()


def test_the_stop_rule_empties_the_group_and_looks_again(cloud: Cloud, running: tuple[str, str]) -> None:
    backup, instance = running
    cloud.advance(minutes=170)

    outcome = cloud.invoke(cloud.stop_event())

    assert outcome["action"] == "empty"
    assert cloud.desired == 0
    assert cloud.lease is not None
    assert cloud.lease["StopRequested"] is True
    assert cloud.rule == "cron(7 5 23 11 ? 2026)", "after 10 minutes of drain, 5 for the hook, and 2"
    assert cloud.mails == []

    cloud.record(backup, "Incomplete")
    cloud.gone(instance)
    cloud.invoke(cloud.terminated(instance))

    ((subject, message),) = cloud.mails
    assert subject.startswith("EFS backup Incomplete: ")
    assert (
        "The EFS backup was incomplete. Either backup window expired before full backup or fpsync process was not"
        " completed." in message
    )
    cloud.assert_clean()


def test_a_stopped_instance_that_nobody_tells_of_is_found_by_the_stop_rule(
    cloud: Cloud, running: tuple[str, str]
) -> None:
    backup, instance = running
    cloud.advance(minutes=170)
    stop = cloud.stop_event()
    cloud.invoke(stop)
    cloud.gone(instance)
    cloud.advance(minutes=17)

    cloud.invoke(stop)

    assert cloud.mails_about(backup) == [f"EFS backup Unknown: {backup} of nightly"]
    cloud.assert_clean()


def test_a_stop_for_another_backup_is_ignored(cloud: Cloud, running: tuple[str, str]) -> None:
    stop = {"mode": "backup", "action": "stop", "backup_id": "daily-20261122T020000Z-00000000"}

    outcome = cloud.invoke(stop)

    assert outcome["action"] == "leave"
    assert cloud.desired == 1
    assert cloud.rule is not None


def test_a_stop_when_nothing_runs_removes_the_rule(cloud: Cloud) -> None:
    client("events").put_rule(Name=cloud.stop_rule, ScheduleExpression="cron(0 5 23 11 ? 2026)")

    outcome = cloud.invoke({"mode": "backup", "action": "stop", "backup_id": "daily-x"})

    assert outcome["action"] == "tidy"
    cloud.assert_clean()


def test_a_person_can_stop_what_runs(cloud: Cloud, running: tuple[str, str]) -> None:
    cloud.invoke({"mode": "backup", "action": "stop"})

    assert cloud.desired == 0


def test_a_backup_that_never_got_an_instance_is_unknown_when_its_window_ends(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())
    (backup,) = cloud.items
    cloud.advance(minutes=170)

    cloud.invoke(cloud.stop_event())

    assert cloud.mails_about(backup) == [f"EFS backup Unknown: {backup} of nightly"]
    assert cloud.items[backup]["BackupStopTime"] == "2026-11-23T04:50:00"
    cloud.assert_clean()


def test_a_killed_instance_is_replaced_and_the_backup_goes_on(cloud: Cloud, running: tuple[str, str]) -> None:
    backup, instance = running
    cloud.gone(instance)

    outcome = cloud.invoke(cloud.terminated(instance))

    assert outcome == {"action": "leave", "reason": "the group has no instance and gets one"}
    assert cloud.run_to_success() == backup
    assert cloud.mails_about(backup) == [f"EFS backup Success: {backup} of nightly"]
    cloud.assert_clean()


def test_an_instance_killed_at_the_end_of_the_window_is_not_waited_for(cloud: Cloud, running: tuple[str, str]) -> None:
    backup, instance = running
    cloud.advance(minutes=171)
    cloud.gone(instance)

    cloud.invoke(cloud.terminated(instance))

    assert cloud.mails_about(backup) == [f"EFS backup Unknown: {backup} of nightly"]
    cloud.assert_clean()


def test_a_late_event_of_an_earlier_instance_ends_nothing(cloud: Cloud, running: tuple[str, str]) -> None:
    outcome = cloud.invoke(cloud.terminated("i-0123456789abcdef0"))

    assert outcome["action"] == "leave"
    assert cloud.desired == 1
    assert cloud.lease is not None


def test_what_the_instance_says_of_its_failure_is_in_the_mail(cloud: Cloud, running: tuple[str, str]) -> None:
    backup, instance = running
    cloud._update("@running", Reason={"S": "The agent that the instance fetched has another checksum."})
    cloud.record(backup, "Unsuccessful")
    cloud.scale_in()
    cloud.gone(instance)

    cloud.invoke(cloud.terminated(instance))

    assert "another checksum" in cloud.mails[0][1]


def test_launches_that_fail_for_15_minutes_end_the_backup_with_one_mail(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())
    (backup,) = cloud.items

    outcomes = []
    for _ in range(5):
        outcomes.append(cloud.invoke(cloud.launch_failed())["action"])
        cloud.advance(minutes=5)

    assert outcomes == ["note failure", "note failure", "note failure", "give up", "tidy"]
    ((subject, message),) = cloud.mails
    assert subject == f"EFS backup Unsuccessful: {backup} of nightly"
    assert "We have no capacity." in message
    cloud.assert_clean()


def test_a_launch_that_fails_once_is_no_failure(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())
    cloud.invoke(cloud.launch_failed())

    backup = cloud.run_to_success()

    assert cloud.mails_about(backup) == [f"EFS backup Success: {backup} of nightly"]
    cloud.assert_clean()


def test_the_instance_that_is_to_go_is_told_to_drain(cloud: Cloud, running: tuple[str, str]) -> None:
    _, instance = running
    cloud.calls.parameters.clear()

    outcome = cloud.invoke(cloud.terminating(instance))

    assert outcome["action"] == "empty"
    ((call, sent),) = cloud.calls.parameters
    assert call == "ssm:SendCommand"
    assert sent["InstanceIds"] == [instance]
    assert sent["DocumentName"] == "AWS-RunShellScript"
    assert (sent["OutputS3BucketName"], sent["OutputS3KeyPrefix"]) == ("the-log-bucket", "ssm-logs")
    (command,) = sent["Parameters"]["commands"]
    assert f"/opt/efs-backup/ssm.sh efs-backup-drain {cloud.group} {instance} " in command


def test_the_data_about_a_backup_names_nothing(
    make_cloud: Callable[..., Cloud], collector: list[dict[str, object]], collector_url: str
) -> None:
    cloud = make_cloud(SEND_ANONYMOUS_DATA="Yes", METRICS_URL=collector_url)
    cloud.invoke(cloud.start_event())
    backup = cloud.run_to_success()

    (report,) = collector
    assert report["Solution"] == "SO0031"
    assert report["UUID"] == "11111111-2222-4333-8444-555555555555"
    data = report["Data"]
    assert isinstance(data, dict)
    assert data["BackupId"] == backup
    assert data["Region"] == "us-east-1"
    sent = json.dumps(report)
    for name in (cloud.source, cloud.backup, cloud.name, "the-log-bucket", "nightly"):
        assert name not in sent


def test_the_data_about_a_backup_whose_lease_was_taken_is_sent_too(
    make_cloud: Callable[..., Cloud], collector: list[dict[str, object]], collector_url: str
) -> None:
    cloud = make_cloud(SEND_ANONYMOUS_DATA="Yes", METRICS_URL=collector_url)
    cloud.invoke(cloud.start_event())
    (lost,) = cloud.items
    cloud.scale_in()
    cloud.advance(hours=24)

    cloud.invoke(cloud.start_event())

    (report,) = collector
    data = report["Data"]
    assert isinstance(data, dict)
    assert (data["BackupId"], data["BackupStatus"]) == (lost, "Unknown")


def test_a_collector_that_answers_500_changes_nothing(
    make_cloud: Callable[..., Cloud], broken_collector_url: str
) -> None:
    cloud = make_cloud(SEND_ANONYMOUS_DATA="Yes", METRICS_URL=broken_collector_url)
    cloud.invoke(cloud.start_event())

    cloud.run_to_success()

    cloud.assert_clean()


def test_an_event_that_is_none_is_an_error_that_shows_it(cloud: Cloud) -> None:
    with pytest.raises(InvalidEventError, match="'action': 'pause'"):
        cloud.invoke({"mode": "backup", "action": "pause"})
