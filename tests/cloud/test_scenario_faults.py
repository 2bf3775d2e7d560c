"""AWS throttles or fails: the outcome is as without it, or a clean failure with a mail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from localcloud.solution import BackupStack, Solution
from tests.cloud.nights import assert_newest_is_the_source
from tests.support.zoo import write

FUNCTION, INSTANCE = "function nightly", "instance *"
CALLS = {
    FUNCTION: {
        ("dynamodb", "TransactWriteItems"), ("dynamodb", "GetItem"), ("dynamodb", "UpdateItem"),
        ("dynamodb", "DeleteItem"), ("dynamodb", "Scan"), ("events", "PutRule"), ("events", "PutTargets"),
        ("events", "RemoveTargets"),
        ("events", "DeleteRule"), ("autoscaling", "SetDesiredCapacity"), ("autoscaling", "DescribeAutoScalingGroups"),
        ("efs", "DescribeFileSystems"), ("cloudwatch", "GetMetricData"), ("cloudwatch", "PutMetricData"),
        ("ssm", "SendCommand"), ("sns", "Publish"), ("sns", "ListSubscriptionsByTopic"),
    },
    INSTANCE: {
        ("s3", "HeadObject"), ("s3", "GetObject"), ("s3", "PutObject"), ("dynamodb", "GetItem"),
        ("dynamodb", "UpdateItem"), ("cloudwatch", "GetMetricData"), ("cloudwatch", "PutMetricData"),
        ("autoscaling", "SetDesiredCapacity"), ("autoscaling", "CompleteLifecycleAction"),
    },
}  # fmt: skip
"""Every call of a night that goes well, and of the hours before it."""

# Whether the table says Success all the same. Who cannot read it makes the backup, and mails; the table cannot know.
LASTING = [
    (FUNCTION, "dynamodb", "TransactWriteItems", False),
    (FUNCTION, "events", "PutRule", False),
    (FUNCTION, "autoscaling", "SetDesiredCapacity", False),
    (FUNCTION, "autoscaling", "DescribeAutoScalingGroups", True),
    (FUNCTION, "efs", "DescribeFileSystems", True),
    (FUNCTION, "cloudwatch", "GetMetricData", True),
    (FUNCTION, "ssm", "SendCommand", True),
    (FUNCTION, "sns", "Publish", True),
    (INSTANCE, "s3", "PutObject", True),
    (INSTANCE, "dynamodb", "GetItem", False),
    (INSTANCE, "cloudwatch", "*", True),
    (INSTANCE, "autoscaling", "*", True),
]


@pytest.fixture(scope="module")
def backups(solution: Solution) -> Iterator[BackupStack]:
    """One stack for all of it: after each fault it must be as good as new."""
    stack = solution.deploy_backup({"BackupWindow": "60"})
    write(f"{stack.source}/file", b"content")
    assert stack.night()["BackupStatus"] == "Success"
    stack.check(hourly=False)
    yield stack
    solution.cloud.delete(stack.stack)


@pytest.fixture(autouse=True)
def as_good_as_new(backups: BackupStack) -> Iterator[None]:
    """The next night is a success, and nothing is left of what went wrong."""
    yield
    backups.cloud.clear_faults()
    backups.cloud.wait_quiet()
    backups.cloud.control("clear-problems")
    assert backups.night()["BackupStatus"] == "Success"
    assert_newest_is_the_source(backups)
    assert backups.leftovers() == []
    assert all("BackupStatus" in item for item in backups.items)
    assert backups.cloud.problems == []


def test_every_call_is_in_the_list(backups: BackupStack) -> None:
    made = {
        (kind, call["service"], call["operation"])
        for call in backups.cloud.calls
        for kind in (FUNCTION, INSTANCE)
        if call["caller"].split()[0] == kind.split()[0] and (kind == INSTANCE or call["caller"] == kind)
    }
    assert made == {(caller, *call) for caller, calls in CALLS.items() for call in calls}


@pytest.mark.parametrize("kind", ["throttle", "error"])
def test_one_failure_of_every_call_changes_nothing(backups: BackupStack, kind: str) -> None:
    told = len(backups.mails)
    for caller, calls in CALLS.items():
        for service, operation in calls:
            backups.cloud.fault(kind, service=service, operation=operation, caller=caller)
    item = backups.night()
    assert item["BackupStatus"] == "Success"
    assert len(backups.mails) == told + 1
    assert backups.leftovers() == [] and backups.cloud.problems == []


@pytest.mark.slow
@pytest.mark.parametrize(("caller", "service", "operation", "succeeds"), LASTING)
def test_a_call_that_keeps_failing_is_a_clean_end_with_a_mail(
    backups: BackupStack, caller: str, service: str, operation: str, succeeds: bool
) -> None:
    cloud, before, told = backups.cloud, len(backups.items), len(backups.mails + backups.alarms)
    cloud.fault("error", service=service, operation=operation, caller=caller, times=10_000)
    cloud.clock.advance_to_hour(2)
    cloud.wait_for(lambda: all("ends: " in instance.log for instance in cloud.instances), "the end of the work", 180)
    cloud.settle()
    cloud.clock.advance(hours=2)
    cloud.settle()
    cloud.clear_faults()
    cloud.clock.advance(hours=1)
    cloud.wait_quiet()
    assert len(backups.mails + backups.alarms) > told, "nobody was told"
    statuses = [item.get("BackupStatus") for item in backups.items[before:]]
    assert statuses == ["Success"] or not succeeds, statuses
    assert "Success" not in statuses or succeeds, statuses
