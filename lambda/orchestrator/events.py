"""What can happen to a backup: events, parsed into typed requests.

Events come from the schedule, the stop rule and the hourly rule (in the shape that the template and
:mod:`orchestrator.aws` give them), from a person (the same shape), and from Amazon EC2 Auto Scaling, whose shapes are
in the Auto Scaling user guide, "EventBridge event reference".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Event = Mapping[str, Any]


class InvalidEventError(Exception):
    """The event is none that this function knows."""


@dataclass(frozen=True)
class Start:
    """Start a backup. ``event_id`` is the same when the event is delivered again.

    ``time`` is when the schedule fired; None when a person asked.
    """

    event_id: str
    time: datetime | None


@dataclass(frozen=True)
class Stop:
    """Stop this backup; without an id, the one that runs."""

    backup_id: str | None


@dataclass(frozen=True)
class InstanceTerminating:
    """The instance waits in its lifecycle hook, and is to drain."""

    instance_id: str
    group: str
    hook: str
    token: str


@dataclass(frozen=True)
class InstanceTerminated:
    """The instance is gone."""

    instance_id: str


@dataclass(frozen=True)
class LaunchFailed:
    """The group could not launch the instance."""

    cause: str


@dataclass(frozen=True)
class Check:
    """An hour has passed: tell whether a backup is overdue, and complete what events that got lost left undone."""


Request = Start | Stop | InstanceTerminating | InstanceTerminated | LaunchFailed | Check


def parse(event: Event, request_id: str) -> Request:
    """Given an event and the id of the invocation, return the request.

    Raises InvalidEventError, in one line that shows the event, if it is none of those above.
    """
    if "detail-type" in event:
        return _from_auto_scaling(event)
    if event.get("mode") != "backup":
        raise InvalidEventError(f'the event {dict(event)!r} has no "mode": "backup"')
    if event.get("action") == "start":
        return _start(event, request_id)
    if event.get("action") == "stop":
        return Stop(_optional_text(event, "backup_id"))
    if event.get("action") == "check":
        return Check()
    raise InvalidEventError(f'the event {dict(event)!r} has no "action" that is "start", "stop" or "check"')


def _start(event: Event, request_id: str) -> Start:
    return Start(_optional_text(event, "id") or request_id, _time(_optional_text(event, "time")))


def _from_auto_scaling(event: Event) -> Request:
    kind, detail = event["detail-type"], event.get("detail", {})
    if not isinstance(detail, Mapping):
        raise InvalidEventError(f'the event {dict(event)!r} has a "detail" that is no object')
    if kind == "EC2 Instance-terminate Lifecycle Action":
        return InstanceTerminating(
            instance_id=_text(detail, "EC2InstanceId"),
            group=_text(detail, "AutoScalingGroupName"),
            hook=_text(detail, "LifecycleHookName"),
            token=_text(detail, "LifecycleActionToken"),
        )
    if kind == "EC2 Instance Terminate Successful":
        return InstanceTerminated(_text(detail, "EC2InstanceId"))
    if kind == "EC2 Instance Launch Unsuccessful":
        return LaunchFailed(launch_failure(detail))
    raise InvalidEventError(f"the event has the detail-type {kind!r}, which this function does not know")


def launch_failure(detail: Event) -> str:
    """Given the detail of an unsuccessful launch, return why it failed, in Auto Scaling's words."""
    return _optional_text(detail, "StatusMessage") or _optional_text(detail, "Cause") or "no reason was given"


def _text(detail: Event, name: str) -> str:
    value = detail.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidEventError(f"the event has no {name}: {dict(detail)!r}")
    return value


def _optional_text(detail: Event, name: str) -> str | None:
    value = detail.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidEventError(f"the event's {name} is {value!r}: it must be a string")
    return value


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidEventError(f"the event's time is {text!r}: it must be like 2026-11-23T02:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
