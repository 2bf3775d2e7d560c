"""solution-helper and AMIInfoFunction: what CloudFormation is answered, whatever happens."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import AutoScalingBackend
from tests.unit.functions.cloud import Calls, client, launch_template
from tests.unit.functions.conftest import http_server

import custom_resource
from ami_info import handler as ami_info
from custom_resource import CustomResourceError, Result, answer
from solution_helper import handler as solution_helper

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/nightly/0f8fad5b-d9cb-469f-a165-70867728950e"

Answers = list[dict[str, Any]]


class Stack:
    """CloudFormation's part: sends requests to a function, and keeps the answers that come in at its address."""

    def __init__(self, url: str, answers: Answers) -> None:
        self.url = url
        self.answers = answers

    def request(self, function: Any, request_type: str, resource: str, seconds: int = 120, **properties: str) -> Any:
        """Send a request and return the one answer to it."""
        physical_id = properties.pop("PhysicalResourceId", None)
        event = {
            "RequestType": request_type,
            "ResponseURL": self.url,
            "StackId": STACK,
            "RequestId": properties.pop("RequestId", str(uuid.uuid4())),
            "ResourceType": resource,
            "LogicalResourceId": "Resource",
            "ResourceProperties": {"ServiceToken": "arn", **properties},
        } | ({"PhysicalResourceId": physical_id} if physical_id else {})
        before = len(self.answers)
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000)
        function.lambda_handler(event, context)
        (reply,) = self.answers[before:]
        assert reply["RequestId"] == event["RequestId"]
        assert reply["StackId"] == STACK
        assert reply["LogicalResourceId"] == "Resource"
        assert reply["PhysicalResourceId"]
        return reply


@pytest.fixture
def stack(moto_server: str) -> Iterator[Stack]:
    answers: Answers = []

    def keep(body: bytes) -> int:
        answers.append(json.loads(body))
        return 200

    with http_server(keep) as url:
        yield Stack(url, answers)


class TestAnswer:
    """The answer goes out once, and always."""

    def function(self, work: Callable[[Any], Result]) -> Any:
        return SimpleNamespace(lambda_handler=lambda event, context: answer(event, context, work))

    def test_what_the_work_gives_is_answered(self, stack: Stack) -> None:
        reply = stack.request(self.function(lambda _: Result("id", {"A": "b"})), "Create", "Custom::X")
        assert (reply["Status"], reply["PhysicalResourceId"], reply["Data"]) == ("SUCCESS", "id", {"A": "b"})

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (CustomResourceError("this is wrong, do that"), "this is wrong, do that"),
            (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SetDesiredCapacity"), "AccessDenied"),
            (KeyError("Url"), "KeyError: 'Url'"),
            (RuntimeError("x" * 5000), "RuntimeError: xxx"),
        ],
    )
    def test_a_failure_is_answered_with_its_reason(self, stack: Stack, error: Exception, reason: str) -> None:
        def fail(_: Any) -> Result:
            raise error

        reply = stack.request(self.function(fail), "Create", "Custom::X")
        assert reply["Status"] == "FAILED"
        assert reason in reply["Reason"]
        assert len(reply["Reason"]) <= 1000

    def test_a_function_that_is_about_to_run_out_of_time_answers_before(self, stack: Stack) -> None:
        def dawdle(_: Any) -> Result:
            time.sleep(1.5)
            return Result("late")

        seconds = custom_resource.ANSWER_BEFORE_SECONDS + 1
        reply = stack.request(self.function(dawdle), "Create", "Custom::X", seconds)
        assert (reply["Status"], reply["Reason"]) == ("FAILED", "it took too long")

    def test_a_failed_update_or_delete_keeps_its_physical_id(self, stack: Stack) -> None:
        def fail(_: Any) -> Result:
            raise CustomResourceError("no")

        for kind in ("Update", "Delete"):
            reply = stack.request(self.function(fail), kind, "Custom::X", PhysicalResourceId="known")
            assert reply["PhysicalResourceId"] == "known"

    def test_an_answer_that_does_not_get_through_is_sent_again(self, moto_server: str) -> None:
        statuses = [500, 503, 200]
        with http_server(lambda _: statuses.pop(0)) as url:
            event = {"ResponseURL": url, "StackId": STACK, "RequestId": "r", "LogicalResourceId": "R"}
            context = SimpleNamespace(get_remaining_time_in_millis=lambda: 120_000)
            answer(event, context, lambda _: Result("id"))
        assert statuses == []


class TestUniqueId:
    def create(self, stack: Stack, **properties: str) -> Any:
        return stack.request(solution_helper, "Create", "Custom::LoadLambda", 120, **properties)

    def test_each_deployment_has_its_own(self, stack: Stack) -> None:
        first, second = self.create(stack), self.create(stack)
        assert str(uuid.UUID(first["Data"]["UUID"])) == first["Data"]["UUID"]
        assert first["Data"]["UUID"] != second["Data"]["UUID"]

    def test_the_same_request_gets_the_same(self, stack: Stack) -> None:
        assert self.create(stack, RequestId="r")["Data"] == self.create(stack, RequestId="r")["Data"]

    def test_an_update_keeps_it(self, stack: Stack) -> None:
        made = self.create(stack)
        updated = stack.request(
            solution_helper, "Update", "Custom::LoadLambda", PhysicalResourceId=made["PhysicalResourceId"]
        )
        assert updated["Data"] == made["Data"]
        assert updated["PhysicalResourceId"] == made["PhysicalResourceId"]

    def test_a_stack_of_the_published_solution_gets_one_that_stays(self, stack: Stack) -> None:
        stream = "2019/02/01/[$LATEST]0123456789abcdef"
        updated = stack.request(solution_helper, "Update", "Custom::LoadLambda", PhysicalResourceId=stream)
        again = stack.request(
            solution_helper, "Update", "Custom::LoadLambda", PhysicalResourceId=updated["PhysicalResourceId"]
        )
        assert again["Data"] == updated["Data"]
        gone = stack.request(solution_helper, "Delete", "Custom::LoadLambda", PhysicalResourceId=stream)
        assert gone["Status"] == "SUCCESS"


class TestAnonymousData:
    def tell(self, stack: Stack, kind: str, send: str, url: str) -> Any:
        return stack.request(
            solution_helper,
            kind,
            "Custom::AnonymousData",
            SendAnonymousData=send,
            Url=url,
            UUID="u",
            SolutionId="SO0031",
            SolutionVersion="v2",
            Region="us-east-1",
            EventType="Backup",
        )

    @pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
    def test_it_is_sent_when_it_is_on(self, stack: Stack, collector: Answers, collector_url: str, kind: str) -> None:
        reply = self.tell(stack, kind, "Yes", collector_url)
        assert reply["Status"] == "SUCCESS"
        (sent,) = collector
        assert (sent["Solution"], sent["UUID"]) == ("SO0031", "u")
        assert sent["Data"]["RequestType"] == kind
        assert sent["Data"]["Region"] == "us-east-1"

    def test_nothing_leaves_when_it_is_off(self, stack: Stack, collector: Answers, collector_url: str) -> None:
        self.tell(stack, "Create", "No", collector_url)
        assert collector == []

    @pytest.mark.parametrize("url", ["http://localhost:9/", "file:///etc/passwd", "nonsense"])
    def test_a_collector_that_is_not_there_fails_no_deployment(self, stack: Stack, url: str) -> None:
        reply = self.tell(stack, "Create", "Yes", url)
        assert reply["Status"] == "SUCCESS"

    def test_a_collector_that_hangs_holds_nothing_up(self, stack: Stack) -> None:
        def hang(_: bytes) -> int:
            time.sleep(6)
            return 200

        with http_server(hang) as url:
            began = time.monotonic()
            reply = self.tell(stack, "Create", "Yes", url)
            took = time.monotonic() - began
        assert reply["Status"] == "SUCCESS"
        assert took < 5


@pytest.fixture
def make_group(moto_server: str) -> Callable[..., str]:
    def make(desired: int = 0, stack_id: str | None = None) -> str:
        name = f"group-{uuid.uuid4()}"
        tag = {"Key": "aws:cloudformation:stack-id", "Value": stack_id or "", "PropagateAtLaunch": True}
        client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": launch_template(), "Version": "$Latest"},
            MinSize=0,
            MaxSize=1,
            DesiredCapacity=desired,
            AvailabilityZones=["us-east-1a"],
            Tags=[tag] if stack_id else [],
        )
        return name

    return make


@pytest.fixture
def missing_groups_as_aws_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto 5.2.1 answers 500 to SetDesiredCapacity for a group that is not there; AWS says ValidationError."""
    really = AutoScalingBackend.set_desired_capacity

    def refuse(self: Any, name: str, capacity: int | None) -> None:
        if name not in self.autoscaling_groups:
            raise AutoscalingClientError("ValidationError", f"AutoScalingGroup name not found - null {name}")
        really(self, name, capacity)

    monkeypatch.setattr(AutoScalingBackend, "set_desired_capacity", refuse)


def desired(group: str) -> int:
    groups = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
    return int(groups[0]["DesiredCapacity"])


class TestStackCleanup:
    def delete(self, stack: Stack, group: str, rule: str) -> Any:
        return stack.request(
            solution_helper,
            "Delete",
            "Custom::StackCleanup",
            PhysicalResourceId="cleanup",
            GroupName=group,
            LifecycleHook="efs-backup-drain",
            StopRule=rule,
        )

    def test_delete_removes_the_rule_the_hook_and_the_capacity(
        self, stack: Stack, make_group: Callable[..., str]
    ) -> None:
        group, rule = make_group(desired=1), f"efs-backup-stop-{uuid.uuid4()}"
        client("autoscaling").put_lifecycle_hook(
            AutoScalingGroupName=group,
            LifecycleHookName="efs-backup-drain",
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        )
        client("events").put_rule(Name=rule, ScheduleExpression="cron(0 5 23 11 ? 2026)")
        client("events").put_targets(Rule=rule, Targets=[{"Id": "Orchestrator", "Arn": "arn:aws:lambda:::x"}])

        assert self.delete(stack, group, rule)["Status"] == "SUCCESS"

        assert desired(group) == 0
        assert client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"] == []
        assert client("events").list_rules(NamePrefix=rule)["Rules"] == []

    @pytest.mark.usefixtures("missing_groups_as_aws_has_them")
    def test_delete_after_a_failed_create_finds_nothing_and_succeeds(self, stack: Stack) -> None:
        assert self.delete(stack, "no-such-group", "no-such-rule")["Status"] == "SUCCESS"

    def test_create_and_update_touch_nothing(self, stack: Stack, make_group: Callable[..., str]) -> None:
        group = make_group(desired=1)
        for kind in ("Create", "Update"):
            reply = stack.request(
                solution_helper, kind, "Custom::StackCleanup", GroupName=group, LifecycleHook="h", StopRule="r"
            )
            assert reply["Status"] == "SUCCESS"
        assert desired(group) == 1


class TestStartRestore:
    def test_only_create_starts(self, stack: Stack, make_group: Callable[..., str]) -> None:
        group = make_group()
        made = stack.request(solution_helper, "Create", "Custom::StartRestore", GroupName=group)
        assert desired(group) == 1
        known = made["PhysicalResourceId"]

        client("autoscaling").set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
        updated = stack.request(
            solution_helper, "Update", "Custom::StartRestore", GroupName=group, PhysicalResourceId=known
        )
        assert desired(group) == 0
        assert updated["PhysicalResourceId"] == known

        client("autoscaling").set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
        stack.request(solution_helper, "Delete", "Custom::StartRestore", GroupName=group, PhysicalResourceId=known)
        assert desired(group) == 0

    @pytest.mark.usefixtures("missing_groups_as_aws_has_them")
    def test_delete_without_a_group_succeeds(self, stack: Stack) -> None:
        reply = stack.request(
            solution_helper, "Delete", "Custom::StartRestore", GroupName="gone", PhysicalResourceId="x"
        )
        assert reply["Status"] == "SUCCESS"


class TestUpdateGuard:
    def test_a_new_stack_passes(self, stack: Stack) -> None:
        assert stack.request(solution_helper, "Create", "Custom::UpdateGuard", GroupName="new")["Status"] == "SUCCESS"

    def test_a_published_stack_passes_between_its_backups_and_not_during_one(
        self, stack: Stack, make_group: Callable[..., str]
    ) -> None:
        published = make_group(stack_id=STACK)
        try:
            reply = stack.request(solution_helper, "Create", "Custom::UpdateGuard", GroupName="new")
            assert reply["Status"] == "SUCCESS"

            client("autoscaling").set_desired_capacity(AutoScalingGroupName=published, DesiredCapacity=1)
            reply = stack.request(solution_helper, "Create", "Custom::UpdateGuard", GroupName="new")
            assert reply["Status"] == "FAILED"
            assert published in reply["Reason"]
        finally:
            client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=published, ForceDelete=True)


class TestOverdueStart:
    """An alarm that takes missing data for overdue backups is told that there were none yet."""

    def points(self, name: str) -> list[float]:
        found = client("cloudwatch").get_metric_statistics(
            Namespace="EFS-Backup",
            MetricName="HoursOverdue",
            Dimensions=[{"Name": "StackName", "Value": name}],
            StartTime=datetime.now(UTC) - timedelta(hours=5),
            EndTime=datetime.now(UTC) + timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        return [point["Maximum"] for point in found]

    def request(self, stack: Stack, kind: str, name: str) -> Any:
        return stack.request(
            solution_helper, kind, "Custom::OverdueStart",
            Namespace="EFS-Backup", MetricName="HoursOverdue", StackName=name,
        )  # fmt: skip

    def test_a_new_stack_has_data_for_every_hour_that_the_alarm_looks_at(self, stack: Stack) -> None:
        name = str(uuid.uuid4())
        assert self.request(stack, "Create", name)["Status"] == "SUCCESS"
        assert self.points(name) == [0, 0, 0, 0]

    @pytest.mark.parametrize("kind", ["Update", "Delete"])
    def test_nothing_is_told_later(self, stack: Stack, kind: str) -> None:
        name = str(uuid.uuid4())
        assert self.request(stack, kind, name)["Status"] == "SUCCESS"
        assert self.points(name) == []


def test_a_resource_that_is_none_of_ours_is_answered(stack: Stack) -> None:
    reply = stack.request(solution_helper, "Create", "Custom::Nonsense")
    assert reply["Status"] == "FAILED"
    assert "'Custom::Nonsense'" in reply["Reason"]


class TestAmiInfo:
    def request(self, stack: Stack, instance_type: str, architecture: str, kind: str = "Create") -> Any:
        return stack.request(ami_info, kind, "Custom::AMIInfo", InstanceType=instance_type, Architecture=architecture)

    @pytest.mark.parametrize(
        ("instance_type", "word", "architecture"),
        [("c5.xlarge", "HVM64", "x86_64"), ("c6g.xlarge", "ARM64", "arm64"), ("c6g.xlarge", "", "arm64"),
         ("c5.xlarge", "", "x86_64")],
    )  # fmt: skip
    def test_the_architecture_and_its_newest_image(
        self, stack: Stack, instance_type: str, word: str, architecture: str
    ) -> None:
        data = self.request(stack, instance_type, word)["Data"]
        parameter = f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"
        assert data == {
            "Architecture": architecture,
            "Id": client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"],
        }

    @pytest.mark.parametrize(
        ("instance_type", "word", "reason"),
        [("c5.xlarge", "ARM64", "the type is x86_64"), ("c5.xlarge", "PDP11", "must be one of HVM64"),
         ("c5.enormous", "HVM64", "'c5.enormous' is not offered")],
    )  # fmt: skip
    def test_a_mapping_that_cannot_be_is_refused(
        self, stack: Stack, instance_type: str, word: str, reason: str
    ) -> None:
        reply = self.request(stack, instance_type, word)
        assert reply["Status"] == "FAILED"
        assert reason in reply["Reason"]

    def test_the_mapping_is_believed_when_ec2_cannot_be_asked(self, stack: Stack) -> None:
        calls = Calls(fail=(1, 500), times=20)
        with calls.recorded():
            data = self.request(stack, "c6g.xlarge", "ARM64")["Data"]
        assert data["Architecture"] == "arm64"
        assert calls.made == ["ec2:DescribeInstanceTypes", "ssm:GetParameter"]

    def test_delete_always_succeeds(self, stack: Stack) -> None:
        assert self.request(stack, "c5.enormous", "PDP11", kind="Delete")["Status"] == "SUCCESS"
