"""Numbers and times as a person reads them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

UNKNOWN = "–"  # noqa: RUF001 - a dash stands for what nobody knows
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def count(number: int | None) -> str:
    """Return a number of things."""
    return UNKNOWN if number is None else f"{number:,}"


def size(number: float | None) -> str:
    """Return a number of bytes."""
    if number is None:
        return UNKNOWN
    power = min(max(int(number).bit_length() - 1, 0) // 10, len(UNITS) - 1)
    return f"{number:,.0f} B" if power == 0 else f"{number / 1024**power:,.1f} {UNITS[power]}"


def duration(seconds: float | None) -> str:
    """Return how long something took."""
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(max(round(seconds), 0), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def span(seconds: float) -> str:
    """Return a long time in its one largest unit, like ``6 hours``."""
    for from_seconds, length, unit in ((2 * 86400, 86400, "day"), (3600, 3600, "hour"), (60, 60, "minute")):
        if seconds >= from_seconds:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago something was."""
    return "at an unknown time" if moment is None else f"{span(max((now - moment).total_seconds(), 0))} ago"


def time(moment: datetime | None) -> str:
    """Return a moment in UTC."""
    return UNKNOWN if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def day(moment: datetime | None) -> str:
    """Return a moment's day."""
    return UNKNOWN if moment is None else f"{moment.astimezone(UTC):%b} {moment.astimezone(UTC).day}"
