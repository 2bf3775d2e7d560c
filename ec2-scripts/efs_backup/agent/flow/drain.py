"""Drains from outside: what ssm.sh does when the group takes the instance out of service."""

from __future__ import annotations

import os
import signal
import time

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
    if not _agent_ended(instance, minutes * 60 + _MARGIN_SECONDS):
        finish(settings, instance)
    complete_hook(instance, group, hook, token)


def _agent_ended(instance: Instance, seconds: float) -> bool:
    """Tell the agent to stop and wait for the end of its run; False if it died, or does not come to an end."""
    told: int | None = None
    end = time.monotonic() + seconds
    while instance.notes.read(ENDED) is None:
        agent = instance.notes.holder()
        if agent is None:
            return instance.notes.read(ENDED) is not None
        if told != agent:
            say(f"the agent (process {agent}) is told to stop")
            os.kill(agent, signal.SIGTERM)
            told = agent
        if time.monotonic() >= end:
            say(f"the agent (process {agent}) does not come to an end and is killed")
            os.kill(agent, signal.SIGKILL)
        time.sleep(_STEP_SECONDS)
    say("the run has ended")
    return True
