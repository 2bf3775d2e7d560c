"""The custom resources that touch the Auto Scaling group and the stop rule."""

from __future__ import annotations

import logging
from typing import Any

from botocore.exceptions import ClientError

from custom_resource import CustomResourceError, Event, Result
from solution_helper.clients import client

log = logging.getLogger(__name__)

STOP_TARGET = "Orchestrator"
"""The id of the stop rule's only target, as the orchestrator gives it."""


def guard_update(event: Event) -> Result:
    """Custom::UpdateGuard: on Create, refuses if another group of this stack has an instance.

    A new stack has no other group. A stack of the published solution has one, which its update replaces: with it would
    go a backup that runs.
    """
    result = Result(event.get("PhysicalResourceId") or f"update-guard-{event['RequestId']}")
    if event["RequestType"] != "Create":
        return result
    own = event["ResourceProperties"]["GroupName"]
    busy = [g["AutoScalingGroupName"] for g in _groups_of(event["StackId"]) if g["Instances"] or g["DesiredCapacity"]]
    if others := [name for name in busy if name != own]:
        raise CustomResourceError(
            f"a backup runs in the group {others[0]}, which this update would replace: update the stack when it is over"
        )
    return result


def clean_up(event: Event) -> Result:
    """Custom::StackCleanup: on Delete, removes the stop rule and empties the group without waiting for the hook."""
    properties = event["ResourceProperties"]
    result = Result(event.get("PhysicalResourceId") or f"stack-cleanup-{event['RequestId']}")
    if event["RequestType"] == "Delete":
        _remove_stop_rule(properties["StopRule"])
        autoscaling = client("autoscaling")
        # Without its hook, an instance that goes is not waited for; outstanding actions are completed by this.
        _unless_gone(
            autoscaling.delete_lifecycle_hook,
            LifecycleHookName=properties["LifecycleHook"],
            AutoScalingGroupName=properties["GroupName"],
        )
        _set_capacity(autoscaling, properties["GroupName"], 0)
    return result


def start_restore(event: Event) -> Result:
    """Custom::StartRestore: on Create, has the group launch the instance; on Delete, has it let it go.

    On Update nothing: a restore runs once.
    """
    name = event["ResourceProperties"]["GroupName"]
    # Named after the group: a Create that comes twice is one restore, and a rollback's Delete stops it.
    result = Result(event.get("PhysicalResourceId") or f"restore-{name}")
    if event["RequestType"] == "Create":
        client("autoscaling").set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=1, HonorCooldown=False)
    elif event["RequestType"] == "Delete":
        _set_capacity(client("autoscaling"), name, 0)
    return result


def _groups_of(stack_id: str) -> list[dict[str, Any]]:
    pages = client("autoscaling").get_paginator("describe_auto_scaling_groups")
    by_stack = [{"Name": "tag:aws:cloudformation:stack-id", "Values": [stack_id]}]
    return [group for page in pages.paginate(Filters=by_stack) for group in page["AutoScalingGroups"]]


def _remove_stop_rule(rule: str) -> None:
    events = client("events")
    for call, arguments in (
        (events.remove_targets, {"Rule": rule, "Ids": [STOP_TARGET]}),
        (events.delete_rule, {"Name": rule}),
    ):
        try:
            call(**arguments)
        except events.exceptions.ResourceNotFoundException:
            log.info("the stop rule %s is gone already", rule)


def _set_capacity(autoscaling: Any, name: str, desired: int) -> None:
    _unless_gone(
        autoscaling.set_desired_capacity, AutoScalingGroupName=name, DesiredCapacity=desired, HonorCooldown=False
    )


def _unless_gone(call: Any, **arguments: Any) -> None:
    """Make the call; nothing is wrong if the group or the hook is not there (Auto Scaling says ValidationError)."""
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        log.info("%s", error)
