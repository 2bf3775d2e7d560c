"""The parameters of both templates: those of the guide and the published solution, and the product's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session as botocore_session
from tests.templates.reading import BACKUP, BACKUP_PARAMETERS, RESTORE, RESTORE_PARAMETERS, backup_stack, template

from efs_backup.pure.cost import given_prices
from efs_backup.pure.errors import UsageError

REQUIRED = None
"""In place of a default."""

Row = tuple[str, str, str | int | None]

GUIDE_BACKUP: list[Row] = [
    ("SrcEFS", "Source EFS", REQUIRED),
    ("IntervalTag", "Interval Label", "daily"),
    ("Retain", "Retain", 7),
    ("FolderLabel", "Folder Label", "efs-backup"),
    ("BackupWindow", "Backup Window", 180),
    ("BackupSchedule", "Backup Schedule", "cron(0 2 * * ? *)"),
    ("BackupPrefix", "Backup Prefix", "/"),
    ("EFSMode", "EFS Mode", "generalPurpose"),
    ("EFSEncryption", "EFS Encryption", "Yes"),
    ("VpcId", "VPC ID", REQUIRED),
    ("Subnets", "Subnet IDs", REQUIRED),
    ("SuccessNotification", "Success Notification", "Yes"),
    ("Email", "Email", REQUIRED),
    ("Dashboard", "Dashboard", "Yes"),
]
OWN_BACKUP: list[Row] = [
    ("BackupEFS", "Backup EFS", ""),
    ("SecurityGroupId", "Security Group ID", ""),
    ("KmsKeyArn", "KMS Key ARN", ""),
    ("PermissionsBoundaryArn", "Permissions Boundary ARN", ""),
    ("Prices", "Prices", ""),
    ("InstanceType", "Instance Type", ""),
    ("PurchaseOption", "Purchase Option", "On-Demand"),
    ("ThroughputMode", "Throughput Mode", "unset"),
    ("InfrequentAccess", "Infrequent Access", "unset"),
]
GUIDE_RESTORE: list[Row] = [
    ("SrcEFS", "Source EFS", REQUIRED),
    ("DstEFS", "Backup EFS", REQUIRED),
    ("IntervalTag", "Interval Label", "daily"),
    ("BackupNum", "Backup Number", 0),
    ("FolderLabel", "Folder Label", "efs-backup"),
    ("RestorePrefix", "Restore Prefix", "/"),
    ("RestoreSubDir", "Restore Subdirectory", "/"),
    ("RestoreLogBucket", "Restore Log Bucket", REQUIRED),
    ("VpcId", "VPC ID", REQUIRED),
    ("Subnets", "Subnet IDs", REQUIRED),
    ("SecurityGroupId", "Security Group ID", REQUIRED),
    ("Email", "Email", REQUIRED),
    ("Dashboard", "Dashboard", "Yes"),
]
OWN_RESTORE: list[Row] = [
    ("SnapshotId", "Snapshot ID", ""),
    ("NotificationTopic", "Notification Topic", ""),
    ("RestoreTo", "Restore To", ""),
    ("PermissionsBoundaryArn", "Permissions Boundary ARN", ""),
    ("RestoreMode", "Restore Mode", "keep"),
    ("Preview", "Preview", "No"),
    ("InstanceType", "Instance Type", ""),
]
TABLES = [(BACKUP, GUIDE_BACKUP, OWN_BACKUP), (RESTORE, GUIDE_RESTORE, OWN_RESTORE)]

GROUPS = {
    BACKUP: {
        "Backup Configuration": [name for name, _, _ in GUIDE_BACKUP[:9]],
        "EC2 Configuration": ["VpcId", "Subnets"],
        "Notification & Dashboard": ["SuccessNotification", "Email", "Dashboard"],
    },
    RESTORE: {
        "Restore Configuration": [name for name, _, _ in GUIDE_RESTORE[:8]],
        "EC2 Configuration": ["VpcId", "Subnets", "SecurityGroupId"],
        "Notification & Dashboard": ["Email", "Dashboard"],
    },
}

WINDOWS = [60, 90, 120, 150, 180, 240, 300, 360, 480, 600, 720, 840, 960, 1080, 1200, 1320]

both = pytest.mark.parametrize(("path", "guide", "own"), TABLES, ids=["backup", "restore"])


@both
def test_ids_labels_and_defaults_in_the_order_of_the_table(path: Path, guide: list[Row], own: list[Row]) -> None:
    loaded = template(path)
    labels = loaded["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"]
    assert [
        (name, labels[name]["default"], parameter.get("Default", REQUIRED))
        for name, parameter in loaded["Parameters"].items()
    ] == guide + own


@both
def test_the_console_groups_them_in_the_same_order(path: Path, guide: list[Row], own: list[Row]) -> None:
    interface = template(path)["Metadata"]["AWS::CloudFormation::Interface"]
    groups = {group["Label"]["default"]: group["Parameters"] for group in interface["ParameterGroups"]}
    labels = list(groups)
    of_the_guide, of_our_own = labels[: len(GROUPS[path])], labels[len(GROUPS[path]) :]
    assert [(label, groups[label]) for label in of_the_guide] == list(GROUPS[path].items())
    assert all(label.startswith("Optional: ") for label in of_our_own)
    assert [name for label in of_our_own for name in groups[label]] == [name for name, _, _ in own]
    assert [name for group in groups.values() for name in group] == [name for name, _, _ in guide + own]


@both
def test_every_parameter_is_described_and_constrained(path: Path, guide: list[Row], own: list[Row]) -> None:
    for name, parameter in template(path)["Parameters"].items():
        assert parameter["Description"], name
        constrained = {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter)
        assert constrained or parameter["Type"].startswith(("AWS::", "List<AWS::")), name
        if "AllowedPattern" in parameter:
            assert parameter["ConstraintDescription"], name


@both
def test_a_quick_create_link_can_carry_every_parameter(path: Path, guide: list[Row], own: list[Row]) -> None:
    """A link gives text (``param_NAME=``), never a secret; what has a default need not be in it."""
    parameters = template(path)["Parameters"]
    assert not any(parameter.get("NoEcho") for parameter in parameters.values())
    required = [name for name, parameter in parameters.items() if "Default" not in parameter]
    assert required == [name for name, _, default in guide if default is REQUIRED]
    assert set(required) == set(BACKUP_PARAMETERS if path == BACKUP else RESTORE_PARAMETERS)


def test_the_drop_downs() -> None:
    parameters = template(BACKUP)["Parameters"]
    assert parameters["IntervalTag"]["AllowedValues"] == ["daily", "weekly", "monthly"]
    assert parameters["BackupWindow"]["AllowedValues"] == WINDOWS
    assert parameters["EFSMode"]["AllowedValues"] == ["generalPurpose", "maxIO"]
    for name in ("EFSEncryption", "SuccessNotification", "Dashboard"):
        assert parameters[name]["AllowedValues"] == ["Yes", "No"]
    assert parameters["PurchaseOption"]["AllowedValues"] == ["On-Demand", "Spot"]
    assert parameters["ThroughputMode"]["AllowedValues"] == ["unset", "bursting", "elastic"]
    restore = template(RESTORE)["Parameters"]
    assert restore["RestoreMode"]["AllowedValues"] == ["keep", "exact"]
    assert restore["Preview"]["AllowedValues"] == ["Yes", "No"]
    assert parameters["Retain"]["MinValue"] == 1
    assert "170" in parameters["Retain"]["Description"]
    assert restore["BackupNum"]["MinValue"] == 0


def test_infrequent_access_has_every_choice_of_amazon_efs() -> None:
    values = template(BACKUP)["Parameters"]["InfrequentAccess"]["AllowedValues"]
    known = botocore_session().get_service_model("efs").shape_for("TransitionToIARules").enum
    assert values == ["unset", *sorted(known, key=lambda rule: int(rule.split("_")[1]))]


ACCEPTED: dict[str, list[str]] = {
    "SrcEFS": ["fs-12345678", "fs-0123456789abcdef0"],
    "FolderLabel": ["efs-backup", "Team_A.prod"],
    "BackupSchedule": ["cron(0 2 * * ? *)", "cron(0 3 ? * MON-FRI *)", "rate(1 day)"],
    "BackupPrefix": ["/", "/appdata", "/home/a b/ü"],
    "Email": ["ops@example.com", "first.last+tag@sub.example.co.uk"],
    "BackupEFS": ["", "fs-0123456789abcdef0"],
    "SecurityGroupId": ["", "sg-0123456789abcdef0"],
    "KmsKeyArn": ["", f"arn:aws-cn:kms:cn-north-1:123456789012:key/{'0' * 36}"],
    "PermissionsBoundaryArn": ["", "arn:aws:iam::123456789012:policy/path/Boundary", "arn:aws:iam::aws:policy/X"],
    "RestoreSubDir": ["/", "/home/", "/a b/c/"],
    "RestoreLogBucket": ["nightly-efslogbucket-1a2b3c"],
    "SnapshotId": ["", "20261123T020000Z-5f2c7a10"],
    "NotificationTopic": ["", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:nightly-SNSTopic-1A2B"],
    "RestoreTo": ["", "/restored"],
    "Prices": ["", "instance=0.192,storage=0.33,currency=USD", "instance=1,storage=2,currency=CNY"],
    "InstanceType": ["", "c5.xlarge", "c7g.2xlarge", "u-6tb1.56xlarge", "m7i-flex.large", "c6g.metal"],
}
REFUSED: dict[str, list[str]] = {
    "SrcEFS": ["", "fs-", "vol-12345678", "fs-12345678\nX=1", "fs-XYZ12345"],
    "FolderLabel": ["", "a/b", "..", ".hidden", "-rf", "a b", "a\nRETAIN=1"],
    "BackupSchedule": ["", "0 2 * * *", "cron()", "every day"],
    "BackupPrefix": ["", "appdata", "/a\nTABLE_NAME=other", "/a\r"],
    "Email": ["", "ops", "ops@", "o ps@example.com"],
    "BackupEFS": ["efs", "fs-"],
    "SecurityGroupId": ["default"],
    "KmsKeyArn": ["alias/mine", "0" * 36],
    "PermissionsBoundaryArn": ["Boundary"],
    "RestoreSubDir": ["", "home/", "/home", "/a\n/"],
    "RestoreLogBucket": ["", "Bucket_With_Capitals", "s3://bucket"],
    "SnapshotId": ["a b", "a\nb", "../x"],
    "NotificationTopic": ["ops@example.com", "arn:aws:sqs:us-east-1:123456789012:q"],
    "RestoreTo": ["restored", "/a\nb"],
    "Prices": ["0.17", "instance=.1,storage=1,currency=USD", "instance=1,storage=1,currency=USD\nRETAIN=1"],
    "InstanceType": ["xlarge", "c5", "C5.xlarge", "c5.xlarge\nX=1", "c5.xlarge; reboot"],
}


@pytest.mark.parametrize("path", [BACKUP, RESTORE], ids=["backup", "restore"])
def test_patterns_take_what_is_right_and_nothing_that_adds_a_setting(path: Path) -> None:
    parameters: dict[str, Any] = template(path)["Parameters"]
    patterns = {name: p["AllowedPattern"] for name, p in parameters.items() if "AllowedPattern" in p}
    alias = {"RestorePrefix": "BackupPrefix", "DstEFS": "SrcEFS"}
    for name, pattern in patterns.items():
        for value in ACCEPTED[alias.get(name, name)]:
            assert re.fullmatch(pattern, value), (name, value)
        for value in REFUSED[alias.get(name, name)]:
            # CloudFormation matches as Java does: the whole value, and "$" not before a last newline.
            assert not re.fullmatch(pattern.replace("$", r"\Z"), value), (name, value)


def test_the_agent_reads_the_prices_that_the_template_takes() -> None:
    for value in filter(None, ACCEPTED["Prices"]):
        assert given_prices(value).currency in value
    for value in REFUSED["Prices"]:
        with pytest.raises(UsageError):
            given_prices(value)


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({}, None),
        ({"ThroughputMode": "elastic"}, None),
        ({"EFSMode": "maxIO"}, None),
        ({"ThroughputMode": "bursting", "EFSMode": "maxIO"}, None),
        ({"ThroughputMode": "elastic", "EFSMode": "maxIO"}, "elastic needs the EFS Mode generalPurpose"),
        ({"BackupEFS": "fs-12345678"}, None),
        ({"BackupEFS": "fs-12345678", "ThroughputMode": "bursting"}, "The Throughput Mode is for a new"),
        ({"BackupEFS": "fs-12345678", "InfrequentAccess": "AFTER_1_DAY"}, "Infrequent Access is for a new"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused_in_words(
    parameters: dict[str, str], refused: str | None
) -> None:
    stack = backup_stack(**parameters)
    rules = [rule for rule in stack.source["Rules"].values() if "RuleCondition" in rule]
    assert len(rules) == 2
    failed = [
        assertion["AssertDescription"]
        for rule in rules
        if stack.value(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not stack.value(assertion["Assert"])
    ]
    assert [text for text in failed if refused and refused in text] == failed
    assert len(failed) == (1 if refused else 0)
