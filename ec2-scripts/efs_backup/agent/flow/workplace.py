"""Where a run works: both file systems mounted, the engine started in front of them and watched to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from efs_backup.agent.effects.engine import Engine
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.mounter import Mounter
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.watch import Watch
from efs_backup.agent.pure.mounting import Mount
from efs_backup.agent.pure.outcome import EngineRun
from efs_backup.agent.pure.settings import Settings
from efs_backup.agent.pure.synclog import synchronization_log

SOURCE, BACKUP = "/mnt/efs-backup/source", "/mnt/efs-backup/backup"
_STEP_SECONDS = 1.0


@contextmanager
def mounted(settings: Settings, instance: Instance, watch: Watch, writable: str) -> Iterator[None]:
    """Mount source and backup while the block runs, only ``writable`` (one of the two) to be written.

    Raises MountError if one cannot be mounted.
    """
    mounter = Mounter(instance.aws, settings.region, settings.url_suffix, instance.zone)
    mounts = (
        Mount(settings.source_efs, settings.prefix, SOURCE, writable == SOURCE),
        Mount(settings.backup_efs, "/", BACKUP, writable == BACKUP),
    )
    try:
        for mount in mounts:
            mounter.mount(mount, lambda: watch.stop() is not None)
        yield
    finally:
        for mount in mounts:
            mounter.unmount(mount.point)


def run_engine(words: Sequence[str], watch: Watch, tell: Callable[[dict[str, Any]], None]) -> EngineRun:
    """Run the engine to its end, or stop it in time; ``tell`` gets its progress every second."""
    began, until = time.time(), math.inf
    engine = Engine(list(words))
    while not engine.ended(_STEP_SECONDS):
        if (stop := watch.stop()) is not None:
            if until == math.inf:
                say(f"the work stops: {stop.reason}")
                engine.stop()
            # A nearer end may come meanwhile: the Spot instance is taken back while the window's end drains.
            until = min(until, stop.until)
        if time.time() >= until:
            say("the engine did not stop in time and is killed")
            engine.kill()
        if progress := engine.progress():
            tell(progress)
    ended = engine.result()
    engine.keep_log("fpsync.log", synchronization_log(engine.fpsync_said(), ended.report, f"{int(began)}-{engine.pid}"))
    return ended
