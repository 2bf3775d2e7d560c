"""A restore whose instance cannot be launched is given up, with one mail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.functions.cloud import NIGHT, Cloud, client

from orchestrator import clock
from orchestrator.restore import GIVE_UP_AFTER, RestoreGroup, gives_up, lambda_handler

CONTEXT = SimpleNamespace(aws_request_id="request", invoked_function_arn="arn")


@pytest.mark.parametrize(
    ("desired", "empty", "minutes", "given_up"),
    [(1, True, 15, True), (1, True, 14, False), (1, False, 60, False), (0, True, 60, False)],
)
def test_when_a_restore_is_given_up(desired: int, empty: bool, minutes: int, given_up: bool) -> None:
    group = RestoreGroup(NIGHT, desired, empty)
    assert gives_up(group, NIGHT + timedelta(minutes=minutes)) is given_up


def test_launches_that_fail_end_the_restore_with_one_mail(
    make_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=cloud.group, DesiredCapacity=1)
    (group,) = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[cloud.group])[
        "AutoScalingGroups"
    ]
    made: datetime = group["CreatedTime"]

    outcomes = []
    for minutes in (1, 14, 16, 20):
        moment = made + timedelta(minutes=minutes)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        outcomes.append(lambda_handler(cloud.launch_failed(), CONTEXT)["action"])

    assert outcomes == ["leave", "leave", "give up", "leave"]
    assert cloud.desired == 0
    ((subject, message),) = cloud.mails
    assert subject == "EFS restore Unsuccessful: nightly"
    assert "We have no capacity." in message
    assert "Nothing was changed" in message
    assert timedelta(minutes=15) == GIVE_UP_AFTER


def test_a_group_that_is_gone_is_left_alone(make_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = make_cloud(GROUP_NAME="no-such-group")
    assert lambda_handler(cloud.launch_failed(), CONTEXT)["action"] == "leave"
    assert cloud.mails == []


def test_other_events_are_left_to_the_instance(cloud: Cloud) -> None:
    event: dict[str, Any] = cloud.terminated("i-1")
    assert lambda_handler(event, CONTEXT)["action"] == "leave"
