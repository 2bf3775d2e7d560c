"""The custom resources of both stacks but AMIInfo, each with its own function."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from collector import post, timestamp
from custom_resource import CustomResourceError, Event, Result, answer
from solution_helper import group, metrics

IDS = uuid.UUID("6d2f4f0e-9d0b-4f52-9a3c-5b7a1c1f6a3e")
"""The namespace of the deployments' unique ids; drawn once at random."""


def lambda_handler(event: Event, context: Any) -> dict[str, Any]:
    """Answer CloudFormation for the custom resource that the event is about."""
    return answer(event, context, _work)


def _work(event: Event) -> Result:
    kind = event["ResourceType"]
    if kind not in RESOURCES:
        raise CustomResourceError(f"the resource type {kind!r} is none of {', '.join(RESOURCES)}")
    return RESOURCES[kind](event)


def unique_id(event: Event) -> Result:
    """Custom::LoadLambda: the deployment's UUID. An update keeps it, and so does a request that comes twice.

    The published solution made a new one on each update and kept it nowhere, so its stacks get a new one once.
    """
    if event["RequestType"] == "Delete":
        return Result(event.get("PhysicalResourceId", "none"))
    known = event.get("PhysicalResourceId", "")
    identity = known if _is_uuid(known) else str(uuid.uuid5(IDS, event["StackId"] + event["RequestId"]))
    return Result(identity, {"UUID": identity})


def anonymous_data(event: Event) -> Result:
    """Custom::AnonymousData: tells that a stack was made, changed or removed, if it is to be told."""
    properties = event["ResourceProperties"]
    if properties["SendAnonymousData"] == "Yes":
        post(properties["Url"], deployment_report(event, datetime.now(UTC)))
    return Result(event.get("PhysicalResourceId") or f"anonymous-data-{properties['UUID']}")


def deployment_report(event: Event, now: datetime) -> dict[str, Any]:
    """Return what is sent about a stack that was made, changed or removed."""
    properties = event["ResourceProperties"]
    time = timestamp(now)
    return {
        "Solution": properties["SolutionId"],
        "UUID": properties["UUID"],
        "TimeStamp": time,
        "Data": {
            "Launch": time,
            "Region": properties["Region"],
            "Version": properties["SolutionVersion"],
            "EventType": properties["EventType"],
            "RequestType": event["RequestType"],
        },
    }


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


RESOURCES: dict[str, Callable[[Event], Result]] = {
    "Custom::LoadLambda": unique_id,
    "Custom::AnonymousData": anonymous_data,
    "Custom::UpdateGuard": group.guard_update,
    "Custom::StackCleanup": group.clean_up,
    "Custom::StartRestore": group.start_restore,
    "Custom::OverdueStart": metrics.start_overdue,
}
