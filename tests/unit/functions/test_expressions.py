from datetime import UTC, datetime, timedelta

import pytest

from orchestrator import expressions

START = datetime(2026, 1, 1, 0, 0, tzinfo=UTC)  # a Thursday


def moments(expression: str, count: int, start: datetime = START) -> list[str]:
    schedule, moment, found = expressions.parse(expression), start, []
    for _ in range(count):
        following = schedule.next_after(moment, start)
        if following is None:
            break
        found.append(following.strftime("%Y-%m-%d %H:%M"))
        moment = following
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 2 * * ? *)", ["2026-01-01 02:00", "2026-01-02 02:00", "2026-01-03 02:00"]),
        ("cron(0/15 10 ? * MON-FRI *)", ["2026-01-01 10:00", "2026-01-01 10:15", "2026-01-01 10:30"]),
        ("cron(0 18 ? * mon-fri *)", ["2026-01-01 18:00", "2026-01-02 18:00", "2026-01-05 18:00"]),
        ("cron(0 3 ? * SAT-SUN *)", ["2026-01-03 03:00", "2026-01-04 03:00", "2026-01-10 03:00"]),
        ("cron(5 8-9,20 1 * ? *)", ["2026-01-01 08:05", "2026-01-01 09:05", "2026-01-01 20:05"]),
        ("cron(0 0 L * ? *)", ["2026-01-31 00:00", "2026-02-28 00:00", "2026-03-31 00:00"]),
        ("cron(0 0 31 * ? *)", ["2026-01-31 00:00", "2026-03-31 00:00", "2026-05-31 00:00"]),
        ("cron(0 0 LW * ? *)", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"]),
        ("cron(0 0 1W * ? *)", ["2026-02-02 00:00", "2026-03-02 00:00", "2026-04-01 00:00"]),
        ("cron(0 0 15W 2,8 ? *)", ["2026-02-16 00:00", "2026-08-14 00:00", "2027-02-15 00:00"]),
        ("cron(0 0 ? * 3#2 *)", ["2026-01-13 00:00", "2026-02-10 00:00", "2026-03-10 00:00"]),
        ("cron(0 0 ? * MON#5 *)", ["2026-03-30 00:00", "2026-06-29 00:00", "2026-08-31 00:00"]),
        ("cron(0 0 ? * 6L *)", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-27 00:00"]),
        ("cron(0 0 ? * L *)", ["2026-01-03 00:00", "2026-01-10 00:00", "2026-01-17 00:00"]),
        ("cron(30 4 29 FEB ? *)", ["2028-02-29 04:30", "2032-02-29 04:30", "2036-02-29 04:30"]),
        ("cron(10 5 7 3 ? 2026)", ["2026-03-07 05:10"]),
        ("cron(10 5 7 3 ? 2025)", []),
        ("rate(1 minute)", ["2026-01-01 00:01", "2026-01-01 00:02", "2026-01-01 00:03"]),
        ("rate(12 hours)", ["2026-01-01 12:00", "2026-01-02 00:00", "2026-01-02 12:00"]),
        ("rate(7 days)", ["2026-01-08 00:00", "2026-01-15 00:00", "2026-01-22 00:00"]),
    ],
)
def test_an_expression_fires_when_the_user_guide_says(expression: str, expected: list[str]) -> None:
    assert moments(expression, 3) == expected


def test_a_one_time_expression_never_fires_at_or_after_its_moment() -> None:
    schedule = expressions.parse("cron(10 5 7 3 ? 2026)")
    moment = datetime(2026, 3, 7, 5, 10, tzinfo=UTC)
    assert schedule.next_after(moment - timedelta(seconds=1), START) == moment
    assert schedule.next_after(moment, START) is None


@pytest.mark.parametrize(
    "expression",
    ["cron(0 2 * * * *)", "cron(0 2 ? * ? *)", "cron(0 2 * * ?)", "cron(60 2 * * ? *)", "cron(0 2 0 * ? *)",
     "cron(0 2 * FOO ? *)", "cron(0 2 ? * 8 *)", "cron(5-1 2 * * ? *)", "cron(0 2 * * ? 1969)", "cron(0/0 2 * * ? *)",
     "rate(0 minutes)", "rate(1 minutes)", "rate(2 minute)", "rate(1.5 hours)", "at(2026-01-01T00:00:00)", ""],
)  # fmt: skip
def test_an_expression_that_eventbridge_refuses_is_refused(expression: str) -> None:
    with pytest.raises(expressions.ScheduleError):
        expressions.parse(expression)
