"""When a backup is overdue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.overdue import hours_overdue

WINDOW = timedelta(hours=3)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "since", "now", "hours"),
    [
        # 2026-11-23 is a Monday. The window of 02:00 is over at 05:00.
        ("cron(0 2 * * ? *)", "2026-11-23 02:40", "2026-11-24 01:59", 0),
        ("cron(0 2 * * ? *)", "2026-11-23 02:40", "2026-11-24 05:00", 0),
        ("cron(0 2 * * ? *)", "2026-11-23 02:40", "2026-11-24 06:30", 1.5),
        ("cron(0 2 * * ? *)", "2026-11-23 02:40", "2026-11-26 05:00", 48),
        # the stack was made at noon: its first night is the next one
        ("cron(0 2 * * ? *)", "2026-11-23 12:00", "2026-11-23 23:00", 0),
        # Monday to Friday: nothing is overdue over a weekend
        ("cron(0 2 ? * MON-FRI *)", "2026-11-27 02:40", "2026-11-30 04:59", 0),
        ("cron(0 2 ? * MON-FRI *)", "2026-11-27 02:40", "2026-11-30 06:00", 1),
        ("cron(0 2 ? * SUN *)", "2026-11-22 03:00", "2026-11-28 23:00", 0),
        ("cron(0 2 ? * SUN *)", "2026-11-22 03:00", "2026-11-29 07:00", 2),
        ("cron(0 2 1 * ? *)", "2026-11-01 03:00", "2026-12-01 04:00", 0),
        ("cron(0 2 1 * ? *)", "2026-11-01 03:00", "2026-12-02 05:00", 24),
        ("cron(0 2 L * ? *)", "2026-11-30 03:00", "2026-12-31 06:00", 1),
        ("rate(1 day)", "2026-11-23 02:40", "2026-11-24 05:40", 0),
        ("rate(1 day)", "2026-11-23 02:40", "2026-11-24 06:40", 1),
        ("rate(7 days)", "2026-11-23 02:40", "2026-11-29 23:00", 0),
        ("rate(7 days)", "2026-11-23 02:40", "2026-11-30 07:40", 2),
        # a manual backup half an hour before the night's counts for that morning only until the night's window ends
        ("cron(0 2 * * ? *)", "2026-11-23 01:55", "2026-11-23 04:00", 0),
        # a schedule that has come to its end
        ("cron(0 2 1 1 ? 2026)", "2026-11-23 02:40", "2027-11-23 02:40", 0),
    ],
)
def test_the_hours_since_a_snapshot_should_have_been_there(schedule: str, since: str, now: str, hours: float) -> None:
    assert hours_overdue(schedule, WINDOW, at(since), at(now)) == hours
