"""What the optional parameters, and the guide's choices, make of a stack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.templates.reading import ACCOUNT, BACKUP, RESTORE, Stack, backup_stack, restore_stack, template

from orchestrator.config import Settings

OTHER = "fs-0fedcba9876543210"


def texts(node: Any) -> list[str]:
    """Every string in a resolved template."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in texts(value)]
    if isinstance(node, list):
        return [text for value in node for text in texts(value)]
    return [str(node)]


def test_the_file_system_is_as_chosen() -> None:
    made = backup_stack().properties("DstEFS")
    assert made["FileSystemTags"] == [{"Key": "Name", "Value": "efs-backup-nightly"}]
    assert (made["PerformanceMode"], made["Encrypted"]) == ("generalPurpose", "true")
    assert "KmsKeyId" not in made
    other = backup_stack(EFSMode="maxIO", EFSEncryption="No").properties("DstEFS")
    assert (other["PerformanceMode"], other["Encrypted"]) == ("maxIO", "false")


def test_throughput_and_lifecycle_are_left_alone_unless_chosen() -> None:
    """A property that an update of a stack brings in would undo what somebody set by hand."""
    assert not {"ThroughputMode", "LifecyclePolicies"} & set(backup_stack().properties("DstEFS"))
    chosen = backup_stack(ThroughputMode="elastic", InfrequentAccess="AFTER_30_DAYS").properties("DstEFS")
    assert chosen["ThroughputMode"] == "elastic"
    assert chosen["LifecyclePolicies"] == [{"TransitionToIA": "AFTER_30_DAYS"}]


@pytest.mark.parametrize("make", [backup_stack, restore_stack])
def test_the_instance_type_is_the_mapping_s_unless_chosen(make: Any) -> None:
    def types(stack: Stack) -> dict[str, Any]:
        (data,) = [r["Properties"] for r in stack.resources.values() if r["Type"] == "AWS::EC2::LaunchTemplate"]
        image = stack.properties("AMIInfo")
        found = {"launched": data["LaunchTemplateData"]["InstanceType"], "image for": image["InstanceType"]}
        if make is backup_stack:
            found["recorded"] = stack.properties("Orchestrator")["Environment"]["Variables"]["INSTANCE_TYPE"]
        return {"types": set(found.values()), "architecture": image["Architecture"]}

    assert types(make()) == {"types": {"c5.xlarge"}, "architecture": "HVM64"}
    assert types(make(InstanceType="x8g.large")) == {"types": {"x8g.large"}, "architecture": ""}, "EC2 is asked"


def test_a_spot_instance_is_bought_once() -> None:
    def data(stack: Stack) -> dict[str, Any]:
        return dict(stack.properties("BackupLaunchTemplate")["LaunchTemplateData"])

    assert "InstanceMarketOptions" not in data(backup_stack())
    spot = data(backup_stack(PurchaseOption="Spot"))
    assert spot["InstanceMarketOptions"] == {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    assert "\nPURCHASE_OPTION=Spot\n" in spot["UserData"]


def test_a_restore_is_told_how_to_restore() -> None:
    def settings(stack: Stack) -> set[str]:
        script = stack.properties("RestoreLaunchTemplate")["LaunchTemplateData"]["UserData"]
        return set(script.split("END_OF_SETTINGS'\n")[1].split("END_OF_SETTINGS")[0].splitlines())

    assert {"RESTORE_MODE=keep", "PREVIEW=No", "RESTORE_TO="} <= settings(restore_stack())
    chosen = settings(restore_stack(RestoreMode="exact", Preview="Yes", RestoreTo="/restored"))
    assert {"RESTORE_MODE=exact", "PREVIEW=Yes", "RESTORE_TO=/restored"} <= chosen


def test_an_existing_backup_file_system_is_used_with_its_own_mount_targets() -> None:
    stack = backup_stack(BackupEFS=OTHER)

    assert not {"DstEFS", "MountTarget0", "MountTarget1"} & set(stack.resources)
    assert "DstEFS" not in texts(stack.resources)
    assert stack.properties("Orchestrator")["Environment"]["Variables"]["BACKUP_EFS"] == OTHER
    assert OTHER in stack.properties("CWDashboard")["DashboardBody"]
    assert stack.value(stack.source["Outputs"]["BackupEFS"]["Value"]) == OTHER


def test_the_instance_gets_the_security_group_too() -> None:
    def groups(stack: Stack) -> list[str]:
        return list(stack.properties("BackupLaunchTemplate")["LaunchTemplateData"]["SecurityGroupIds"])

    assert groups(backup_stack()) == ["EFSSecurityGroup.GroupId"]
    assert groups(backup_stack(SecurityGroupId="sg-1")) == ["EFSSecurityGroup.GroupId", "sg-1"]


def test_a_key_encrypts_topic_and_file_system_and_whoever_publishes_may_use_it() -> None:
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
    stack = backup_stack(KmsKeyArn=key)

    assert stack.properties("SNSTopic")["KmsMasterKeyId"] == key
    assert stack.properties("DstEFS")["KmsKeyId"] == key
    assert "KmsKeyId" not in backup_stack(KmsKeyArn=key, EFSEncryption="No").properties("DstEFS")
    assert key not in texts(stack.properties("EFSLogBucket")), "what is kept never depends on a stack's key"
    for role in ("OrchestratorRole", "EC2Role"):
        assert key in texts(stack.properties(role))
    assert "KmsMasterKeyId" not in backup_stack().properties("SNSTopic")


@pytest.mark.parametrize("make", [backup_stack, restore_stack])
def test_every_role_gets_the_boundary(make: Any) -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    for stack, wanted in ((make(PermissionsBoundaryArn=boundary), boundary), (make(), None)):
        roles = [r["Properties"] for r in stack.resources.values() if r["Type"] == "AWS::IAM::Role"]
        assert len(roles) >= 4
        assert {role.get("PermissionsBoundary") for role in roles} == {wanted}


@pytest.mark.parametrize("make", [backup_stack, restore_stack])
def test_a_dashboard_only_if_wanted(make: Any) -> None:
    assert "CWDashboard" in make().resources
    without = make(Dashboard="No")
    assert "CWDashboard" not in without.resources
    assert not without.holds(without.source["Outputs"]["DashboardView"]["Condition"])


def test_a_restore_uses_a_topic_that_it_is_given() -> None:
    topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:nightly"
    stack = restore_stack(NotificationTopic=topic)
    assert "SNSTopic" not in stack.resources
    assert "SNSTopic" not in texts(stack.resources)
    assert stack.properties("RestoreWatch")["Environment"]["Variables"]["TOPIC_ARN"] == topic


def test_the_orchestrator_gets_every_variable_that_it_reads_and_no_other() -> None:
    variables = backup_stack().properties("Orchestrator")["Environment"]["Variables"]
    given = {name: str(value) for name, value in variables.items()} | {"AWS_REGION": "us-east-1"}
    Settings.from_environment(given)
    read: set[str] = set()

    class Watched(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    Settings.from_environment(Watched(given))
    assert read == set(given)


def test_the_schedule_passes_the_event_s_own_id_and_time() -> None:
    rule = backup_stack(BackupSchedule="cron(0 3 ? * MON *)").properties("EFSBackupStartEvent")
    assert rule["ScheduleExpression"] == "cron(0 3 ? * MON *)"
    (target,) = rule["Targets"]
    transformer = target["InputTransformer"]
    filled = transformer["InputTemplate"].replace("<id>", '"e"').replace("<time>", '"2026-11-23T02:00:00Z"')
    assert json.loads(filled) == {
        "mode": "backup",
        "action": "start",
        "id": "e",
        "time": "2026-11-23T02:00:00Z",
    }
    assert transformer["InputPathsMap"] == {"id": "$.id", "time": "$.time"}


def test_the_rules_of_the_stack_may_invoke_the_function_and_no_other_rule_may() -> None:
    stack = backup_stack()
    permissions = [r["Properties"] for r in stack.resources.values() if r["Type"] == "AWS::Lambda::Permission"]
    assert {p["SourceArn"] for p in permissions} == {
        "EFSBackupStartEvent.Arn",
        "ASGEvent.Arn",
        "EFSBackupCheckEvent.Arn",
        f"arn:aws:events:us-east-1:{ACCOUNT}:rule/efs-backup-stop-{stack.guid}",
    }
    assert {p["FunctionName"] for p in permissions} == {"Orchestrator.Arn"}


def test_the_outputs() -> None:
    names = ["UUID", "SNSTopic", "SourceEFS", "BackupEFS", "DashboardView", "LogBucket", "AmiId", "EFSSecurityGroup"]
    assert set(names) <= set(template(BACKUP)["Outputs"])
    stack = backup_stack()
    link = stack.value(stack.source["Outputs"]["DashboardView"]["Value"])
    assert link == (
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#dashboards:name=CWDashboard"
    )


@pytest.mark.parametrize("path", [BACKUP, RESTORE], ids=["backup", "restore"])
def test_nothing_is_bound_to_one_partition(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    body = text[text.index("\nResources:") :]
    assert "arn:aws:" not in body
    assert "amazonaws.com/" not in body
    source = template(path)
    parameters = backup_stack().parameters if path == BACKUP else restore_stack().parameters
    china = Stack(source, parameters, region="cn-north-1", partition="aws-cn")
    for text in texts(china.resources):
        assert "arn:aws:" not in text
    assert "https://cn-north-1.console.amazonaws.cn/" in str(china.value(source["Outputs"]["DashboardView"]["Value"]))


@pytest.mark.parametrize(("stack", "count"), [(backup_stack(), 4), (restore_stack(), 3)], ids=["backup", "restore"])
def test_every_function_runs_on_a_living_runtime_and_keeps_its_log_for_a_while(stack: Stack, count: int) -> None:
    functions = {k: r["Properties"] for k, r in stack.resources.items() if r["Type"] == "AWS::Lambda::Function"}
    assert len(functions) == count
    for name, function in functions.items():
        assert function["Runtime"] == "python3.13"
        group = stack.properties(function["LoggingConfig"]["LogGroup"])
        assert group["RetentionInDays"] == 90, name


def test_bucket_topic_and_queue_take_tls_only() -> None:
    stack = backup_stack()
    for policy, resources in (
        ("EFSLogBucketPolicy", ["EFSLogBucket.Arn", "EFSLogBucket.Arn/*"]),
        ("SNSTopicPolicy", "SNSTopic"),
        ("OrchestratorDeadLettersPolicy", "OrchestratorDeadLetters.Arn"),
    ):
        statements = stack.properties(policy)["PolicyDocument"]["Statement"]
        (deny,) = [s for s in statements if s["Effect"] == "Deny"]
        assert deny["Principal"] == "*"
        assert deny["Resource"] == resources
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_log_bucket_is_private_encrypted_and_versioned() -> None:
    bucket = backup_stack().properties("EFSLogBucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    encryption = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]["ServerSideEncryptionByDefault"]
    assert encryption == {"SSEAlgorithm": "AES256"}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert "BucketName" not in bucket
    assert "AccessControl" not in bucket


def test_the_table_is_on_demand_encrypted_and_expires_its_items() -> None:
    table = backup_stack().properties("EFSDynamoDB")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ExpireItem", "Enabled": True}


def test_events_that_fail_go_to_the_queue_and_the_queue_alarms() -> None:
    stack = backup_stack()
    queue = "OrchestratorDeadLetters.Arn"
    assert stack.properties("Orchestrator")["DeadLetterConfig"] == {"TargetArn": queue}
    assert stack.properties("Orchestrator")["Environment"]["Variables"]["DEAD_LETTERS"] == queue, "for the stop rule"
    for rule in ("EFSBackupStartEvent", "ASGEvent", "EFSBackupCheckEvent"):
        (target,) = stack.properties(rule)["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": queue}
    alarm = stack.properties("OrchestratorDeadLettersAlarm")
    assert alarm["AlarmActions"] == ["SNSTopic"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "OrchestratorDeadLetters.QueueName"}]


def test_errors_of_the_orchestrator_alarm() -> None:
    alarm = backup_stack().properties("OrchestratorErrorsAlarm")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "Orchestrator"}]
    assert (alarm["Statistic"], alarm["Threshold"], alarm["TreatMissingData"]) == ("Sum", 0, "notBreaching")
    assert alarm["AlarmActions"] == ["SNSTopic"]


def test_an_overdue_backup_alarms_after_three_hours_also_when_nothing_tells() -> None:
    stack = backup_stack(BackupSchedule="rate(1 day)")
    alarm = stack.properties("OverdueAlarm")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("EFS-Backup", "HoursOverdue")
    assert alarm["Dimensions"] == [{"Name": "StackName", "Value": "nightly"}]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3600, 3, 3)
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["AlarmActions"] == ["SNSTopic"]
    first = stack.properties("OverdueStart")
    assert (first["Namespace"], first["MetricName"], first["StackName"]) == ("EFS-Backup", "HoursOverdue", "nightly")

    rule = stack.properties("EFSBackupCheckEvent")
    assert rule["ScheduleExpression"] == "rate(1 hour)"
    assert json.loads(rule["Targets"][0]["Input"]) == {"mode": "backup", "action": "check"}
    assert stack.properties("Orchestrator")["Environment"]["Variables"]["BACKUP_SCHEDULE"] == "rate(1 day)"


def test_a_restore_from_a_mail_s_link_may_reach_both_file_systems() -> None:
    """The link fills in one group. The backup file system lets it in, and so does the source, as far as is known."""

    def link_group(stack: Stack) -> str:
        return str(stack.properties("Orchestrator")["Environment"]["Variables"]["SECURITY_GROUP"])

    assert link_group(backup_stack()) == "EFSSecurityGroup.GroupId"
    assert "EFSIngressFromGroup" not in backup_stack().resources
    stack = backup_stack(SecurityGroupId="sg-1")
    assert link_group(stack) == "sg-1"
    rule = stack.properties("EFSIngressFromGroup")
    assert (rule["GroupId"], rule["SourceSecurityGroupId"]) == ("EFSSecurityGroup.GroupId", "sg-1")
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 2049, 2049)


def test_the_links_of_the_mails_lead_to_this_version_s_restore_template() -> None:
    variables = backup_stack().properties("Orchestrator")["Environment"]["Variables"]
    assert variables["RESTORE_TEMPLATE"] == (
        "https://%%BUCKET%%-us-east-1.s3.us-east-1.amazonaws.com/%%SOLUTION%%/%%VERSION%%/efs-to-efs-restore.template"
    )
    assert variables["SUBNETS"] == backup_stack().parameters["Subnets"]
