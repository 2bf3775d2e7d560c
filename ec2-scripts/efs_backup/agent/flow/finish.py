"""Ends what an agent that died has left."""

from __future__ import annotations

import signal
import time

from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.backup import RUN
from efs_backup.agent.flow.ending import ENDED, BackupEnding, Run
from efs_backup.agent.flow.restore import end_restore
from efs_backup.agent.pure.outcome import INCOMPLETE, UNSUCCESSFUL, Outcome
from efs_backup.agent.pure.restoring import RestoreOutcome
from efs_backup.agent.pure.settings import BackupSettings, RestoreSettings

_DIED = "The agent on the instance failed before the work was done; its log may say why."
_NEVER_BEGAN = "The agent on the instance failed before it began to work; its log may say why."


def finish(settings: BackupSettings | RestoreSettings, instance: Instance) -> None:
    """Give the run of a dead agent its end; do nothing if it has one, or if another process is just doing it."""
    # What is asked to stop here is the work, and there is none any more.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with instance.notes.held() as free:
        if not free:
            say("another process ends the run")
        elif instance.notes.read(ENDED) is not None:
            say("the run has ended, and nothing is left to do")
        else:
            _end(settings, instance)


def _end(settings: BackupSettings | RestoreSettings, instance: Instance) -> None:
    noted = instance.notes.read(RUN)
    began = noted["began"] if noted else time.time()
    status, reason = (INCOMPLETE, _DIED) if noted else (UNSUCCESSFUL, _NEVER_BEGAN)
    if isinstance(settings, RestoreSettings):
        end_restore(settings, instance, RestoreOutcome(status, reason), began)
        return
    run = Run(noted["backup_id"], began, noted["known"]) if noted else Run("", began, known=False)
    BackupEnding(settings, instance, run).end(Outcome(status, reason))
