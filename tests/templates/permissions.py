"""Holds the calls that code makes and the policies of the roles it runs under against each other.

Also for the scenarios: they have the calls of the agent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.templates.reading import ACCOUNT, Stack

TABLE: dict[str, Any] = json.loads((Path(__file__).parent / "call_table.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Statement:
    """One statement of a role's policy, resolved."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditional: bool


def statements(stack: Stack, role: str) -> list[Statement]:
    """The statements of a role; all of them allow."""
    found = []
    for policy in stack.properties(role)["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            found.append(
                Statement(
                    statement["Sid"],
                    _as_tuple(statement["Action"]),
                    _as_tuple(statement["Resource"]),
                    "Condition" in statement,
                )
            )
    return found


def roles(stack: Stack) -> list[str]:
    """The roles of a stack."""
    return [key for key, found in stack.resources.items() if found["Type"] == "AWS::IAM::Role"]


def allowed(stack: Stack, role: str) -> set[str]:
    """The actions that a role may do."""
    return {action for statement in statements(stack, role) for action in statement.actions}


def needed(calls: Iterable[str]) -> set[str]:
    """The actions that calls (``service:Operation``) need. A call that nobody has reviewed is an error."""
    unknown = set(calls) - set(TABLE["calls"])
    assert not unknown, f"review these calls and add them to call_table.json: {sorted(unknown)}"
    return {action for call in calls for action in TABLE["calls"][call]}


def excused(template: str, role: str) -> set[str]:
    """The actions that no call of ours explains, with their reasons in the table."""
    return set(TABLE["made_by_others"][template][role])


def permits(stack: Stack, role: str, action: str, resource: str) -> bool:
    """Whether the role may do this to that."""
    return any(
        action in statement.actions and any(fnmatchcase(resource, pattern) for pattern in statement.resources)
        for statement in statements(stack, role)
    )


def resources_of(call: str, sent: dict[str, Any]) -> list[str]:
    """The ARNs that a call's parameters name."""
    service = call.split(":")[0]
    here = f"us-east-1:{ACCOUNT}"
    if service == "dynamodb":
        items = [next(iter(write.values())) for write in sent.get("TransactItems", ())] or [sent]
        return [f"arn:aws:dynamodb:{here}:table/{item['TableName']}" for item in items]
    if service == "events":
        return [f"arn:aws:events:{here}:rule/{sent.get('Rule') or sent['Name']}"]
    if service == "s3":
        return [f"arn:aws:s3:::{sent['Bucket']}/{sent['Key']}"]
    if call in ("autoscaling:SetDesiredCapacity", "autoscaling:CompleteLifecycleAction"):
        return [f"arn:aws:autoscaling:{here}:autoScalingGroup:0-1:autoScalingGroupName/{sent['AutoScalingGroupName']}"]
    if service == "efs":
        return [f"arn:aws:elasticfilesystem:{here}:file-system/{sent['FileSystemId']}"]
    if service == "sns":
        return [sent["TopicArn"]]
    if service == "ssm":
        document = f"arn:aws:ssm:us-east-1::document/{sent['DocumentName']}"
        return [document, *(f"arn:aws:ec2:{here}:instance/{i}" for i in sent["InstanceIds"])]
    assert set(needed([call])) <= set(TABLE["only_for_everything"]), call
    return []


def _as_tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
