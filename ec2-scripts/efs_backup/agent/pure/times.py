"""How times are written: in UTC, as the table has them."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(moment: float) -> str:
    """Given seconds since the epoch, return a time like 2026-11-23T02:00:00."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
