"""``snapshots.json``: what the log bucket says of the snapshots, for the widget (docs/dashboard.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

KEY = "snapshots.json"
VERSION = 1
_SAME = ("number", "id", "started", "finished", "complete", "files", "bytes", "verified")


def snapshots_document(
    listed: Sequence[Mapping[str, Any]], published: str | None, cost: str, written: str
) -> dict[str, Any]:
    """Given what ``efs-backup list --json`` says, newest first, return the document.

    ``published`` is the id of the snapshot that this run made, the only one whose ``cost`` is known here.
    """
    return {
        "version": VERSION,
        "written": written,
        "snapshots": [
            {name: snapshot[name] for name in _SAME}
            | {"seconds": _seconds(snapshot), "cost": cost if snapshot["id"] == published else None}
            for snapshot in listed
        ],
    }


def _seconds(snapshot: Mapping[str, Any]) -> int | None:
    if not snapshot["started"] or not snapshot["finished"]:
        return None
    began, ended = (datetime.fromisoformat(snapshot[name]) for name in ("started", "finished"))
    return int((ended - began).total_seconds())
