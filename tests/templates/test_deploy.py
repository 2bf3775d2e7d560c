"""moto's CloudFormation takes both templates, with the parameter files of the published solution.

moto neither waits for custom resources nor runs functions without a container; here the real handlers answer in its
place. The whole stack at work is the local cloud's matter.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import uuid
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from moto.cloudformation.custom_model import CustomModel
from tests.templates.reading import BACKUP, BACKUP_PARAMETERS, RESTORE, RESTORE_PARAMETERS, released
from tests.unit.functions.cloud import client
from tests.unit.functions.conftest import http_server, moto_server

from ami_info import handler as ami_info
from solution_helper import handler as solution_helper

__all__ = ["moto_server"]

IGNORED_BY_MOTO = {
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}
"""What moto 5.2.1 leaves out of a stack, and says so in its log."""

PUBLISHED_BACKUP = {
    "SrcEFS": "fs-12345678",
    "IntervalTag": "weekly",
    "Retain": "4",
    "FolderLabel": "efs-backup",
    "BackupWindow": "240",
    "BackupSchedule": "cron(0 2 ? * SUN *)",
    "BackupPrefix": "/appdata",
    "EFSMode": "maxIO",
    "SuccessNotification": "No",
    "Email": "ops@example.com",
    "Dashboard": "Yes",
    "EFSEncryption": "No",
}
PUBLISHED_RESTORE = {
    "SrcEFS": "fs-12345678",
    "DstEFS": "fs-23456789",
    "IntervalTag": "weekly",
    "BackupNum": "2",
    "FolderLabel": "efs-backup",
    "RestorePrefix": "/appdata",
    "RestoreSubDir": "/home/",
    "RestoreLogBucket": "the-log-bucket",
    "Email": "ops@example.com",
    "Dashboard": "No",
}

Parameters = dict[str, str]


@pytest.fixture
def network(moto_server: str) -> Parameters:
    """A VPC with two subnets, as parameters."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for n, zone in enumerate(("us-east-1a", "us-east-1b"))
    ]
    return {"VpcId": vpc, "Subnets": ",".join(subnets)}


@pytest.fixture
def custom_resources(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Custom resources are answered by the real handlers, and moto waits for the answer."""
    answers: list[dict[str, Any]] = []

    def keep(body: bytes) -> int:
        answers.append(json.loads(body))
        return 200

    def create(resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **given: Any) -> Any:
        properties = cloudformation_json["Properties"]
        function = client("lambda").get_function(FunctionName=properties["ServiceToken"])["Configuration"]
        handler = {"solution_helper": solution_helper, "ami_info": ami_info}[function["Handler"].split(".")[0]]
        event = {
            "RequestType": "Create",
            "ResponseURL": url,
            "StackId": given["StackId"],
            "RequestId": str(uuid.uuid4()),
            "ResourceType": given["ResourceType"],
            "LogicalResourceId": given["LogicalId"],
            "ResourceProperties": properties | {"SendAnonymousData": "No"},
        }
        handler.lambda_handler(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 120_000))
        answer = answers.pop()
        assert answer["Status"] == "SUCCESS", answer
        made = CustomModel(  # type: ignore[abstract]  # moto makes it just so
            region_name, event["RequestId"], given["LogicalId"], answer["PhysicalResourceId"]
        )
        made.set_data(answer["Data"])
        return made

    with http_server(keep) as url:
        monkeypatch.setattr(CustomModel, "create_from_cloudformation_json", staticmethod(create))
        yield


@pytest.fixture
def release(moto_server: str) -> None:
    """The release bucket of the region, with the functions' archives: moto wants to see them."""
    client("s3").create_bucket(Bucket="release-us-east-1")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("empty.py", "")
    for name in ("orchestrator", "solution_helper", "ami_info", "widget"):
        client("s3").put_object(Bucket="release-us-east-1", Key=f"efs-backup/v2.0.0/{name}.zip", Body=packed.getvalue())


def deploy(
    path: Any, parameters: Parameters, caplog: pytest.LogCaptureFixture
) -> tuple[dict[str, str], dict[str, str]]:
    """Create a stack; return its outputs, and physical by logical ids."""
    name = f"stack-{uuid.uuid4().hex[:8]}"
    caplog.set_level(logging.WARNING)
    client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=released(path),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    ignored = set(re.findall(r"No Moto CloudFormation support for (\S+)", caplog.text))
    assert ignored <= IGNORED_BY_MOTO
    (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    resources = client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
    # moto lists what it ignored without an id
    physical = {r["LogicalResourceId"]: r.get("PhysicalResourceId", "") for r in resources if "LogicalResourceId" in r}
    return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}, physical


def launch_template_data(template_id: str) -> dict[str, Any]:
    """What the newest version of a launch template says."""
    versions = client("ec2").describe_launch_template_versions(LaunchTemplateId=template_id)
    return dict(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"])


@pytest.mark.usefixtures("custom_resources", "release")
def test_a_backup_stack_with_the_required_parameters(network: Parameters, caplog: pytest.LogCaptureFixture) -> None:
    outputs, physical = deploy(BACKUP, BACKUP_PARAMETERS | network, caplog)

    assert str(uuid.UUID(outputs["UUID"])) == outputs["UUID"]
    assert outputs["AmiId"].startswith("ami-")
    assert outputs["BackupEFS"] == physical["DstEFS"]
    assert outputs["EFSSecurityGroup"].startswith("sg-")
    variables = client("lambda").get_function(FunctionName=physical["Orchestrator"])["Configuration"]["Environment"]
    assert variables["Variables"]["UUID"] == outputs["UUID"]
    assert variables["Variables"]["GROUP_NAME"] == physical["EFSAutoScalingGroup"]
    (group,) = client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[physical["EFSAutoScalingGroup"]]
    )["AutoScalingGroups"]
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 1)


@pytest.mark.usefixtures("custom_resources", "release")
def test_a_parameter_file_of_the_published_backup_template(
    network: Parameters, caplog: pytest.LogCaptureFixture
) -> None:
    _, physical = deploy(BACKUP, PUBLISHED_BACKUP | network, caplog)

    variables = client("lambda").get_function(FunctionName=physical["Orchestrator"])["Configuration"]["Environment"]
    given = variables["Variables"]
    assert (given["RETAIN"], given["BACKUP_WINDOW"], given["INTERVAL_TAG"]) == ("4", "240", "weekly")
    assert (given["BACKUP_PREFIX"], given["SUCCESS_NOTIFICATION"]) == ("/appdata", "No")
    data = launch_template_data(physical["BackupLaunchTemplate"])
    script = base64.b64decode(data["UserData"]).decode()
    assert script.startswith("#!/bin/bash\n")
    settings = dict(line.split("=", 1) for line in script.split("END_OF_SETTINGS'\n")[1].split("END_OF")[0].split())
    assert (settings["PREFIX"], settings["RETAIN"], settings["BACKUP_EFS"]) == ("/appdata", "4", physical["DstEFS"])
    assert settings["GROUP_NAME"] == physical["EFSAutoScalingGroup"]
    assert settings["TOPIC_ARN"] == physical["SNSTopic"]
    assert 'settings=/etc/efs-backup/environment\nsetting() { sed -n "s/^$1=//p" "$settings"; }' in script
    assert data["ImageId"].endswith("al2023-ami-kernel-default-x86_64")


@pytest.mark.usefixtures("custom_resources", "release")
def test_a_backup_stack_with_every_option(network: Parameters, caplog: pytest.LogCaptureFixture) -> None:
    given = {"GroupName": "source", "Description": "who may mount the source", "VpcId": network["VpcId"]}
    options = {
        "BackupEFS": "fs-0fedcba9876543210",
        "SecurityGroupId": client("ec2").create_security_group(**given)["GroupId"],
        "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
        "Dashboard": "No",
        "InstanceType": "c6g.2xlarge",
        "PurchaseOption": "Spot",
    }
    outputs, physical = deploy(BACKUP, BACKUP_PARAMETERS | network | options, caplog)

    assert outputs["BackupEFS"] == options["BackupEFS"]
    assert not {"DstEFS", "MountTarget0", "CWDashboard"} & set(physical)
    data = launch_template_data(physical["BackupLaunchTemplate"])
    assert data["InstanceType"] == "c6g.2xlarge"
    assert data["InstanceMarketOptions"]["MarketType"] == "spot"
    assert data["ImageId"].endswith("al2023-ami-kernel-default-arm64"), "a Graviton type takes the arm64 image"


@pytest.mark.usefixtures("custom_resources", "release")
def test_a_new_backup_file_system_as_chosen(network: Parameters, caplog: pytest.LogCaptureFixture) -> None:
    options = {"ThroughputMode": "elastic", "InfrequentAccess": "AFTER_30_DAYS"}
    _, physical = deploy(BACKUP, BACKUP_PARAMETERS | network | options, caplog)

    efs = client("efs")
    (made,) = efs.describe_file_systems(FileSystemId=physical["DstEFS"])["FileSystems"]
    assert made["ThroughputMode"] == "elastic"
    policies = efs.describe_lifecycle_configuration(FileSystemId=physical["DstEFS"])["LifecyclePolicies"]
    assert policies == [{"TransitionToIA": "AFTER_30_DAYS"}]


@pytest.mark.usefixtures("custom_resources", "release")
@pytest.mark.parametrize("parameters", [RESTORE_PARAMETERS, RESTORE_PARAMETERS | PUBLISHED_RESTORE])
def test_a_restore_stack_starts_its_instance(
    network: Parameters, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, parameters: Parameters
) -> None:
    launched: list[int] = []

    def launch(self: Any, capacity: int | None) -> None:
        """moto 5.2.1 cannot launch an image that is named by a parameter."""
        launched.append(capacity or 0)
        self.desired_capacity = capacity or 0

    monkeypatch.setattr("moto.autoscaling.models.FakeAutoScalingGroup.set_desired_capacity", launch)
    _, physical = deploy(RESTORE, parameters | network, caplog)

    assert launched == [0, 1]
    (group,) = client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[physical["RestoreAutoScalingGroup"]]
    )["AutoScalingGroups"]
    assert group["DesiredCapacity"] == 1
