"""Tells how far a run is and how it ended: into the backup's item, and as metrics (docs/dashboard.md)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from efs_backup.agent.effects.aws import AwsError
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.says import say
from efs_backup.agent.pure.items import NO_STATUS, changes
from efs_backup.agent.pure.metrics import Metric, end_metrics, progress_metrics
from efs_backup.agent.pure.settings import Settings
from efs_backup.agent.pure.times import timestamp

_EVERY_SECONDS = 60.0


class Telling:
    """Tells about one run. That something cannot be told is said in the log, and ends nothing."""

    def __init__(self, settings: Settings, instance: Instance, table: str | None, backup_id: str) -> None:
        """Nothing is told yet. A restore has no table, and neither has a backup that could not read it."""
        self._settings, self._instance = settings, instance
        self._table, self._backup_id = table, backup_id
        self._last: dict[str, Any] = {}
        self._told = 0.0

    def progress(self, progress: dict[str, Any]) -> None:
        """Given the progress of now, tell it if a minute has passed, and the last of a phase that has ended."""
        last, self._last = self._last, progress
        now = time.monotonic()
        if last and last["phase"] != progress["phase"]:
            self._publish(progress_metrics(last))
        elif last and now - self._told < _EVERY_SECONDS:
            return
        self._told = now
        self._publish(progress_metrics(progress))
        if self._table is not None:
            self._write(self._table, progress)

    def end(self, status: str, seconds: float, report: Mapping[str, Any] | None) -> None:
        """Tell how the run ended."""
        if self._last:
            self._publish(progress_metrics(self._last))
        self._publish(end_metrics(status, seconds, report))

    def _publish(self, metrics: Sequence[Metric]) -> None:
        try:
            self._instance.aws.put_metrics(self._settings.stack, metrics)
        except AwsError as error:
            say(str(error))

    def _write(self, table: str, progress: Mapping[str, Any]) -> None:
        change, values = changes(
            {
                "ProgressPhase": progress["phase"],
                "ProgressFiles": progress["files"],
                "ProgressFilesExpected": progress["files_expected"],
                "ProgressBytes": progress["bytes"],
                "ProgressTime": timestamp(time.time()),
            }
        )
        try:
            self._instance.aws.update(table, self._backup_id, change, NO_STATUS, values, hasty=True)
        except AwsError as error:
            say(str(error))
