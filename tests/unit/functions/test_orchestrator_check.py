"""Every hour the orchestrator tells how overdue a backup is, and completes what lost events left undone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from moto.sns.models import Subscription, sns_backends
from tests.unit.functions.cloud import ACCOUNT, NIGHT, REGION, Cloud, client, moto_group


def made_at_noon(cloud: Cloud) -> None:
    """The stack, and so its group, was made on the day before the first night."""
    moto_group(cloud.group).created_time = NIGHT.replace(day=22, hour=12)


def published(cloud: Cloud) -> dict[str, tuple[float, str]]:
    """Value and unit of the metrics of the last call that published any."""
    sent = [parameters for call, parameters in cloud.calls.parameters if call == "cloudwatch:PutMetricData"]
    assert sent[-1]["Namespace"] == "EFS-Backup"
    for metric in sent[-1]["MetricData"]:
        assert metric["Dimensions"] == [{"Name": "StackName", "Value": "nightly"}]
        assert metric["Timestamp"] == cloud.now
    return {metric["MetricName"]: (metric["Value"], metric["Unit"]) for metric in sent[-1]["MetricData"]}


def hours_overdue(cloud: Cloud) -> float:
    cloud.invoke(cloud.CHECK)
    value, unit = published(cloud)["HoursOverdue"]
    assert unit == "None"
    return value


def test_a_schedule_that_does_not_fire_makes_a_backup_overdue(cloud: Cloud) -> None:
    made_at_noon(cloud)

    assert hours_overdue(cloud) == 0, "the window of the first night has only begun"
    cloud.advance(hours=3)
    assert hours_overdue(cloud) == 0, "it is just over"
    cloud.advance(minutes=90)
    assert hours_overdue(cloud) == 1.5
    cloud.advance(hours=24)
    assert hours_overdue(cloud) == 25.5


def test_a_success_ends_it_and_a_failure_does_not(cloud: Cloud) -> None:
    made_at_noon(cloud)
    cloud.invoke(cloud.start_event())
    cloud.run_to_success()
    cloud.advance(hours=24)
    cloud.invoke(cloud.start_event())
    instance = cloud.launch()
    backup = cloud.claim(instance)
    assert backup is not None
    cloud.record(backup, "Incomplete")
    cloud.scale_in()
    cloud.gone(instance)
    cloud.invoke(cloud.terminated(instance))
    cloud.advance(hours=5)

    assert hours_overdue(cloud) == 2, "the second night's window was over two hours ago"

    cloud.invoke(cloud.start_event())
    cloud.run_to_success()
    assert hours_overdue(cloud) == 0


def test_the_metric_of_another_schedule_is_computed_by_it(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(BACKUP_SCHEDULE="cron(0 2 ? * SUN *)", BACKUP_WINDOW="60")
    made_at_noon(cloud)  # a Sunday

    cloud.advance(days=6)  # Sunday, 2 a.m.
    assert hours_overdue(cloud) == 0
    cloud.advance(hours=2)
    assert hours_overdue(cloud) == 1


def test_a_table_of_many_pages_is_read_to_the_end(cloud: Cloud) -> None:
    made_at_noon(cloud)
    old, ballast = {"S": "2026-11-20T03:00:00"}, {"S": "x" * 300_000}
    for number in range(6):  # more than the megabyte of one page
        item = {"BackupId": {"S": f"old-{number}"}, "BackupStatus": {"S": "Success"}, "BackupStopTime": old}
        client("dynamodb").put_item(TableName=cloud.name, Item=item | {"Reason": ballast})
    newest = {"S": cloud.now.replace(hour=23, day=22).strftime("%Y-%m-%dT%H:%M:%S")}
    item = {"BackupId": {"S": "newest"}, "BackupStatus": {"S": "Success"}, "BackupStopTime": newest}
    client("dynamodb").put_item(TableName=cloud.name, Item=item)
    cloud.advance(hours=5)

    assert hours_overdue(cloud) == 2
    assert cloud.calls.made.count("dynamodb:Scan") == 2


@pytest.mark.parametrize(
    ("subscribed", "silent"),
    [
        ([], ["ops@example.com"]),
        ([("ops@example.com", "PendingConfirmation")], ["ops@example.com"]),
        ([("OPS@example.com", "arn:1")], []),
        ([("ops@example.com", "arn:1"), ("new@example.com", "PendingConfirmation")], ["new@example.com"]),
        ([("other@example.com", "arn:1")], ["ops@example.com"]),
        ([("ops@example.com", "arn:1"), ("gone@example.com", "Deleted")], []),
    ],
)
def test_an_address_that_never_confirmed_is_told(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, subscribed: list[tuple[str, str]], silent: list[str]
) -> None:
    backend = sns_backends[ACCOUNT][REGION]
    for address, arn in subscribed:
        made = Subscription(ACCOUNT, backend.topics[cloud.topic], address, "email")
        backend.subscriptions[made.arn] = made
        made.arn = arn
    caplog.set_level(logging.WARNING, "orchestrator")

    cloud.invoke(cloud.CHECK)

    assert published(cloud)["UnconfirmedAddresses"] == (len(silent), "Count")
    for address in silent:
        assert address in caplog.text


def test_subscriptions_that_cannot_be_listed_do_not_hide_that_a_backup_is_overdue(cloud: Cloud) -> None:
    made_at_noon(cloud)
    cloud.advance(hours=5)
    sns_backends[ACCOUNT][REGION].topics.pop(cloud.topic)

    assert hours_overdue(cloud) == 2
    assert "UnconfirmedAddresses" not in published(cloud)


@pytest.fixture
def running(cloud: Cloud) -> tuple[str, str]:
    cloud.invoke(cloud.start_event())
    instance = cloud.launch()
    backup = cloud.claim(instance)
    assert backup is not None
    return backup, instance


def outcome(cloud: Cloud) -> Any:
    return cloud.invoke(cloud.CHECK)["action"]


def test_a_backup_that_runs_is_left_alone(cloud: Cloud, running: tuple[str, str]) -> None:
    before = (cloud.items, cloud.lease, cloud.rule)
    cloud.advance(hours=1)

    assert outcome(cloud) == "leave"
    assert (cloud.items, cloud.lease, cloud.rule) == before
    assert cloud.desired == 1


def test_an_instance_whose_end_nobody_told_is_found(cloud: Cloud, running: tuple[str, str]) -> None:
    backup, instance = running
    cloud.record(backup, "Success")
    cloud.scale_in()
    cloud.gone(instance)

    assert outcome(cloud) == "finish"
    assert cloud.mails_about(backup) == [f"EFS backup Success: {backup} of nightly"]
    cloud.assert_clean()


def test_a_stop_that_never_came_is_made_up_for(cloud: Cloud, running: tuple[str, str]) -> None:
    backup, instance = running
    cloud.advance(hours=3)

    assert outcome(cloud) == "empty"
    assert cloud.desired == 0
    cloud.gone(instance)
    cloud.advance(hours=1)
    assert outcome(cloud) == "finish"
    assert cloud.mails_about(backup) == [f"EFS backup Unknown: {backup} of nightly"]
    cloud.assert_clean()


def test_capacity_and_rule_without_a_backup_are_removed(cloud: Cloud) -> None:
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=cloud.group, DesiredCapacity=1)
    client("events").put_rule(Name=cloud.stop_rule, ScheduleExpression="cron(0 5 23 11 ? 2026)")

    assert outcome(cloud) == "tidy"
    cloud.assert_clean()
