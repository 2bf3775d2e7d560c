"""Answers AWS CloudFormation for a custom resource, whatever happens.

A custom resource that does not answer keeps its stack waiting for an hour. So the answer goes out when the work is
done, when it failed, and when the function is about to run out of time. The protocol is in the CloudFormation user
guide, "Custom resource request and response reference".
"""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)

Event = Mapping[str, Any]

ANSWER_BEFORE_SECONDS = 10
"""How long before the function's end the stack is told that it took too long."""

LONGEST_REASON = 1000
TRIES = 3


class CustomResourceError(Exception):
    """The resource cannot be made, changed or removed; the text is what the stack's events show."""


@dataclass(frozen=True)
class Result:
    """What the work gives: the resource's physical id, and attributes that the template may read."""

    physical_id: str
    data: Mapping[str, str] = field(default_factory=dict)


def answer(event: Event, context: Any, work: Callable[[Event], Result]) -> dict[str, Any]:
    """Do the work and answer the stack with its result, or with the reason of its failure. Return what was answered."""
    for logger in (__name__, "collector", "solution_helper"):
        logging.getLogger(logger).setLevel(logging.INFO)
    log.info("%s of %s", event.get("RequestType"), event.get("LogicalResourceId"))
    reply = Reply(event)
    timer = threading.Timer(_seconds_left(context), reply.send, [_failed(event, "it took too long")])
    timer.daemon = True
    timer.start()
    try:
        response = _succeeded(event, work(event))
    except (CustomResourceError, ClientError, BotoCoreError) as error:
        response = _failed(event, str(error))
    except Exception as error:
        # A mistake of ours must not keep the stack waiting for an hour either.
        log.exception("the work failed")
        response = _failed(event, f"{type(error).__name__}: {error}")
    finally:
        timer.cancel()
    return reply.send(response)


@dataclass
class Reply:
    """The one answer to an event: the first that is sent counts, later ones are dropped."""

    event: Event
    sent: dict[str, Any] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, response: dict[str, Any]) -> dict[str, Any]:
        """Send this answer unless one was sent. Return the one that was sent."""
        with self.lock:
            if self.sent is None:
                self.sent = response
                log.info("answer %s", json.dumps(response))
                _put(self.event["ResponseURL"], json.dumps(response).encode())
            return self.sent


def _put(url: str, body: bytes) -> None:
    # The address is signed for an empty content type.
    request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})  # noqa: S310 - CloudFormation's own address
    for attempt in range(1, TRIES + 1):
        try:
            with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - as above
                return
        except OSError as error:  # URLError and HTTPError are OSErrors
            log.warning("the answer did not get through (%d of %d): %s", attempt, TRIES, error)
            if attempt == TRIES:
                raise


def _succeeded(event: Event, result: Result) -> dict[str, Any]:
    return _response(event, "SUCCESS", "", result.physical_id) | {"Data": dict(result.data)}


def _failed(event: Event, reason: str) -> dict[str, Any]:
    """A failed Create must name a physical id too: its Delete comes with it."""
    physical_id = event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-{event['RequestId']}"
    return _response(event, "FAILED", reason or "no reason was given", physical_id)


def _response(event: Event, status: str, reason: str, physical_id: str) -> dict[str, Any]:
    return {
        "Status": status,
        "Reason": reason[:LONGEST_REASON],
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }


def _seconds_left(context: Any) -> float:
    return max(0.0, float(context.get_remaining_time_in_millis()) / 1000 - ANSWER_BEFORE_SECONDS)
