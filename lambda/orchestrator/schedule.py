"""When a backup must stop, and until when its lease holds. Pure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

LEASE_MARGIN = timedelta(minutes=15)
"""How long after window and drain a lease still holds."""

EARLIEST_STOP = timedelta(minutes=5)
"""A one-time cron expression in the past never fires; this leaves the rule time to come into force."""

KEEP_ITEM = timedelta(days=90)
"""How long the table keeps the item of a backup."""


def backup_id(interval: str, event_id: str, time: datetime | None) -> str:
    """Given the id and time of a start event, return the backup's id: the same for the same event.

    Like ``daily-20261123T020000Z-5f2c7a10``; a start that a person asked for has ``manual`` in place of the time.
    """
    when = time.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") if time else "manual"
    return f"{interval}-{when}-{hashlib.sha256(event_id.encode()).hexdigest()[:8]}"


def stop_time(start: datetime, window: int, drain: int) -> datetime:
    """Given a start and minutes, return when the stop event is due: the window's end less the drain, rounded up."""
    return not_too_soon(start + timedelta(minutes=window - drain), start)


def not_too_soon(due: datetime, now: datetime) -> datetime:
    """Return ``due``, but at least five minutes from now, rounded up to a full minute."""
    return _full_minute(max(due, now + EARLIEST_STOP))


def stop_again(now: datetime, drain: int) -> datetime:
    """Return when to look again after a stop: the drain, the hook's further five minutes, and two for its event."""
    return not_too_soon(now + timedelta(minutes=drain + 7), now)


def lease_end(start: datetime, window: int, drain: int) -> datetime:
    """Given a start and minutes, return until when the backup's lease holds."""
    return start + timedelta(minutes=window + drain) + LEASE_MARGIN


def cron(time: datetime) -> str:
    """Return the EventBridge expression that fires once, at this minute."""
    utc = time.astimezone(UTC)
    return f"cron({utc.minute} {utc.hour} {utc.day} {utc.month} ? {utc.year})"


def _full_minute(time: datetime) -> datetime:
    whole = time.replace(second=0, microsecond=0)
    return whole if whole == time else whole + timedelta(minutes=1)
