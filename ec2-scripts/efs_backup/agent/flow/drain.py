"""Drains from outside: what ssm.sh does when the group takes the instance out of service."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.ending import ENDED
from efs_backup.agent.flow.finish import finish
from efs_backup.agent.flow.leaving import complete_hook
from efs_backup.agent.pure.settings import BackupSettings, RestoreSettings

_STEP_SECONDS = 0.5
_MARGIN_SECONDS = 120.0
"""What the agent gets beyond the drain: it kills an engine that does not stop, then records and uploads."""


def drain(
    settings: BackupSettings | RestoreSettings, instance: Instance, hook: str, group: str, target: str, token: str
) -> None:
    """Stop the agent's run, wait until it has ended, end it if the agent is gone, and complete the hook."""
    say(f"drain {target}: {group} takes it out of service")
    minutes = settings.drain if isinstance(settings, BackupSettings) else 0
    _stop_agent(instance, minutes * 60 + _MARGIN_SECONDS)
    if instance.notes.read(ENDED) is None:
        finish(settings, instance)
    say("the run has ended")
    complete_hook(instance, group, hook, token)


def _stop_agent(instance: Instance, seconds: float) -> None:
    """Tell the agent to stop, and wait until its run has ended or it is gone; kill it if that takes too long."""
    told: int | None = None
    end = time.monotonic() + seconds
    while instance.notes.read(ENDED) is None and (agent := instance.notes.holder()) is not None:
        if told != agent:
            say(f"the agent (process {agent}) is told to stop")
            _signal(agent, signal.SIGTERM)
            told = agent
        if time.monotonic() >= end:
            say(f"the agent (process {agent}) does not come to an end and is killed")
            _signal(agent, signal.SIGKILL)
        time.sleep(_STEP_SECONDS)


def _signal(process: int, number: int) -> None:
    """Send a signal to a process that may just have ended."""
    with suppress(ProcessLookupError):
        os.kill(process, number)
