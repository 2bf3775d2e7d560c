"""A backup starts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.unit.functions.cloud import NIGHT, Calls, Cloud, Died


def test_a_start_takes_the_lease_arms_the_stop_rule_and_sets_capacity_1(cloud: Cloud) -> None:
    event = cloud.start_event(7)

    outcome = cloud.invoke(event)

    (backup,) = cloud.items
    assert outcome["reason"] == f"backup {backup} was started"
    assert backup.startswith("daily-20261123T020000Z-")
    assert cloud.desired == 1
    assert cloud.rule == "cron(50 4 23 11 ? 2026)", "02:00 + 180 minutes - 10 minutes of drain"
    assert cloud.stop_event() == {"mode": "backup", "action": "stop", "backup_id": backup}
    lease = cloud.lease
    assert lease is not None
    assert lease["RunningBackupId"] == backup
    assert lease["Started"] is True
    assert lease["LeaseEnd"] == int((NIGHT + timedelta(minutes=180 + 10 + 15)).timestamp())
    assert "ExpireItem" not in lease, "the lease must never expire"
    assert cloud.mails == []


def test_the_item_has_what_is_known_at_the_start_with_the_right_types(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())

    (item,) = [i for key, i in cloud.raw_items.items() if key != "@running"]
    number = {name: int(value["N"]) for name, value in item.items() if "N" in value}
    text = {name: value["S"] for name, value in item.items() if "S" in value}
    assert number == {
        "BackupWindow": 180,
        "RetainPeriod": 7,
        "ExpireItem": int((NIGHT + timedelta(days=90)).timestamp()),
        "SourceEfsSize": 0,  # moto's file systems are always empty
        "DestinationEfsSize": 0,
    }
    assert text == {
        "BackupId": text["BackupId"],
        "BackupStartTime": "2026-11-23T02:00:00",
        "IntervalTag": "daily",
        "BackupPrefix": "/",
        "InstanceType": "c5.xlarge",
        "SourceEfsId": cloud.source,
        "DestinationEfsId": cloud.backup,
        "SourcePerformanceMode": "generalPurpose",
        "DestinationPerformanceMode": "maxIO",
    }


def test_metrics_are_recorded_where_there_are_any(cloud: Cloud) -> None:
    cloud.put_metric("AWS/EFS", "BurstCreditBalance", {"FileSystemId": cloud.source}, 2308974418330.0)
    cloud.put_metric("AWS/EFS", "PermittedThroughput", {"FileSystemId": cloud.source}, 104857600.0)
    cloud.put_metric(
        "AWS/S3", "BucketSizeBytes", {"BucketName": "the-log-bucket", "StorageType": "StandardStorage"}, 4096.0
    )

    cloud.invoke(cloud.start_event())

    (item,) = cloud.items.values()
    assert item["SourceBurstCreditBalance"] == 2308974418330
    assert item["SourcePermittedThroughput"] == 104857600
    assert item["S3BucketSize"] == 4096


def test_a_start_makes_at_most_twelve_calls(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())

    assert cloud.calls.made[:4] == [
        "dynamodb:TransactWriteItems",
        "events:PutRule",
        "events:PutTargets",
        "autoscaling:SetDesiredCapacity",
    ], "lease, stop rule, capacity, in this order"
    assert len(cloud.calls.made) <= 12


def test_a_start_that_takes_over_makes_at_most_twelve_calls(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())
    cloud.scale_in()
    cloud.advance(hours=24)
    cloud.calls = Calls()

    outcome = cloud.invoke(cloud.start_event())

    assert outcome["action"] == "take over"
    assert len(cloud.calls.made) <= 12, cloud.calls.made


def test_a_start_that_died_and_is_tried_again_makes_at_most_twelve_calls(make_cloud: Callable[..., Cloud]) -> None:
    for number in range(4, 12):  # it takes over with its fourth call
        cloud = make_cloud()
        cloud.invoke(cloud.start_event())
        cloud.scale_in()
        cloud.advance(hours=24)
        event, cloud.calls = cloud.start_event(), Calls(die_after=number)
        with pytest.raises(Died):
            cloud.invoke(event, "request")
        cloud.calls = Calls()

        cloud.invoke(event, "request")

        assert len(cloud.calls.made) <= 12, cloud.calls.made
        assert cloud.lease is not None
        assert "OwedMail" not in cloud.lease


def test_the_same_event_again_changes_nothing(cloud: Cloud) -> None:
    event = cloud.start_event()
    cloud.invoke(event)
    before = (cloud.items, cloud.lease, cloud.rule)
    cloud.advance(minutes=3)

    outcome = cloud.invoke(event)

    assert outcome["action"] == "leave"
    assert (cloud.items, cloud.lease, cloud.rule) == before
    assert cloud.mails == []


def test_the_same_event_after_the_end_starts_nothing(cloud: Cloud) -> None:
    event = cloud.start_event()
    cloud.invoke(event)
    backup = cloud.run_to_success()

    cloud.invoke(event)

    assert list(cloud.items) == [backup]
    assert len(cloud.mails) == 1
    cloud.assert_clean()


def test_the_same_event_while_the_instance_drains_does_not_set_the_capacity_again(cloud: Cloud) -> None:
    event = cloud.start_event()
    cloud.invoke(event)
    instance = cloud.launch()
    cloud.invoke(cloud.stop_event())
    cloud.wait_in_hook(instance)

    cloud.invoke(event)

    assert cloud.desired == 0


def test_a_start_while_another_backup_runs_is_recorded_and_mailed_once(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())
    cloud.launch()
    (running,) = cloud.items
    cloud.advance(minutes=30)
    second = cloud.start_event()

    outcome = cloud.invoke(second)
    cloud.invoke(second)

    assert outcome["action"] == "refuse"
    (skipped,) = set(cloud.items) - {running}
    assert cloud.items[skipped]["BackupStatus"] == "Skipped"
    ((subject, message),) = cloud.mails
    assert subject == f"EFS backup Skipped: {skipped} of nightly"
    assert running in message
    assert cloud.lease is not None
    assert cloud.lease["RunningBackupId"] == running
    assert cloud.rule == "cron(50 4 23 11 ? 2026)", "the running backup's stop rule is not touched"


def test_a_start_on_an_expired_lease_finishes_the_old_backup_as_unknown_and_goes_on(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())
    (old,) = cloud.items
    cloud.scale_in()
    cloud.advance(hours=24)

    cloud.invoke(cloud.start_event())

    (new,) = set(cloud.items) - {old}
    assert cloud.items[old]["BackupStatus"] == "Unknown"
    assert cloud.mails_about(old) == [f"EFS backup Unknown: {old} of nightly"]
    assert cloud.lease is not None
    assert cloud.lease["RunningBackupId"] == new
    assert "OwedMail" not in cloud.lease
    assert cloud.desired == 1


def test_a_start_finds_a_backup_that_is_over_and_whose_end_nobody_told(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())
    instance = cloud.launch()
    old = cloud.claim(instance)
    assert old is not None
    cloud.record(old, "Success")
    cloud.scale_in()
    cloud.gone(instance)
    cloud.advance(minutes=40)

    cloud.invoke(cloud.start_event())

    assert cloud.mails_about(old) == [f"EFS backup Success: {old} of nightly"]
    assert cloud.items[old]["BackupStatus"] == "Success"
    assert len(cloud.items) == 2
    assert cloud.desired == 1


def test_an_instance_that_overran_its_lease_is_let_go_and_the_start_is_skipped(cloud: Cloud) -> None:
    cloud.invoke(cloud.start_event())
    cloud.launch()
    cloud.advance(hours=24)

    outcome = cloud.invoke(cloud.start_event())

    assert outcome["action"] == "empty"
    assert cloud.desired == 0
    assert [subject.split(":")[0] for subject, _ in cloud.mails] == ["EFS backup Skipped"]


def test_a_person_can_start_a_backup_without_id_or_time(cloud: Cloud) -> None:
    outcome = cloud.invoke({"mode": "backup", "action": "start"}, request_id="by-hand")

    (backup,) = cloud.items
    assert backup.startswith("daily-manual-")
    assert backup in outcome["reason"]
    assert cloud.invoke({"mode": "backup", "action": "start"}, request_id="by-hand")["action"] == "leave"


def test_a_short_window_never_gives_a_stop_in_the_past(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(BACKUP_WINDOW="60", DRAIN_MINUTES="59")
    cloud.now = NIGHT + timedelta(seconds=31)

    cloud.invoke(cloud.start_event())

    assert cloud.rule == "cron(6 2 23 11 ? 2026)", "at least five minutes ahead, rounded up"
