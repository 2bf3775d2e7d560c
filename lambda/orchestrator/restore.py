"""The entry point for a restore stack: gives up when its instance cannot be launched.

A restore has no table. That nothing is mailed twice comes from the group: capacity is 0 after the first time.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import boto3

from environment import Reader
from orchestrator import clock
from orchestrator.clients import PATIENT
from orchestrator.events import Event, LaunchFailed, parse
from orchestrator.mail import restore_launch_mail

log = logging.getLogger(__name__)

GIVE_UP_AFTER = timedelta(minutes=15)


@dataclass(frozen=True)
class RestoreGroup:
    """What counts of a restore's group: when it was made, what is wanted of it, and whether it has an instance."""

    created: datetime
    desired: int
    empty: bool


def gives_up(group: RestoreGroup, now: datetime) -> bool:
    """Whether a failed launch ends the restore: 15 minutes after the group was made, while it has no instance."""
    return group.desired > 0 and group.empty and now - group.created >= GIVE_UP_AFTER


def lambda_handler(event: Event, context: Any) -> dict[str, str]:
    """Handle a failed launch; return what was done."""
    logging.getLogger("orchestrator").setLevel(logging.INFO)
    log.info("event %s", json.dumps(event))
    read = Reader(os.environ)
    stack, name, topic = read.text("STACK_NAME"), read.text("GROUP_NAME"), read.text("TOPIC_ARN")
    request = parse(event, context.aws_request_id)
    if not isinstance(request, LaunchFailed):
        return {"action": "leave", "reason": "the instance reports of everything but its launch itself"}
    autoscaling = boto3.client("autoscaling", config=PATIENT)
    group = _group(autoscaling, name)
    if group is None or not gives_up(group, clock.now()):
        return {"action": "leave", "reason": "the group tries again"}
    mail = restore_launch_mail(stack, request.cause)
    # The mail comes first: capacity 0 is what tells a repeated event that everything was done.
    boto3.client("sns", config=PATIENT).publish(TopicArn=topic, Subject=mail.subject, Message=mail.message)
    autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=0, HonorCooldown=False)
    return {"action": "give up", "reason": request.cause}


def _group(autoscaling: Any, name: str) -> RestoreGroup | None:
    groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        return None
    return RestoreGroup(groups[0]["CreatedTime"], groups[0]["DesiredCapacity"], not groups[0]["Instances"])
