"""Stacks: made or updated from a published release, waited for, looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from deployment.errors import DeploymentError
from deployment.parameters import Values

POLL_SECONDS = 3.0
CAPABILITIES = ["CAPABILITY_IAM"]
NOTHING_TO_DO = "No updates are to be performed"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Stack:
    """A stack as it is: its status, parameters and outputs."""

    name: str
    status: str
    parameters: Values
    outputs: Values

    @property
    def usable(self) -> bool:
        """Whether it is there and at rest."""
        return self.status.endswith("_COMPLETE") and not self.status.startswith(("ROLLBACK", "DELETE"))


def find(cloudformation: Any, name: str) -> Stack | None:
    """Return the stack with a name, or None."""
    try:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    parameters = {pair["ParameterKey"]: pair["ParameterValue"] for pair in found.get("Parameters", [])}
    outputs = {pair["OutputKey"]: str(pair["OutputValue"]) for pair in found.get("Outputs", [])}
    return Stack(name, found["StackStatus"], parameters, outputs)


def existing(cloudformation: Any, name: str) -> Stack:
    """Return the stack with a name.

    Raises:
        DeploymentError: there is none that could be used.
    """
    stack = find(cloudformation, name)
    if stack is None:
        raise DeploymentError(f"there is no stack {name}: name yours with STACK=…")
    if not stack.usable:
        raise DeploymentError(f"the stack {name} is in the state {stack.status}: it cannot be used")
    return stack


def physical_id(cloudformation: Any, stack: str, resource: str) -> str:
    """Return the name of a stack's resource.

    Raises:
        DeploymentError: there is no such stack, or it has no such resource.
    """
    existing(cloudformation, stack)
    try:
        found = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=resource)
    except ClientError as error:
        raise DeploymentError(f"the stack {stack} is no backup stack: it has no resource {resource}") from error
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def create(cloudformation: Any, name: str, url: str, values: Values, say: Say) -> Stack:
    """Create a stack and wait until it is complete.

    Raises:
        DeploymentError: it does not get there.
    """
    cloudformation.create_stack(StackName=name, **_contents(url, values))
    return _complete(cloudformation, name, say)


def update(cloudformation: Any, stack: Stack, url: str, values: Values, say: Say) -> Stack:
    """Update a stack and wait until it is complete. A parameter that ``values`` lacks gets its default.

    Raises:
        DeploymentError: it does not get there.
    """
    try:
        cloudformation.update_stack(StackName=stack.name, **_contents(url, values))
    except ClientError as error:
        if NOTHING_TO_DO in str(error):
            say(f"{stack.name}: nothing to change")
            return stack
        raise
    return _complete(cloudformation, stack.name, say)


def _contents(url: str, values: Values) -> dict[str, Any]:
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
    return {"TemplateURL": url, "Parameters": given, "Capabilities": CAPABILITIES}


def _complete(cloudformation: Any, name: str, say: Say) -> Stack:
    said = ""
    while (stack := find(cloudformation, name)) and stack.status.endswith("_IN_PROGRESS"):
        if stack.status != said:
            said = stack.status
            say(f"{name}: {said}")
        time.sleep(POLL_SECONDS)
    status = stack.status if stack else "gone"
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeploymentError(
            f"the stack {name} ended in the state {status}: {'; '.join(_reasons(cloudformation, name))}"
        )
    say(f"{name}: {status}")
    return existing(cloudformation, name)


def _reasons(cloudformation: Any, name: str) -> list[str]:
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
    events = [event for page in pages for event in page["StackEvents"]]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    return [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason')}" for event in reversed(failed)
    ]
