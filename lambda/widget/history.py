"""What is known of snapshots and backups, understood from the agent's list and the table's items. Pure.

Nothing here is trusted to be complete: an attribute that is missing, or is not what it should be, is None.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

Item = Mapping[str, Any]

RUNNING = "@running"
SUCCESS, SKIPPED = "Success", "Skipped"
LIST_VERSION = 1
LAST_SECOND = 253_402_300_799
"""Of the year 9999: the last that has a date."""


class HistoryError(Exception):
    """The list of the snapshots is none; the message is one sentence."""


@dataclass(frozen=True)
class Snapshot:
    """A published snapshot. ``verified`` is None until it was verified, then whether it was found sound."""

    number: int
    id: str
    finished: datetime | None
    complete: bool
    files: int | None
    bytes: int | None
    seconds: float | None
    verified: bool | None
    cost: str | None


@dataclass(frozen=True)
class Progress:
    """How far the running phase is; ``expected`` files, None where nobody knows."""

    phase: str
    files: int
    expected: int | None
    bytes: int


@dataclass(frozen=True)
class Backup:
    """A backup as the table has it. ``status`` is None as long as it runs, ``log`` where its log is."""

    id: str
    status: str | None
    started: datetime | None
    stopped: datetime | None
    files: int | None
    bytes: int | None
    files_transferred: int | None
    bytes_transferred: int | None
    credits_before: int | None
    credits_after: int | None
    snapshot: str | None
    cost: str | None
    log: str | None
    progress: Progress | None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return (self.stopped - self.started).total_seconds() if self.started and self.stopped else None


@dataclass(frozen=True)
class Lease:
    """The backup that runs: since when, until when it may, and whether it was told to stop."""

    backup: str
    started: datetime | None
    window_end: datetime | None
    stopping: bool


def parse_snapshots(text: bytes) -> tuple[Snapshot, ...]:
    """Given the agent's list, return the snapshots, newest first.

    Raises HistoryError, in one sentence, if it is no such list.
    """
    try:
        plain = json.loads(text)
        if plain["version"] != LIST_VERSION:
            raise HistoryError("The list of the snapshots is of a version that this widget does not know: update it.")
        return tuple(sorted((_snapshot(entry) for entry in plain["snapshots"]), key=lambda s: s.number))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HistoryError("The list of the snapshots is damaged: the next backup writes it anew.") from error


def _snapshot(entry: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        number=int(entry["number"]),
        id=str(entry["id"]),
        finished=_moment(entry.get("finished")),
        complete=entry["complete"] is True,
        files=_whole(entry.get("files")),
        bytes=_whole(entry.get("bytes")),
        seconds=_whole(entry.get("seconds")),
        verified=entry["verified"] if isinstance(entry.get("verified"), bool) else None,
        cost=_text(entry.get("cost")),
    )


def parse_backups(items: Iterable[Item]) -> tuple[Backup, ...]:
    """Given the table's items, return the backups, newest first."""
    backups = [_backup(item) for item in items if item.get("BackupId") != RUNNING]
    return tuple(sorted(backups, key=lambda b: (b.started or datetime.min.replace(tzinfo=UTC), b.id), reverse=True))


def parse_lease(items: Iterable[Item]) -> Lease | None:
    """Given the table's items, return the lease, None if no backup runs."""
    for item in items:
        if item.get("BackupId") == RUNNING and (backup := _text(item.get("RunningBackupId"))):
            started, end = _epoch(item.get("LeaseStart")), _epoch(item.get("WindowEnd"))
            return Lease(backup, started, end, item.get("StopRequested") is True)
    return None


def _backup(item: Item) -> Backup:
    return Backup(
        id=str(item.get("BackupId", "")),
        status=_text(item.get("BackupStatus")),
        started=_moment(item.get("BackupStartTime")),
        stopped=_moment(item.get("BackupStopTime")),
        files=_whole(item.get("NumberOfFiles")),
        bytes=_whole(item.get("TotalFileSize")),
        files_transferred=_whole(item.get("NumberOfFilesTransferred")),
        bytes_transferred=_whole(item.get("TotalTransferredFileSize")),
        credits_before=_whole(item.get("SourceBurstCreditBalance")),
        credits_after=_whole(item.get("SourceBurstCreditBalancePostBackup")),
        snapshot=_text(item.get("SnapshotId")),
        cost=_text(item.get("EstimatedCost")),
        log=_text(item.get("EC2Logs")),
        progress=_progress(item),
    )


def _progress(item: Item) -> Progress | None:
    phase, files = _text(item.get("ProgressPhase")), _whole(item.get("ProgressFiles"))
    if phase is None or files is None:
        return None
    return Progress(
        phase, files, _whole(item.get("ProgressFilesExpected")) or None, _whole(item.get("ProgressBytes")) or 0
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not isfinite(value):
        return None
    return int(value)


def _epoch(value: Any) -> datetime | None:
    seconds = _whole(value)
    if seconds is None or not 0 <= seconds <= LAST_SECOND:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _moment(value: Any) -> datetime | None:
    """A time of the list or the table: UTC, whether or not it says so."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
