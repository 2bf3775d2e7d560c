"""List: which snapshots there are, what they hold, and whether they were verified."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, NamedTuple

from efs_backup.effects.files import exists
from efs_backup.effects.store import Store
from efs_backup.flow.options import demand_directory
from efs_backup.flow.verdicts import read_verdict
from efs_backup.pure.catalog import Snapshot
from efs_backup.pure.report import duration, size

HEAD = ("SNAPSHOT", "FINISHED", "AGE", "FILES", "SIZE", "STATUS", "VERIFIED", "ID")
"""What the columns of the table are."""


class Listed(NamedTuple):
    """One snapshot. `verified` is None until it was verified, then whether it was found sound."""

    number: int
    id: str
    path: str
    started: str | None
    finished: str | None
    files: int | None
    bytes: int | None
    complete: bool
    verified: bool | None
    verified_at: str | None


class Inventory(NamedTuple):
    """The snapshots of one interval, newest first."""

    interval: str
    snapshots: list[Listed]

    def to_plain(self) -> dict[str, Any]:
        """Return the inventory as what JSON has words for."""
        return {"snapshots": [s._asdict() for s in self.snapshots]}

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of a table for a person, a row for each snapshot, below HEAD."""
        return [_row(self.interval, s) for s in self.snapshots]

    def lines(self) -> list[str]:
        """Return the inventory as a table for a person, in lines of text."""
        if not self.snapshots:
            return ["no snapshots yet"]
        rows = [HEAD, *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def inventory(backup: str, label: str, interval: str) -> Inventory:
    """Return what is published, right also in the middle of a rotation that was cut off; nothing is changed."""
    demand_directory(backup, "--backup")
    if not exists(os.path.join(backup, label)):
        return Inventory(interval, [])
    store = Store(backup, label, interval)
    try:
        return Inventory(
            interval,
            [_listed(store, number, standing.path, standing.snapshot) for number, standing in store.survey().numbered],
        )
    finally:
        store.close()


def _listed(store: Store, number: int, path: str, snapshot: Snapshot) -> Listed:
    verdict = read_verdict(store, snapshot.id)
    verified = None
    if verdict is not None and (verdict.whole or not verdict.sound):
        verified = verdict.sound
    return Listed(
        number, snapshot.id, store.shown(path), snapshot.started, snapshot.finished, snapshot.files, snapshot.bytes,
        snapshot.complete, verified, verdict.time if verdict else None,
    )  # fmt: skip


def _row(interval: str, listed: Listed) -> tuple[str, ...]:
    return (
        f"{interval}.{listed.number}",
        listed.finished or "unknown",
        _age(listed.finished),
        f"{listed.files:,}" if listed.files is not None else "?",
        size(listed.bytes) if listed.bytes is not None else "?",
        "complete" if listed.complete else "incomplete",
        {True: "yes", False: "DAMAGED", None: "-"}[listed.verified],
        listed.id,
    )


def _age(finished: str | None) -> str:
    if finished is None:
        return "?"
    return duration((datetime.now(UTC) - datetime.fromisoformat(finished)).total_seconds())
