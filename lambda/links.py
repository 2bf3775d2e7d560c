"""Links into the AWS console: to restore a snapshot, and to a log. Pure.

A quick-create link opens the form of a new stack with its parameters filled in (AWS CloudFormation user guide, "Create
quick-create links"). A restore link names the snapshot by its id: numbers move with every backup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from environment import Reader

RESTORE_PARAMETERS = {
    "SrcEFS": "SOURCE_EFS",
    "DstEFS": "BACKUP_EFS",
    "IntervalTag": "INTERVAL_TAG",
    "FolderLabel": "FOLDER_LABEL",
    "RestorePrefix": "BACKUP_PREFIX",
    "RestoreLogBucket": "LOG_BUCKET",
    "VpcId": "VPC_ID",
    "Subnets": "SUBNETS",
    "SecurityGroupId": "SECURITY_GROUP",
    "Email": "EMAIL",
}
"""Parameters of the restore template, and the environment variables that have the backup stack's values for them."""


@dataclass(frozen=True)
class Console:
    """Where links lead: the console's host, such as console.aws.amazon.com, and the region."""

    host: str
    region: str

    @classmethod
    def from_environment(cls, read: Reader) -> Console:
        """Given the reader of a function's environment, return its console."""
        return cls(read.text("CONSOLE"), read.text("AWS_REGION"))

    @property
    def url(self) -> str:
        """The start of every address."""
        return f"https://{self.region}.{self.host}"

    def log(self, bucket: str, key: str) -> str:
        """Return the address of an object in a log bucket."""
        return f"{self.url}/s3/object/{bucket}?region={self.region}&prefix={quote(key, safe='')}"

    def logs(self, bucket: str, prefix: str) -> str:
        """Return the address of a folder in a log bucket."""
        return f"{self.url}/s3/buckets/{bucket}?region={self.region}&prefix={quote(prefix, safe='')}"


@dataclass(frozen=True)
class RestoreLink:
    """What a restore stack is told of the backup stack; ``to`` makes a link for one snapshot.

    ``topic`` is the backup stack's topic; ``boundary`` the permissions boundary of its roles, empty if there is none.
    """

    console: Console
    template: str
    stack: str
    topic: str
    boundary: str
    parameters: Mapping[str, str]

    @classmethod
    def from_environment(cls, read: Reader) -> RestoreLink:
        """Given the reader of a function's environment, return what its links say.

        Raises ConfigurationError, naming the variable, if one is missing.
        """
        return cls(
            Console.from_environment(read),
            template=read.text("RESTORE_TEMPLATE"),
            stack=read.text("STACK_NAME"),
            topic=read.text("TOPIC_ARN"),
            boundary=read.environment.get("PERMISSIONS_BOUNDARY", ""),
            parameters={parameter: read.text(variable) for parameter, variable in RESTORE_PARAMETERS.items()},
        )

    def to(self, snapshot_id: str, number: int | None = None, *, confirmed: bool = True) -> str:
        """Return the link that opens a restore stack for a snapshot.

        The id decides; ``number`` is for the reader of the form. The topic goes along if somebody has ``confirmed``
        its subscription: else the restore stack asks for a confirmation of its own, and waits for it.
        """
        parameters = {**self.parameters, "SnapshotId": snapshot_id}
        if number is not None:
            parameters["BackupNum"] = str(number)
        if confirmed:
            parameters["NotificationTopic"] = self.topic
        if self.boundary:
            parameters["PermissionsBoundaryArn"] = self.boundary
        fields = {"templateURL": self.template, "stackName": f"{self.stack}-restore"}
        fields |= {f"param_{key}": value for key, value in parameters.items()}
        query = "&".join(f"{key}={quote(value, safe='')}" for key, value in fields.items())
        return f"{self.console.url}/cloudformation/home?region={self.console.region}#/stacks/create/review?{query}"
