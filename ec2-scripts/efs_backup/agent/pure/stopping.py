"""When the work must stop, and how long the engine then has to stop in good order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

WINDOW = "the backup window is over"
TERMINATED = "the group takes the instance out of service"
SPOT = "Amazon EC2 takes the Spot instance back"
TOLD = "it was told to stop"

FINISH_SECONDS = 30.0
"""What the end of a run may take: table, logs, capacity."""
LEAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the work stops, and until when the engine may take to do so."""

    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Signs:
    """What is seen from outside: the metadata's lifecycle state and Spot notice, and whether a signal came."""

    lifecycle_state: str | None = None
    spot_action: str | None = None
    told: bool = False


def decide_stop(now: float, deadline: float | None, drain_minutes: float, signs: Signs) -> Stop | None:
    """Decide whether the work stops now. The nearest end comes first: Spot leaves two minutes, the rest the drain."""
    if (taken := spot_time(signs.spot_action)) is not None:
        return Stop(SPOT, max(now + LEAST_SECONDS, taken - FINISH_SECONDS))
    until = now + drain_minutes * 60
    if signs.lifecycle_state == "Terminated":
        return Stop(TERMINATED, until)
    if signs.told:
        return Stop(TOLD, until)
    if deadline is not None and now >= deadline:
        return Stop(WINDOW, until)
    return None


def spot_time(action: str | None) -> float | None:
    """Given the text of ``spot/instance-action``, return when the instance is taken, None if it is not."""
    if not action:
        return None
    try:
        notice = json.loads(action)
        if notice["action"] not in ("terminate", "stop"):
            return None
        return datetime.fromisoformat(str(notice["time"])).timestamp()
    except (ValueError, KeyError, TypeError):
        return None
