"""Each role may do what its code calls, on what it calls it on, and nothing else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.templates.permissions import TABLE, allowed, excused, needed, permits, resources_of, roles, statements
from tests.templates.reading import ACCOUNT, Stack, backup_stack, restore_stack, template
from tests.templates.reading import BACKUP as BACKUP_TEMPLATE
from tests.unit.functions.cloud import Calls, Cloud, client, launch_template
from tests.unit.functions.conftest import http_server, make_cloud, moto_server
from tests.unit.functions.shown import ENVIRONMENT as WIDGET_ENVIRONMENT

from ami_info import handler as ami_info
from orchestrator import restore
from solution_helper import handler as solution_helper
from widget import handler as widget

__all__ = ["make_cloud", "moto_server"]

DOCS = Path(__file__).parents[2] / "docs" / "security.md"

# Every statement that a condition of the template may add.
FULL = {
    "backup": backup_stack(KmsKeyArn=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"),
    "restore": restore_stack(NotificationTopic=f"arn:aws:sns:us-east-1:{ACCOUNT}:topic"),
}
STACKS = pytest.mark.parametrize("name", FULL)

# The agent's calls, as docs/agent.md asks for them. tests/cloud/test_scenario_calls.py records them.
AGENT_CALLS = {
    "backup": {"efs:DescribeMountTargets", "cloudwatch:GetMetricData", "cloudwatch:PutMetricData"},
    "restore": {"efs:DescribeMountTargets", "cloudwatch:PutMetricData", "sns:GetTopicAttributes"},
}


def nights(make: Callable[..., Cloud]) -> Cloud:
    """Everything that the orchestrator does: success, stop, loss, failed launches, refusal, takeover."""
    cloud = make()
    event = cloud.start_event()
    cloud.invoke(event)
    cloud.invoke(event)
    cloud.run_to_success()
    cloud.invoke(cloud.start_event())
    instance = cloud.launch()
    cloud.invoke(cloud.start_event())
    cloud.invoke(cloud.stop_event())
    cloud.invoke(cloud.terminating(instance))
    cloud.gone(instance)
    cloud.advance(hours=24)
    cloud.invoke(cloud.start_event())
    cloud.invoke(cloud.launch_failed())
    cloud.advance(minutes=16)
    cloud.invoke(cloud.launch_failed())
    cloud.invoke({"mode": "backup", "action": "stop"})
    cloud.invoke(cloud.CHECK)
    return cloud


def custom_resource_calls(function: Any, resource: str, **properties: str) -> set[str]:
    """The calls that a function makes to create, change and delete a custom resource."""
    calls = Calls()
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 120_000)
    with http_server(lambda _: 200) as url, calls.recorded():
        for kind in ("Create", "Update", "Delete"):
            event = {
                "RequestType": kind,
                "ResponseURL": url,
                "StackId": f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/x/{uuid.uuid4()}",
                "RequestId": kind,
                "ResourceType": resource,
                "LogicalResourceId": "R",
                "ResourceProperties": properties,
            }
            assert function.lambda_handler(event, context)["Status"] == "SUCCESS"
    return set(calls.made)


def command_line_calls(text: str) -> set[str]:
    """The calls of the AWS command line in a script, as botocore names them."""
    found = re.findall(r"^[^#\n]*\baws (s3|dynamodb|sns|autoscaling) ([a-z-]+)", text, re.MULTILINE)
    names = {f"{service}:{''.join(word.title() for word in command.split('-'))}" for service, command in found}
    if "s3:Cp" in names:
        names = (names - {"s3:Cp"}) | {"s3:HeadObject", "s3:GetObject", "s3:PutObject"}
    return names


def user_data(stack: Stack) -> str:
    (found,) = [r["Properties"] for r in stack.resources.values() if r["Type"] == "AWS::EC2::LaunchTemplate"]
    return str(found["LaunchTemplateData"]["UserData"])


@pytest.fixture
def helper_properties(moto_server: str) -> dict[str, str]:
    group, rule = f"efs-backup-{uuid.uuid4()}", f"efs-backup-stop-{uuid.uuid4()}"
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=group,
        LaunchTemplate={"LaunchTemplateName": launch_template(), "Version": "$Latest"},
        MinSize=0,
        MaxSize=1,
        AvailabilityZones=["us-east-1a"],
    )
    return {"GroupName": group, "StopRule": rule, "LifecycleHook": "efs-backup-drain"}


def test_the_orchestrator(make_cloud: Callable[..., Cloud]) -> None:
    cloud = nights(make_cloud)
    assert allowed(FULL["backup"], "OrchestratorRole") == needed(cloud.calls.made) | excused(
        "backup", "OrchestratorRole"
    )


def test_the_orchestrator_on_what_it_calls_it_on(make_cloud: Callable[..., Cloud]) -> None:
    """The stack's template, with the names of the stack that the calls went to."""
    cloud = nights(make_cloud)
    table = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/{cloud.name}"
    physical = {"EFSDynamoDB.Arn": table, "SNSTopic": cloud.topic, "DstEFS": cloud.backup}
    parameters = backup_stack().parameters | {"SrcEFS": cloud.source}
    stack = Stack(template(BACKUP_TEMPLATE), parameters, name=cloud.name, guid=cloud.guid, physical=physical)
    for call, sent in cloud.calls.parameters:
        for action in needed([call]):
            for arn in resources_of(call, sent):
                assert permits(stack, "OrchestratorRole", action, arn), (action, arn)
                other = arn.replace(cloud.guid, str(uuid.uuid4())).replace(cloud.name, "other")
                if other != arn:
                    assert not permits(stack, "OrchestratorRole", action, other), (action, other)


def test_the_helper_of_a_backup_stack(helper_properties: dict[str, str]) -> None:
    calls = custom_resource_calls(solution_helper, "Custom::StackCleanup", **helper_properties)
    calls |= custom_resource_calls(solution_helper, "Custom::UpdateGuard", **helper_properties)
    calls |= custom_resource_calls(solution_helper, "Custom::LoadLambda")
    calls |= custom_resource_calls(
        solution_helper, "Custom::OverdueStart", Namespace="EFS-Backup", MetricName="HoursOverdue", StackName="nightly"
    )
    assert allowed(FULL["backup"], "SolutionHelperRole") == needed(calls) | excused("backup", "SolutionHelperRole")


def test_the_helper_of_a_restore_stack(helper_properties: dict[str, str]) -> None:
    calls = custom_resource_calls(solution_helper, "Custom::StartRestore", **helper_properties)
    calls |= custom_resource_calls(solution_helper, "Custom::LoadLambda")
    assert allowed(FULL["restore"], "SolutionHelperRole") == needed(calls) | excused("restore", "SolutionHelperRole")


@STACKS
def test_the_image_function(name: str, moto_server: str) -> None:
    calls = custom_resource_calls(ami_info, "Custom::AMIInfo", InstanceType="c5.xlarge", Architecture="HVM64")
    assert allowed(FULL[name], "AMIInfoRole") == needed(calls) | excused(name, "AMIInfoRole")


def test_the_widget_only_reads(make_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, bucket = make_cloud(), f"logs-{uuid.uuid4()}"
    client("s3").create_bucket(Bucket=bucket)
    stack_variables = {"TABLE_NAME": cloud.name, "TOPIC_ARN": cloud.topic, "LOG_BUCKET": bucket}
    for name, value in (WIDGET_ENVIRONMENT | stack_variables).items():
        monkeypatch.setenv(name, value)
    calls = Calls()
    with calls.recorded():
        widget.lambda_handler({}, SimpleNamespace())

    role = "SnapshotWidgetRole"
    assert allowed(FULL["backup"], role) == needed(calls.made) | excused("backup", role)
    places = {"EFSDynamoDB.Arn": "table", "EFSLogBucket.Arn": "bucket", "SNSTopic": "topic"}
    stack = Stack(template(BACKUP_TEMPLATE), backup_stack().parameters, physical=places)
    assert permits(stack, role, "s3:GetObject", "bucket/snapshots.json")
    assert not permits(stack, role, "s3:GetObject", "bucket/ec2-logs/x.log")
    assert permits(stack, role, "dynamodb:Scan", "table")
    assert permits(stack, role, "sns:ListSubscriptionsByTopic", "topic")


def test_the_watch_of_a_restore(make_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = make_cloud()
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=cloud.group, DesiredCapacity=1)
    monkeypatch.setattr("orchestrator.restore.gives_up", lambda *_: True)
    calls = Calls()
    with calls.recorded():
        restore.lambda_handler(cloud.launch_failed(), SimpleNamespace(aws_request_id="r"))
    role = "RestoreWatchRole"
    assert allowed(FULL["restore"], role) == needed(calls.made) | excused("restore", role)


@STACKS
def test_the_instance(name: str) -> None:
    """The user data, the command that drains it, and the agent."""
    calls = command_line_calls(user_data(FULL[name])) | AGENT_CALLS[name]
    if name == "backup":
        calls |= {"autoscaling:CompleteLifecycleAction"}  # orchestrator.drain
    else:
        calls -= {"dynamodb:GetItem", "dynamodb:UpdateItem"}  # a restore has no table, and its user data asks none
    assert allowed(FULL[name], "EC2Role") == needed(calls) | excused(name, "EC2Role")


@STACKS
def test_the_table_knows_every_role_and_excuses_nothing_that_is_not_there(name: str) -> None:
    stack = FULL[name]
    assert set(TABLE["made_by_others"][name]) == set(roles(stack))
    for role in roles(stack):
        assert excused(name, role) <= allowed(stack, role), role


@STACKS
def test_only_what_cannot_name_a_resource_is_for_everything(name: str) -> None:
    for role in roles(FULL[name]):
        for statement in statements(FULL[name], role):
            if "*" in statement.resources:
                assert set(statement.actions) <= set(TABLE["only_for_everything"]), (role, statement.sid)
            assert not [a for a in statement.actions if "*" in a], (role, statement.sid)


@STACKS
def test_commands_go_only_to_instances_of_the_stack(name: str) -> None:
    for role in roles(FULL[name]):
        for statement in statements(FULL[name], role):
            if "ssm:SendCommand" in statement.actions:
                assert statement.conditional or statement.resources[0].endswith("document/AWS-RunShellScript")
            if any(":key/*" in resource for resource in statement.resources):
                assert statement.conditional, (role, statement.sid)


@STACKS
def test_the_documentation_names_every_action_of_every_role(name: str) -> None:
    text = DOCS.read_text(encoding="utf-8")
    part = text[text.index(f"## The {name} stack") :]
    for role in roles(FULL[name]):
        section = part[part.index(f"### `{role}`") :].split("\n##")[0]
        for action in allowed(FULL[name], role):
            service, operation = action.split(":")
            assert f"`{action}`" in section or (f"`{service}:" in section and f"`{operation}`" in section), (
                role,
                action,
            )
