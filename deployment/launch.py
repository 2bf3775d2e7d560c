"""Launches stacks from a published release: `make deploy`, `make restore`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from botocore.exceptions import ClientError

from deployment import stacks
from deployment.aws import Account
from deployment.checksums import read_release
from deployment.errors import DeploymentError, UsageError
from deployment.links import Region, launch_link, template_url
from deployment.notices import confirmed
from deployment.parameters import (
    Ask,
    Parameter,
    Values,
    check_names,
    check_values,
    declared,
    from_environment,
    given_to_make,
    mapping,
    read_file,
    resolved,
)
from deployment.release import BACKUP, RESTORE
from deployment.stacks import Say, Stack

OWN_VARIABLES = ("STACK", "FROM", "PARAMETERS", "RELEASE")
"""What make's command line may say besides parameters, and besides what begins with ``AWS_VARIABLES``."""
AWS_VARIABLES = "AWS_"

FROM_PARAMETERS = ("SrcEFS", "IntervalTag", "FolderLabel", "VpcId", "Subnets", "Email", "PermissionsBoundaryArn")
"""Parameters that both templates have."""
FROM_OUTPUTS = {"DstEFS": "BackupEFS", "RestoreLogBucket": "LogBucket", "SecurityGroupId": "EFSSecurityGroup"}

STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
"""CloudFormation takes 128 characters, but the orchestrator is called like its stack, and a function's name has 64."""


def check_stack_name(name: str) -> None:
    """Refuse a name that no stack can have."""
    if not STACK_NAME.fullmatch(name):
        raise UsageError(f"STACK={name!r}: use letters, digits and hyphens, a letter first, at most 64 characters")


@dataclass(frozen=True)
class Launcher:
    """A published release in one region, from which stacks are launched."""

    account: Account
    directory: Path
    say: Say
    ask: Ask | None

    def deploy(self, name: str, file: Path | None) -> Stack:
        """Create the backup stack with this name, or update it."""
        check_stack_name(name)
        parameters = self._declared(BACKUP)
        given = self._given(parameters, file)
        url, cloudformation = self._published(BACKUP), self.account.client("cloudformation")
        if stacks.find(cloudformation, name) is None:
            return stacks.create(cloudformation, name, url, resolved(parameters, given, self.ask), self.say)
        stack = stacks.existing(cloudformation, name)
        known = {found.name: stack.parameters[found.name] for found in parameters if found.name in stack.parameters}
        return stacks.update(cloudformation, stack, url, resolved(parameters, known | given, self.ask), self.say)

    def restore(self, name: str | None, backups: str | None, file: Path | None) -> Stack:
        """Create a restore stack; what it is not given comes from the backup stack called ``backups``, if any."""
        name = name or f"efs-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        check_stack_name(name)
        parameters = self._declared(RESTORE)
        given = self._given(parameters, file)
        url, cloudformation = self._published(RESTORE), self.account.client("cloudformation")
        if stacks.find(cloudformation, name) is not None:
            raise UsageError(f"STACK={name}: there is such a stack. A stack restores once: choose another name")
        found = self.restore_values(stacks.existing(cloudformation, backups)) if backups else {}
        return stacks.create(cloudformation, name, url, resolved(parameters, found | given, self.ask), self.say)

    def restore_values(self, stack: Stack) -> Values:
        """Return what a restore stack is told of a backup stack."""
        values = {name: stack.parameters[name] for name in FROM_PARAMETERS if name in stack.parameters}
        values["RestorePrefix"] = stack.parameters.get("BackupPrefix", "/")
        values |= {name: stack.outputs[output] for name, output in FROM_OUTPUTS.items() if output in stack.outputs}
        values |= {"SecurityGroupId": group} if (group := stack.parameters.get("SecurityGroupId")) else {}
        topic = stack.outputs.get("SNSTopicArn")
        return values | ({"NotificationTopic": topic} if topic and confirmed(self.account, topic) else {})

    def restore_link(self, stack: Stack) -> str:
        """Return the link that opens a restore of a backup stack's newest snapshot, filled in."""
        return launch_link(read_release(self.directory), self._region, RESTORE, self.restore_values(stack))

    @property
    def _region(self) -> Region:
        return self.account.described(self.account.region, mapping(self._template(BACKUP), "Partition"))

    def _template(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8")

    def _declared(self, name: str) -> list[Parameter]:
        read_release(self.directory)
        return declared(self._template(name))

    def _given(self, parameters: list[Parameter], file: Path | None) -> Values:
        """Return the values that this command was given, each looked at.

        Raises:
            UsageError: a name or a value is wrong.
        """
        said = read_file(file) if file else {}
        variables = [name for name in given_to_make(os.environ) if not name.startswith(AWS_VARIABLES)]
        names = [parameter.name for parameter in parameters]
        check_names([*said, *(name for name in variables if name not in OWN_VARIABLES)], names)
        given = said | from_environment(parameters, os.environ)
        check_values(parameters, given)
        return given

    def _published(self, name: str) -> str:
        """Return the address of a template as it is published.

        Raises:
            DeploymentError: it is not published here, or not as it was built.
        """
        release = read_release(self.directory)
        bucket, key = release.bucket_in(self.account.region), release.key(name)
        advice = f"publish it with: make publish BUCKET={release.bucket}"
        try:
            published = self.account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise DeploymentError(f"s3://{bucket}/{key} cannot be read ({error}): {advice}") from error
        if published != (self.directory / name).read_bytes():
            raise DeploymentError(f"s3://{bucket}/{key} is not the template in {self.directory}: {advice}")
        return template_url(release, self._region, name)
