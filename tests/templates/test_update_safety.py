"""An update never loses, replaces or stops a backup: property by property.

Which properties of a type cannot change without replacing the resource is read from the resource schemas that
CloudFormation publishes and cfn-lint carries (createOnlyProperties, conditionalCreateOnlyProperties).
"""

from __future__ import annotations

from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from tests.templates.reading import BACKUP, RESTORE, Stack, backup_stack, restore_stack, template

DATA = ("DstEFS", "EFSLogBucket")
"""What holds data: the backups, and the logs."""

HOLDS_ON = ("EFSDynamoDB", "EFSSecurityGroup", "MountTarget0", "MountTarget1", "SNSTopic")
"""What users' own rules, addresses and histories hang on."""

# The published solution, version 1.5: type, and the properties that must not change, with the default parameters.
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "DstEFS": ("AWS::EFS::FileSystem", {"PerformanceMode": "generalPurpose", "Encrypted": "true"}),
    "MountTarget0": (
        "AWS::EFS::MountTarget",
        {"FileSystemId": "DstEFS", "SubnetId": "subnet-0123456789abcdef0"},
    ),
    "MountTarget1": (
        "AWS::EFS::MountTarget",
        {"FileSystemId": "DstEFS", "SubnetId": "subnet-0123456789abcdef1"},
    ),
    "EFSSecurityGroup": (
        "AWS::EC2::SecurityGroup",
        {"GroupDescription": "SG for EFS backup solution nightly", "VpcId": "vpc-0123456789abcdef0"},
    ),
    "EFSDynamoDB": (
        "AWS::DynamoDB::Table",
        {"TableName": "nightly", "KeySchema": [{"AttributeName": "BackupId", "KeyType": "HASH"}]},
    ),
    "EFSLogBucket": ("AWS::S3::Bucket", {}),
    "SNSTopic": ("AWS::SNS::Topic", {}),
    "Orchestrator": ("AWS::Lambda::Function", {"FunctionName": "nightly"}),
    "SolutionHelper": ("AWS::Lambda::Function", {}),
    "AMIInfoFunction": ("AWS::Lambda::Function", {}),
    "CWDashboard": ("AWS::CloudWatch::Dashboard", {"DashboardName": "nightly-us-east-1"}),
    "InstanceProfile": ("AWS::IAM::InstanceProfile", {"Path": "/"}),
}
PUBLISHED_TYPES = {
    "EFSAutoScalingGroup": "AWS::AutoScaling::AutoScalingGroup",
    "EFSBackupStartEvent": "AWS::Events::Rule",
    "BackupStartEventLambdaPermission": "AWS::Lambda::Permission",
    "ASGEvent": "AWS::Events::Rule",
    "ASGEventLambdaPermission": "AWS::Lambda::Permission",
    "OrchestratorRole": "AWS::IAM::Role",
    "EC2Role": "AWS::IAM::Role",
    "SolutionHelperRole": "AWS::IAM::Role",
    # CloudFormation refuses to change the type of a custom resource.
    "AMIInfo": "Custom::AMIInfo",
    "CreateUniqueID": "Custom::LoadLambda",
}

OTHER_VALUES = {
    "SrcEFS": "fs-0fedcba9876543210",
    "IntervalTag": "weekly",
    "Retain": "30",
    "FolderLabel": "other",
    "BackupWindow": "60",
    "BackupSchedule": "rate(1 day)",
    "BackupPrefix": "/home",
    "EFSMode": "maxIO",
    "EFSEncryption": "No",
    "VpcId": "vpc-0fedcba9876543210",
    "Subnets": "subnet-0fedcba9876543210,subnet-0fedcba9876543211",
    "SuccessNotification": "No",
    "Email": "other@example.com",
    "Dashboard": "No",
    "BackupEFS": "fs-0fedcba9876543210",
    "SecurityGroupId": "sg-0fedcba9876543210",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    "Prices": "instance=0.192,storage=0.33,currency=USD",
    "InstanceType": "c7g.xlarge",
    "PurchaseOption": "Spot",
    "ThroughputMode": "elastic",
    "InfrequentAccess": "AFTER_30_DAYS",
}
OTHER_RESTORE_VALUES = {
    "SrcEFS": "fs-0fedcba9876543210",
    "DstEFS": "fs-0fedcba9876543211",
    "IntervalTag": "weekly",
    "BackupNum": "3",
    "FolderLabel": "other",
    "RestorePrefix": "/home",
    "RestoreSubDir": "/a/",
    "RestoreLogBucket": "another-bucket",
    "VpcId": "vpc-0fedcba9876543210",
    "Subnets": "subnet-0fedcba9876543210,subnet-0fedcba9876543211",
    "SecurityGroupId": "sg-0fedcba9876543210",
    "Email": "other@example.com",
    "Dashboard": "No",
    "SnapshotId": "20261123T020000Z-6d8c7a",
    "NotificationTopic": "arn:aws:sns:us-east-1:123456789012:topic",
    "RestoreTo": "/restored",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    "RestoreMode": "exact",
    "Preview": "Yes",
    "InstanceType": "c7g.xlarge",
}

# What a changed parameter replaces or removes; its description says so, and what held data is kept beside the stack.
REPLACES = {
    "EFSMode": {"DstEFS", "MountTarget0", "MountTarget1"},
    "EFSEncryption": {"DstEFS", "MountTarget0", "MountTarget1"},
    "KmsKeyArn": {"DstEFS", "MountTarget0", "MountTarget1"},
    "BackupEFS": {"DstEFS", "MountTarget0", "MountTarget1"},
    "VpcId": {"EFSSecurityGroup"},
    "Subnets": {"MountTarget0", "MountTarget1"},
}


def fixed_properties(resource_type: str) -> list[str]:
    """The properties of a type whose change replaces the resource, or may."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema
    paths = schema.get("createOnlyProperties", []) + schema.get("conditionalCreateOnlyProperties", [])
    return sorted({path.split("/")[2] for path in paths})


def fixed(stack: Stack, resource: str) -> dict[str, Any] | None:
    """A resource's properties that must not change; None if the stack has it not."""
    found = stack.resources.get(resource)
    if found is None:
        return None
    names = fixed_properties(found["Type"])
    return {name: value for name, value in found.get("Properties", {}).items() if name in names}


def replaced(before: Stack, after: Stack) -> set[str]:
    """The resources that hold something and that an update from one to the other replaces or removes."""
    changed = {key for key in (*DATA, *HOLDS_ON) if fixed(before, key) != fixed(after, key)}
    if "DstEFS" in changed:  # the mount targets refer to it
        changed |= {"MountTarget0", "MountTarget1"}
    return changed


@pytest.mark.parametrize("parameter", template(BACKUP)["Parameters"])
def test_a_changed_parameter_replaces_only_what_its_description_says(parameter: str) -> None:
    before, after = backup_stack(), backup_stack(**{parameter: OTHER_VALUES[parameter]})

    assert replaced(before, after) == REPLACES.get(parameter, set())
    if "DstEFS" in REPLACES.get(parameter, set()) and parameter != "BackupEFS":
        description = before.source["Parameters"][parameter]["Description"]
        assert "To change it later makes a new, empty file system; the old one is kept" in description


@pytest.mark.parametrize("parameter", template(RESTORE)["Parameters"])
def test_no_changed_parameter_makes_a_restore_stack_restore_again(parameter: str) -> None:
    """StartRestore does nothing on Update; only a new group, or another resource in its place, would start it."""
    before, after = restore_stack(), restore_stack(**{parameter: OTHER_RESTORE_VALUES[parameter]})

    assert before.resources["StartRestore"] == after.resources["StartRestore"]
    names = [stack.properties("RestoreAutoScalingGroup")["AutoScalingGroupName"] for stack in (before, after)]
    assert names[0] == names[1]


@pytest.mark.parametrize("resource", DATA)
def test_what_holds_data_is_kept_whatever_happens(resource: str) -> None:
    found = template(BACKUP)["Resources"][resource]
    assert found["DeletionPolicy"] == "Retain"
    assert found["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("resource", PUBLISHED)
def test_a_published_stack_keeps_its_resources(resource: str) -> None:
    resource_type, properties = PUBLISHED[resource]
    stack = backup_stack()

    assert stack.resources[resource]["Type"] == resource_type
    assert fixed(stack, resource) == {
        name: value for name, value in properties.items() if name in fixed_properties(resource_type)
    }


@pytest.mark.parametrize("resource", PUBLISHED_TYPES)
def test_a_published_id_never_changes_its_type(resource: str) -> None:
    assert template(BACKUP)["Resources"][resource]["Type"] == PUBLISHED_TYPES[resource]


def test_no_rule_of_the_security_group_repeats_the_published_one() -> None:
    """An update makes new rules before it removes old ones. The same rule would be refused, or go with the old one."""
    rules = [
        r["Properties"] for r in backup_stack().resources.values() if r["Type"] == "AWS::EC2::SecurityGroupIngress"
    ]
    inside = [r for r in rules if r["SourceSecurityGroupId"] == "EFSSecurityGroup.GroupId"]

    assert "EFSIngressRule" not in template(BACKUP)["Resources"]
    assert all(str(r["IpProtocol"]) != "-1" for r in rules)
    assert {(r["IpProtocol"], r["FromPort"], r["ToPort"]) for r in inside} == {
        ("tcp", 0, 65535),
        ("udp", 0, 65535),
        ("icmp", -1, -1),
    }, "all traffic within the group"


@pytest.mark.parametrize(
    ("stack", "group"),
    [(backup_stack(), "EFSAutoScalingGroup"), (restore_stack(), "RestoreAutoScalingGroup")],
    ids=["backup", "restore"],
)
def test_no_update_touches_the_capacity_of_a_group(stack: Stack, group: str) -> None:
    found = stack.source["Resources"][group]
    assert "DesiredCapacity" not in found["Properties"]
    assert "UpdatePolicy" not in found
    assert (found["Properties"]["MinSize"], found["Properties"]["MaxSize"]) == ("0", "1")
    assert stack.properties(group)["VPCZoneIdentifier"] == ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]


def test_names_come_from_the_stack_s_own_id_and_never_change() -> None:
    before = backup_stack()
    name = before.properties("EFSAutoScalingGroup")["AutoScalingGroupName"]
    rule = before.properties("Orchestrator")["Environment"]["Variables"]["STOP_RULE"]
    assert (name, rule) == (f"efs-backup-{before.guid}", f"efs-backup-stop-{before.guid}")
    assert len(rule) <= 64
    for parameter, value in OTHER_VALUES.items():
        after = backup_stack(**{parameter: value})
        assert after.properties("EFSAutoScalingGroup")["AutoScalingGroupName"] == name


def test_the_hook_outlasts_the_drain_by_five_minutes() -> None:
    stack = backup_stack()
    (hook,) = stack.properties("EFSAutoScalingGroup")["LifecycleHookSpecificationList"]
    minutes = int(stack.properties("Orchestrator")["Environment"]["Variables"]["DRAIN_MINUTES"])
    assert int(hook["HeartbeatTimeout"]) == (minutes + 5) * 60
    assert hook["DefaultResult"] == "CONTINUE"
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert "Lifecycle" not in str([r["Type"] for r in stack.resources.values()]), "hooks are in the group itself"


def test_what_must_go_first_comes_last() -> None:
    """CloudFormation removes in the reverse order of making."""
    resources = template(BACKUP)["Resources"]
    assert resources["StackCleanup"]["Properties"]["GroupName"] == {"Ref": "EFSAutoScalingGroup"}
    assert "StackCleanup" in resources["EFSBackupStartEvent"]["DependsOn"]
    assert "UpdateGuard" in resources["EFSAutoScalingGroup"]["DependsOn"]


def test_a_restore_starts_last_and_nothing_depends_on_it() -> None:
    resources = template(RESTORE)["Resources"]
    assert resources["StartRestore"]["Properties"]["GroupName"] == {"Ref": "RestoreAutoScalingGroup"}
    assert not [key for key, found in resources.items() if "StartRestore" in str(found) and key != "StartRestore"]


def test_the_functions_of_custom_resources_have_no_name_that_could_replace_them() -> None:
    """CloudFormation refuses to change the function of a custom resource."""
    for path in (BACKUP, RESTORE):
        for function in ("SolutionHelper", "AMIInfoFunction"):
            assert "FunctionName" not in template(path)["Resources"][function]["Properties"]


@pytest.mark.parametrize("stack", [backup_stack(), restore_stack()], ids=["backup", "restore"])
def test_images_are_read_at_launch(stack: Stack) -> None:
    key = "BackupLaunchTemplate" if "BackupLaunchTemplate" in stack.resources else "RestoreLaunchTemplate"
    data = stack.properties(key)["LaunchTemplateData"]
    parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
    assert data["ImageId"] == f"resolve:ssm:{parameter}AMIInfo.Architecture"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
