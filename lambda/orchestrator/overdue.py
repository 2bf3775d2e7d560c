"""Whether a backup is overdue: by the schedule, the window and the last complete snapshot. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrator.expressions import parse

HOUR = timedelta(hours=1)


def hours_overdue(schedule: str, window: timedelta, since: datetime, now: datetime) -> float:
    """Return the hours since a complete snapshot should have been there, 0 while all is well.

    ``since`` is when the last complete snapshot was finished, or when the stack was made if there is none yet. The
    first firing of the schedule after that gives the next one, which is due when its window is over. Nothing depends on
    whether the schedule did fire: if it is disabled, this goes up all the same.

    Raises ScheduleError if the schedule cannot be read.
    """
    firing = parse(schedule).next_after(since, since)
    if firing is None:  # a schedule that has come to its end
        return 0.0
    return max(0.0, round((now - firing - window) / HOUR, 2))
