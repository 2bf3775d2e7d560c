"""Links into the console: what they say is what a person would fill in, and the restore template knows every word."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.templates.reading import ACCOUNT, RESTORE, template

from environment import ConfigurationError, Reader
from links import Console, RestoreLink

ENVIRONMENT = {
    "CONSOLE": "console.aws.amazon.com",
    "AWS_REGION": "eu-west-1",
    "RESTORE_TEMPLATE": "https://release-eu-west-1.s3.eu-west-1.amazonaws.com/efs-backup/v2.0.0/restore.template",
    "STACK_NAME": "nightly",
    "TOPIC_ARN": f"arn:aws:sns:eu-west-1:{ACCOUNT}:nightly-SNSTopic",
    "SOURCE_EFS": "fs-0123456789abcdef0",
    "BACKUP_EFS": "fs-0123456789abcdef1",
    "INTERVAL_TAG": "weekly",
    "FOLDER_LABEL": "efs-backup",
    "BACKUP_PREFIX": "/home/a b&c=ü#?",
    "LOG_BUCKET": "nightly-efslogbucket-1a2b3c",
    "VPC_ID": "vpc-0123456789abcdef0",
    "SUBNETS": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "SECURITY_GROUP": "sg-0123456789abcdef0",
    "EMAIL": "ops+efs@example.com",
}
SNAPSHOT = "20261123T020000Z-6d8c7a"


def fields(link: str) -> dict[str, str]:
    """What the form is filled in with."""
    address, _, query = link.partition("#/stacks/create/review?")
    assert urlsplit(address).path == "/cloudformation/home"
    return {name: values[0] for name, values in parse_qs(query, strict_parsing=True, keep_blank_values=True).items()}


def parameters(link: str) -> dict[str, str]:
    return {name[6:]: value for name, value in fields(link).items() if name.startswith("param_")}


def test_a_restore_link_fills_in_the_whole_form() -> None:
    link = RestoreLink.from_environment(Reader(ENVIRONMENT)).to(SNAPSHOT, 3)

    assert link.startswith("https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1#/")
    assert fields(link)["templateURL"] == ENVIRONMENT["RESTORE_TEMPLATE"]
    assert fields(link)["stackName"] == "nightly-restore"
    assert parameters(link) == {
        "SrcEFS": "fs-0123456789abcdef0",
        "DstEFS": "fs-0123456789abcdef1",
        "IntervalTag": "weekly",
        "FolderLabel": "efs-backup",
        "RestorePrefix": "/home/a b&c=ü#?",
        "RestoreLogBucket": "nightly-efslogbucket-1a2b3c",
        "VpcId": "vpc-0123456789abcdef0",
        "Subnets": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
        "SecurityGroupId": "sg-0123456789abcdef0",
        "Email": "ops+efs@example.com",
        "SnapshotId": SNAPSHOT,
        "BackupNum": "3",
        "NotificationTopic": ENVIRONMENT["TOPIC_ARN"],
    }


def test_the_restore_template_knows_every_parameter_takes_every_value_and_lacks_none() -> None:
    known = template(RESTORE)["Parameters"]
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    given = parameters(replace(RestoreLink.from_environment(Reader(ENVIRONMENT)), boundary=boundary).to(SNAPSHOT, 0))

    assert given["PermissionsBoundaryArn"] == boundary
    assert set(given) <= set(known)
    assert {name for name, parameter in known.items() if "Default" not in parameter} <= set(given)
    for name, value in given.items():
        assert re.fullmatch(known[name].get("AllowedPattern", ".*"), value), name
        assert value in known[name].get("AllowedValues", [value]), name


def test_a_topic_that_nobody_confirmed_is_not_used_for_a_restore() -> None:
    given = parameters(RestoreLink.from_environment(Reader(ENVIRONMENT)).to(SNAPSHOT, confirmed=False))

    assert "NotificationTopic" not in given
    assert "BackupNum" not in given
    assert given["SnapshotId"] == SNAPSHOT


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENT) - {"PERMISSIONS_BOUNDARY"}))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"variable {name} is missing"):
        RestoreLink.from_environment(Reader(ENVIRONMENT | {name: ""}))


def test_logs_are_shown_by_the_console_of_the_partition() -> None:
    china = Console("console.amazonaws.cn", "cn-north-1")
    assert china.log("logs", "ec2-logs/a b.log") == (
        "https://cn-north-1.console.amazonaws.cn/s3/object/logs?region=cn-north-1&prefix=ec2-logs%2Fa%20b.log"
    )
    assert china.logs("logs", "ec2-logs/") == (
        "https://cn-north-1.console.amazonaws.cn/s3/buckets/logs?region=cn-north-1&prefix=ec2-logs%2F"
    )
