"""The dashboards: every metric they name is one that somebody emits, and they are laid out to be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from tests.templates.reading import BACKUP, Stack, backup_stack, restore_stack, template
from tests.unit.functions.cloud import Cloud
from tests.unit.functions.conftest import make_cloud, moto_server

from efs_backup.agent.pure.metrics import NAMESPACE, end_metrics, progress_metrics
from links import RESTORE_PARAMETERS
from widget.config import Settings

__all__ = ["make_cloud", "moto_server"]

DOCS = Path(__file__).parents[2] / "docs" / "dashboard.md"
OTHER = "fs-0fedcba9876543210"

BY_AWS = {
    ("AWS/EFS", "BurstCreditBalance", "FileSystemId"),
    ("AWS/EFS", "PermittedThroughput", "FileSystemId"),
    ("AWS/EFS", "TotalIOBytes", "FileSystemId"),
    ("AWS/Lambda", "Invocations", "FunctionName"),
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
    ("AWS/DynamoDB", "SuccessfulRequestLatency", "TableName", "Operation"),
}
"""What AWS emits, with its dimensions, as each service's user guide lists it."""

STACKS = {
    "backup": backup_stack(),
    "backup on an existing file system": backup_stack(BackupEFS=OTHER),
    "restore": restore_stack(),
}
stacks = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())


def widgets(stack: Stack) -> list[dict[str, Any]]:
    return list(json.loads(stack.properties("CWDashboard")["DashboardBody"])["widgets"])


def metrics(stack: Stack) -> list[list[Any]]:
    """Every metric of a dashboard: namespace, name, and dimensions with their values."""
    shown = [m for w in widgets(stack) if w["type"] == "metric" for m in w["properties"]["metrics"]]
    return [[part for part in metric if isinstance(part, str)] for metric in shown if isinstance(metric[0], str)]


def documented(writer: str) -> dict[str, str]:
    """The units of the metrics that docs/dashboard.md promises of the agent or the orchestrator."""
    found: dict[str, str] = {}
    text = DOCS.read_text(encoding="utf-8").split("\n## Attributes")[0]
    for paragraph in re.split(r"\n(?=The agent|The orchestrator)", text):
        if paragraph.startswith(f"The {writer}"):
            found |= dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", paragraph, re.MULTILINE))
    return found


@stacks
def test_every_metric_is_one_that_aws_or_the_product_emits_with_these_dimensions(stack: Stack) -> None:
    ours = documented("agent") | documented("orchestrator")
    for namespace, name, *dimensions in metrics(stack):
        names, values = tuple(dimensions[::2]), dimensions[1::2]
        if namespace == "EFS-Backup":
            assert name in ours
            assert (names, values) == (("StackName",), ["nightly"])
        else:
            assert (namespace, name, *names) in BY_AWS


def test_the_agent_publishes_what_is_documented_in_these_units() -> None:
    progress = {"phase": "scan", "files": 5, "bytes": 7, "files_expected": 10, "bytes_expected": 0}
    report = {"files": 10, "bytes": 20, "files_transferred": 1, "bytes_transferred": 2}
    published = [*progress_metrics(progress), *end_metrics("Success", 3.0, report)]
    assert {m.name: m.unit for m in published} == documented("agent")
    assert NAMESPACE == "EFS-Backup"


def test_the_orchestrator_publishes_what_is_documented_in_these_units(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    cloud.invoke({"mode": "backup", "action": "check"})
    (sent,) = [given for call, given in cloud.calls.parameters if call == "cloudwatch:PutMetricData"]
    assert sent["Namespace"] == "EFS-Backup"
    assert {m["MetricName"]: m["Unit"] for m in sent["MetricData"]} == documented("orchestrator")
    assert {tuple(d["Name"] for d in m["Dimensions"]) for m in sent["MetricData"]} == {("StackName",)}


def test_the_dashboards_show_all_that_is_measured() -> None:
    shown = {name for stack in STACKS.values() for namespace, name, *_ in metrics(stack) if namespace == "EFS-Backup"}
    assert shown == set(documented("agent") | documented("orchestrator"))


@stacks
def test_what_the_guide_lists_is_there_for_both_file_systems(stack: Stack) -> None:
    """Visualization: I/O of source and backup; and row by row burst credits and permitted throughput."""
    both = {"fs-0123456789abcdef0", OTHER if stack.parameters.get("BackupEFS") else "DstEFS"}
    if "DstEFS" in stack.parameters:
        both = {stack.parameters["SrcEFS"], stack.parameters["DstEFS"]}
    for name in ("BurstCreditBalance", "PermittedThroughput", "TotalIOBytes"):
        assert {m[3] for m in metrics(stack) if m[1] == name} == both


def test_the_orchestrator_and_the_table_are_there() -> None:
    shown = metrics(backup_stack())
    assert {m[1] for m in shown if m[:1] == ["AWS/Lambda"] and m[3] == "Orchestrator"} == {"Invocations", "Errors"}
    operations = {m[5] for m in shown if m[0] == "AWS/DynamoDB"}
    assert {"GetItem", "PutItem", "UpdateItem"} <= operations


@stacks
def test_expressions_name_metrics_of_their_widget(stack: Stack) -> None:
    for widget in widgets(stack):
        rows = widget["properties"].get("metrics", [])
        ids = {row[-1]["id"] for row in rows if isinstance(row[-1], dict) and "id" in row[-1]}
        for (expression,) in (row for row in rows if isinstance(row[0], dict)):
            assert set(re.findall(r"[a-z]\w*", expression["expression"])) <= ids


@stacks
def test_widgets_fit_the_grid_and_do_not_cover_each_other(stack: Stack) -> None:
    places = [(w["x"], w["y"], w["x"] + w["width"], w["y"] + w["height"]) for w in widgets(stack)]
    for left, top, right, bottom in places:
        assert 0 <= left < right <= 24
        assert 0 <= top < bottom
    for one, other in combinations(places, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@stacks
def test_charts_of_weeks_say_both_ends_and_every_chart_its_region(stack: Stack) -> None:
    for widget in widgets(stack):
        properties = widget["properties"]
        assert ("start" in properties) == ("end" in properties)
        if widget["type"] == "metric":
            assert properties["region"] == "us-east-1"
            assert properties["title"]


@pytest.mark.parametrize("path", ['/a "quoted" \\ path', "/{braces}", "/$HOME"])
def test_no_path_of_the_user_breaks_the_dashboard(path: str) -> None:
    assert widgets(backup_stack(BackupPrefix=path))
    assert widgets(restore_stack(RestorePrefix=path, RestoreTo=path, RestoreSubDir=f"{path}/"))


def test_the_widget_is_on_the_dashboard_and_gets_what_it_needs() -> None:
    stack = backup_stack(PermissionsBoundaryArn="arn:aws:iam::123456789012:policy/boundary")
    (custom,) = [w for w in widgets(stack) if w["type"] == "custom"]
    assert custom["properties"]["endpoint"] == "SnapshotWidget.Arn"
    assert custom["properties"]["updateOn"]["refresh"] is True

    variables = stack.properties("SnapshotWidget")["Environment"]["Variables"]
    settings = Settings.from_environment(variables | {"AWS_REGION": "us-east-1"})
    assert settings.orchestrator == "Orchestrator.Arn"
    assert settings.restore.boundary == "arn:aws:iam::123456789012:policy/boundary"
    assert settings.restore.parameters["Subnets"] == stack.parameters["Subnets"]
    assert settings.restore.template == (
        "https://%%BUCKET%%-us-east-1.s3.us-east-1.amazonaws.com/%%SOLUTION%%/%%VERSION%%/efs-to-efs-restore.template"
    )
    assert set(RESTORE_PARAMETERS.values()) <= set(variables)


def test_a_restore_uses_the_security_group_that_reaches_both_file_systems() -> None:
    def group(stack: Stack) -> str:
        return str(stack.properties("SnapshotWidget")["Environment"]["Variables"]["SECURITY_GROUP"])

    assert group(backup_stack()) == "EFSSecurityGroup.GroupId"
    other = backup_stack(SecurityGroupId="sg-0123456789abcdef0")
    assert group(other) == "sg-0123456789abcdef0"
    rule = other.properties("EFSIngressFromGroup")
    assert (rule["GroupId"], rule["SourceSecurityGroupId"]) == ("EFSSecurityGroup.GroupId", "sg-0123456789abcdef0")
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 2049, 2049)
    assert "EFSIngressFromGroup" not in backup_stack().resources


def test_every_alarm_of_the_stack_is_shown() -> None:
    stack = backup_stack()
    (shown,) = [w["properties"]["alarms"] for w in widgets(stack) if w["type"] == "alarm"]
    prefix = "arn:aws:cloudwatch:us-east-1:123456789012:alarm"
    alarms = {f"{prefix}:{key}" for key, r in stack.resources.items() if r["Type"] == "AWS::CloudWatch::Alarm"}
    assert set(shown) == alarms


def test_without_a_dashboard_there_is_no_widget() -> None:
    none = backup_stack(Dashboard="No").resources
    assert not [key for key in none if "Widget" in key or "Dashboard" in key]
    assert {"SnapshotWidget", "SnapshotWidgetRole", "CWDashboard"} <= set(template(BACKUP)["Resources"])
