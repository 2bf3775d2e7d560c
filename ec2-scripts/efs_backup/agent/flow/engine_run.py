"""Runs the engine to its end, or stops it in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from efs_backup.agent.effects.engine import Engine
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.watch import Watch
from efs_backup.agent.pure.outcome import EngineRun

_STEP_SECONDS = 1.0


def run_engine(engine: Engine, watch: Watch, tell: Callable[[dict[str, Any]], None]) -> EngineRun:
    """Wait for the engine; ``tell`` gets its progress every second. Return how it ended."""
    until: float | None = None
    while not engine.ended(_STEP_SECONDS):
        if until is None and (stop := watch.stop()) is not None:
            say(f"the work stops: {stop.reason}")
            engine.stop()
            until = stop.until
        if until is not None and time.time() >= until:
            say("the engine did not stop in time and is killed")
            engine.kill()
        if progress := engine.progress():
            tell(progress)
    return engine.result()
