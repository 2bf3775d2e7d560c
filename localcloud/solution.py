"""The product in a local cloud, as the person who runs it sees it: a release, a source to back up, and the two stacks.

solution = Solution(cloud, Release.read(Path("release")))
backups = solution.deploy_backup({"Email": "ops@example.com"})
item = backups.night()
backups.snapshot(0)
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from boto3.dynamodb.types import TypeDeserializer

from localcloud.client import LocalCloud, Mail, Stack

EMAIL = "ops@example.com"
BACKUP_TEMPLATE, RESTORE_TEMPLATE = "efs-to-efs-backup.template", "efs-to-efs-restore.template"
COLLECTOR = "https://metrics.awssolutionsbuilder.com/generic"
RUNNING = "@running"
CONFIRMATION = "AWS Notification - Subscription Confirmation"
ALARMS = ("ALARM: ", "OK: ", "INSUFFICIENT_DATA: ")

Item = dict[str, Any]
Edit = Callable[[str], str]


class ReleaseError(Exception):
    """There is no release where one should be; the message says what to do."""


@dataclass(frozen=True)
class Release:
    """A built release: its templates by name, and its assets by their keys in the bucket ``bucket``-REGION."""

    bucket: str
    templates: dict[str, str]
    assets: dict[str, Path]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the release that ``make release`` has built in a directory.

        Raises:
            ReleaseError: there is none.
        """
        try:
            made = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ReleaseError(f"there is no release in {directory}: build one with: make release") from error
        names = [file["name"] for file in made["files"]]
        templates = {name: (directory / name).read_text(encoding="utf-8") for name in names if ".template" in name}
        folder = f"{made['solution']}/{made['version']}"
        assets = {f"{folder}/{name}": directory / name for name in names if name not in templates}
        return cls(made["bucket"], templates, assets)

    def upload(self, cloud: LocalCloud) -> None:
        """Put the assets where the templates look for them."""
        s3, bucket = cloud.client("s3"), f"{self.bucket}-{cloud.region}"
        s3.create_bucket(Bucket=bucket)
        for key, path in self.assets.items():
            s3.upload_file(str(path), bucket, key)


class Solution:
    """A release, a network and a source file system in one cloud; stacks are deployed from it."""

    def __init__(self, cloud: LocalCloud, release: Release) -> None:
        """Upload the release, make a VPC with two subnets, and a source file system with mount targets in both."""
        self.cloud, self.release = cloud, release
        release.upload(cloud)
        ec2 = cloud.client("ec2")
        self.vpc: str = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets: list[str] = [
            ec2.create_subnet(
                VpcId=self.vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{cloud.region}{zone}"
            )["Subnet"]["SubnetId"]
            for number, zone in enumerate("ab", 1)
        ]
        group = {"GroupName": "source", "Description": "who may mount the source", "VpcId": self.vpc}
        self.security_group: str = ec2.create_security_group(**group)["GroupId"]
        self.source = cloud.file_system(self.make_file_system("source"))

    def make_file_system(self, token: str) -> str:
        """Make an EFS file system with a mount target in each subnet, and return its id."""
        made: str = self.cloud.client("efs").create_file_system(CreationToken=token)["FileSystemId"]
        self.make_mount_targets(made)
        return made

    def make_mount_targets(self, file_system: str) -> None:
        """Make a mount target of a file system in each subnet."""
        efs = self.cloud.client("efs")
        for subnet in self.subnets:
            efs.create_mount_target(FileSystemId=file_system, SubnetId=subnet, SecurityGroups=[self.security_group])

    def deploy_backup(
        self, parameters: dict[str, str] | None = None, name: str = "nightly", edit: Edit | None = None
    ) -> "BackupStack":
        """Deploy a backup stack with these parameters beside the required ones, and confirm its subscription.

        ``edit`` changes the template's text first, as the guide tells users to.
        """
        given = {"SrcEFS": self.source.id, **self._everywhere(), **(parameters or {})}
        stack = self.cloud.deploy(self.template(BACKUP_TEMPLATE, edit), given, name)
        self.cloud.confirm(given["Email"])
        return BackupStack(self, stack, given)

    def deploy_restore(
        self, backups: "BackupStack", parameters: dict[str, str] | None = None, name: str = "restore",
        edit: Edit | None = None,
    ) -> "RestoreStack":  # fmt: skip
        """Deploy a restore stack for what a backup stack has stored; it begins to work when it is there."""
        chosen = {
            "SrcEFS": backups.parameters["SrcEFS"], "DstEFS": backups.stack.outputs["BackupEFS"],
            "RestoreLogBucket": backups.stack.outputs["LogBucket"],
            "SecurityGroupId": backups.stack.outputs["EFSSecurityGroup"],
            "NotificationTopic": backups.stack.outputs["SNSTopicArn"],
        }  # fmt: skip
        given = {**chosen, **self._everywhere(), **(parameters or {})}
        stack = self.cloud.deploy(self.template(RESTORE_TEMPLATE, edit), given, name)
        return RestoreStack(self, stack, given)

    def template(self, name: str, edit: Edit | None = None) -> str:
        """Return a template's text; what it would send to the collector of anonymous data goes to the cloud's own."""
        text = self.release.templates[name].replace(COLLECTOR, self.cloud.collector_url)
        return edit(text) if edit else text

    def _everywhere(self) -> dict[str, str]:
        return {"VpcId": self.vpc, "Subnets": ",".join(self.subnets), "Email": EMAIL}


@dataclass(frozen=True)
class DeployedStack:
    """What both kinds of stack have."""

    solution: Solution
    stack: Stack
    parameters: dict[str, str]
    kind = ""

    @property
    def cloud(self) -> LocalCloud:
        """Return the cloud it is in."""
        return self.solution.cloud

    @property
    def exists(self) -> bool:
        """Say whether it has not been deleted."""
        status = self.cloud.client("cloudformation").describe_stacks(StackName=self.stack.id)["Stacks"][0]
        return not str(status["StackStatus"]).startswith("DELETE")

    def physical_id(self, logical_id: str) -> str:
        """Return the name or id of one of its resources."""
        resources = self.cloud.client("cloudformation").describe_stack_resources(StackName=self.stack.name)
        found = {item["LogicalResourceId"]: item.get("PhysicalResourceId") for item in resources["StackResources"]}
        return str(found[logical_id])

    @property
    def guid(self) -> str:
        """Return the unique part of the stack's id, which its names end with."""
        return self.stack.id.rsplit("/", 1)[-1]

    @property
    def group(self) -> str:
        """Return the name of the Auto Scaling group."""
        return f"efs-{self.kind}-{self.guid}"

    @property
    def capacity(self) -> int:
        """Return the group's desired capacity."""
        answer = self.cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self.group])
        return int(answer["AutoScalingGroups"][0]["DesiredCapacity"])

    @cached_property
    def topic(self) -> str:
        """Return the ARN of the topic that it notifies."""
        return self.stack.outputs["SNSTopicArn"]

    @property
    def mails(self) -> list[Mail]:
        """Return the mails about its work, oldest first."""
        return [mail for mail in self._delivered() if not mail.subject.startswith(ALARMS)]

    @property
    def alarms(self) -> list[Mail]:
        """Return the mails of its alarms, oldest first."""
        return [mail for mail in self._delivered() if mail.subject.startswith(ALARMS)]

    def _delivered(self) -> list[Mail]:
        return [mail for mail in self.cloud.mails if mail.topic == self.topic and mail.subject != CONFIRMATION]

    def logs(self, prefix: str) -> dict[str, str]:
        """Return the texts in the log bucket below a prefix, by key."""
        s3, bucket = self.cloud.client("s3"), self.stack.outputs["LogBucket"]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
        return {
            item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode("utf-8", "replace")
            for item in listed
        }


@dataclass(frozen=True)
class BackupStack(DeployedStack):
    """A deployed backup stack: its nights, and what they leave."""

    kind = "backup"

    def night(self, timeout: float = 300.0) -> Item:
        """Let it become 02:00, wait until all that follows is over, and return the item of that backup."""
        before = {item["BackupId"] for item in self.items}
        self.cloud.clock.advance_to_hour(2)
        self.cloud.wait_quiet(timeout)
        (item,) = [item for item in self.items if item["BackupId"] not in before]
        return item

    @property
    def items(self) -> list[Item]:
        """Return the items of the backups in the table, oldest first, with DynamoDB's types as Python's."""
        found = [item for item in self._table() if item["BackupId"] != RUNNING]
        return sorted(found, key=lambda item: (item.get("BackupStartTime", ""), item["BackupId"]))

    @property
    def running(self) -> Item | None:
        """Return the lease of the backup that runs, or None."""
        return next((item for item in self._table() if item["BackupId"] == RUNNING), None)

    def _table(self) -> list[Item]:
        found = self.cloud.client("dynamodb").scan(TableName=self.stack.name, ConsistentRead=True)["Items"]
        read = TypeDeserializer().deserialize
        return [{name: read(value) for name, value in item.items()} for item in found]

    @property
    def stop_rule(self) -> str | None:
        """Return the expression of the rule that will stop the running backup, or None."""
        name = f"efs-backup-stop-{self.guid}"
        rules = self.cloud.client("events").list_rules(NamePrefix=name)["Rules"]
        return str(rules[0]["ScheduleExpression"]) if rules else None

    @property
    def start_rule(self) -> str:
        """Return the name of the rule that starts backups."""
        return self.physical_id("EFSBackupStartEvent")

    def check(self, hourly: bool) -> None:
        """Let the function look every hour whether all is well, or not: it takes its time when days pass."""
        events, rule = self.cloud.client("events"), self.physical_id("EFSBackupCheckEvent")
        (events.enable_rule if hourly else events.disable_rule)(Name=rule)

    @property
    def source(self) -> Path:
        """Return the directory that is backed up."""
        prefix = self.parameters.get("BackupPrefix", "/").strip("/")
        return self.cloud.file_system(self.parameters["SrcEFS"]).path / prefix

    @property
    def folder(self) -> Path:
        """Return the directory that holds the snapshots."""
        file_system = self.cloud.file_system(self.stack.outputs["BackupEFS"])
        return file_system.path / self.parameters.get("FolderLabel", "efs-backup")

    def snapshot(self, number: int = 0) -> Path:
        """Return the directory of a snapshot."""
        return self.folder / f"{self.parameters.get('IntervalTag', 'daily')}.{number}"

    @property
    def snapshots(self) -> list[str]:
        """Return the names of the snapshots, newest first."""
        found = [path.name for path in self.folder.glob("*.*") if not path.name.startswith(".")]
        return sorted(found, key=lambda name: int(name.rpartition(".")[2]))

    def leftovers(self) -> list[str]:
        """Return what a backup that is over must not leave: lease, stop rule, capacity, instance."""
        left = {
            "lease": self.running, "stop rule": self.stop_rule, "capacity": self.capacity,
            "instances": [instance.id for instance in self.cloud.instances],
        }  # fmt: skip
        return [f"{what}: {value}" for what, value in left.items() if value]


@dataclass(frozen=True)
class RestoreStack(DeployedStack):
    """A deployed restore stack."""

    kind = "restore"

    @cached_property
    def topic(self) -> str:
        """Return the ARN of the topic that it notifies: the one it was given, or its own."""
        if given := self.parameters["NotificationTopic"]:
            return given
        topics = self.cloud.client("sns").list_topics()["Topics"]
        return next(
            str(topic["TopicArn"]) for topic in topics if topic["TopicArn"].endswith(self.stack.outputs["SNSTopic"])
        )

    def wait(self, timeout: float = 300.0) -> None:
        """Wait until it has done its work and its instance is gone."""
        self.cloud.wait_quiet(timeout)
