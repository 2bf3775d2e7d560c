"""Backs up now, and stops now: the orchestrator's own events (docs/agent.md), sent by a person."""

from __future__ import annotations

import json
import uuid
from typing import Any

from deployment import stacks
from deployment.aws import Account
from deployment.errors import DeploymentError

STARTED = ("start", "resume", "take over")
"""What the orchestrator does about a start that leads to a backup."""


def backup_now(account: Account, stack: str) -> str:
    """Start a backup, and return what the orchestrator said.

    Raises:
        DeploymentError: it started none.
    """
    # An id of its own makes the event one, should the call be tried again.
    said = _invoke(account, stack, {"mode": "backup", "action": "start", "id": str(uuid.uuid4())})
    if said["action"] not in STARTED:
        raise DeploymentError(f"{stack}: no backup was started: {said['reason']}")
    return f"{stack}: the backup starts: {said['reason']}"


def stop_now(account: Account, stack: str) -> str:
    """Stop the backup that runs, and return what the orchestrator said; the next backup carries on."""
    said = _invoke(account, stack, {"mode": "backup", "action": "stop"})
    return f"{stack}: {said['reason']}"


def _invoke(account: Account, stack: str, event: dict[str, str]) -> dict[str, Any]:
    function = stacks.physical_id(account.client("cloudformation"), stack, "Orchestrator")
    answer = account.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    said: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise DeploymentError(f"{stack}: the orchestrator failed: {said.get('errorMessage', said)}")
    return said
