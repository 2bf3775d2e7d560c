"""The recorded calls of deployed stacks against the policy of each role: nothing missing, nothing unused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from localcloud.solution import BACKUP_TEMPLATE, EMAIL, RESTORE_TEMPLATE, DeployedStack, Solution
from tests.cloud.nights import begin_copying, slow_copying
from tests.support.release import Built
from tests.templates.permissions import allowed, excused, needed, permits, resources_of
from tests.templates.reading import Stack, template

NEVER_SEEN = {"kms:Decrypt", "kms:GenerateDataKey"}  # only with a key of the customer's


@dataclass(frozen=True)
class Recorded:
    """What one stack's roles have called, and the stack as its template makes it."""

    kind: str
    stack: Stack
    calls: list[dict[str, Any]]

    def of(self, role: str) -> list[dict[str, Any]]:
        """The calls of a role, by the role's logical id."""
        return [call for call in self.calls if f"role/{self.stack.name}-{role}-" in call["role"]]


def policies(built: Built, name: str, deployed: DeployedStack) -> Stack:
    """The template with the names that the deployed stack got."""
    resources = deployed.cloud.client("cloudformation").describe_stack_resources(StackName=deployed.stack.name)
    physical = {
        resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "")
        for resource in resources["StackResources"]
    }
    account = deployed.stack.id.split(":")[4]
    arns = {
        "EFSDynamoDB.Arn": f"arn:aws:dynamodb:us-east-1:{account}:table/{physical.get('EFSDynamoDB')}",
        "EFSLogBucket.Arn": f"arn:aws:s3:::{physical.get('EFSLogBucket')}",
    }
    source = template(built.directory / name)
    return Stack(
        source, deployed.parameters, name=deployed.stack.name, guid=deployed.guid, physical={**physical, **arns}
    )


@pytest.fixture(scope="module")
def recorded(solution: Solution, built: Built) -> Iterator[dict[str, Recorded]]:
    """A night, one that cannot find its address and then not write its table, one that is cut off; a restore."""
    cloud = solution.cloud
    backups = solution.deploy_backup({"BackupWindow": "60"}, edit=slow_copying)
    backups.night()
    backups.check(hourly=False)
    backup_file_system = cloud.file_system(backups.stack.outputs["BackupEFS"])
    backup_file_system.unresolvable()
    cloud.fault("error", service="dynamodb", operation="UpdateItem", caller="instance *", first=2, times=100)
    backups.night()
    cloud.clear_faults()
    begin_copying(backups)
    cloud.clock.advance(minutes=50)
    cloud.wait_quiet()
    restore = solution.deploy_restore(backups, {"NotificationTopic": ""})
    (instance,) = cloud.wait_for(lambda: cloud.instances, "the instance")
    cloud.wait_for(lambda: "the restore ends: " in instance.log, "the end of the restore", 120)
    cloud.confirm(EMAIL)
    restore.wait()
    found = {
        "backup": Recorded("backup", policies(built, BACKUP_TEMPLATE, backups), cloud.calls),
        "restore": Recorded("restore", policies(built, RESTORE_TEMPLATE, restore), cloud.calls),
    }
    cloud.control("clear-problems")
    for stack in (restore, backups):
        cloud.delete(stack.stack)
    yield found


@pytest.mark.parametrize("kind", ["backup", "restore"])
def test_the_instance_may_do_what_it_does_and_nothing_else(recorded: dict[str, Recorded], kind: str) -> None:
    seen = recorded[kind]
    made = {f"{call['service']}:{call['operation']}" for call in seen.of("EC2Role")}
    actions = needed(made) | excused(kind, "EC2Role") - NEVER_SEEN
    assert actions == allowed(seen.stack, "EC2Role") - NEVER_SEEN


@pytest.mark.parametrize("kind", ["backup", "restore"])
def test_every_role_may_do_it_on_what_it_does_it_on(recorded: dict[str, Recorded], kind: str) -> None:
    seen = recorded[kind]
    roles = [name for name, resource in seen.stack.resources.items() if resource["Type"] == "AWS::IAM::Role"]
    assert len([role for role in roles if seen.of(role)]) >= 3
    for role in roles:
        for call in seen.of(role):
            name = f"{call['service']}:{call['operation']}"
            actions = needed([name])
            assert actions <= allowed(seen.stack, role), (role, name)
            arns = [] if name == "ssm:GetParameter" else resources_of(name, call["parameters"])
            for arn in arns:
                assert any(permits(seen.stack, role, action, arn) for action in actions), (role, name, arn)
