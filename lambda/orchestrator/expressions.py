"""Schedule expressions of EventBridge rules: when they fire next. Pure. The local cloud fires its rules by it too.

Source: Amazon EventBridge User Guide, "Cron and rate expressions". Times are UTC, whole minutes.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
WEEKDAYS = {name: number for number, name in enumerate(["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"], start=1)}
FIRST_YEAR, LAST_YEAR = 1970, 2199
UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


class ScheduleError(ValueError):
    """An expression that EventBridge would refuse; the message says which and why."""


@dataclass(frozen=True)
class Field:
    """One field of a cron expression: its name, its range and the names its values may have."""

    name: str
    low: int
    high: int
    names: dict[str, int]


MINUTES = Field("minutes", 0, 59, {})
HOURS = Field("hours", 0, 23, {})
DAY_OF_MONTH = Field("day-of-month", 1, 31, {})
MONTH = Field("month", 1, 12, {name.upper(): number for name, number in MONTHS.items()})
DAY_OF_WEEK = Field("day-of-week", 1, 7, {name.upper(): number for name, number in WEEKDAYS.items()})
YEAR = Field("year", FIRST_YEAR, LAST_YEAR, {})


@dataclass(frozen=True)
class Rate:
    """``rate(5 minutes)``: every ``every``, counted from the rule's creation."""

    every: timedelta

    def next_after(self, moment: datetime, created: datetime) -> datetime | None:
        """Return the first firing later than ``moment`` of a rule made at ``created``."""
        periods = max((moment - created) // self.every + 1, 1)
        return created + periods * self.every


@dataclass(frozen=True)
class Cron:
    """``cron(minutes hours day-of-month month day-of-week year)``, parsed."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...]
    day_of_month: str
    day_of_week: str

    def next_after(self, moment: datetime, created: datetime | None = None) -> datetime | None:
        """Return the first firing later than ``moment``, or None if there is none any more."""
        del created  # a cron expression does not depend on when its rule was made
        for day in self._days_from(moment.date()):
            for hour in self.hours:
                for minute in self.minutes:
                    candidate = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                    if candidate > moment:
                        return candidate
        return None

    def _days_from(self, first: date) -> Iterator[date]:
        for year in self.years:
            for month in self.months:
                if (year, month) < (first.year, first.month):
                    continue
                for day in sorted(self._days_of(year, month)):
                    if date(year, month, day) >= first:
                        yield date(year, month, day)

    def _days_of(self, year: int, month: int) -> set[int]:
        if self.day_of_week == "?":
            return _days_by_month(self.day_of_month, year, month)
        return _days_by_week(self.day_of_week, year, month)


def parse(expression: str) -> Cron | Rate:
    """Parse ``cron(...)`` or ``rate(...)``.

    Raises ScheduleError if it is neither, or a field of it is not valid.
    """
    if match := re.fullmatch(r"rate\((\d+) (minute|hour|day)(s?)\)", expression):
        number, unit, plural = int(match[1]), match[2], match[3]
        if number < 1 or (number == 1) == bool(plural):
            raise ScheduleError(f"{expression}: write rate(1 {unit}) or rate(2 {unit}s) and more")
        return Rate(number * UNITS[unit])
    if match := re.fullmatch(r"cron\((.*)\)", expression):
        return _parse_cron(expression, match[1].upper().split())
    raise ScheduleError(f"{expression}: neither cron(...) nor rate(...)")


def _parse_cron(expression: str, fields: list[str]) -> Cron:
    if len(fields) != 6:
        raise ScheduleError(f"{expression}: a cron expression has six fields, this one has {len(fields)}")
    minutes, hours, day_of_month, month, day_of_week, year = fields
    if (day_of_month == "?") == (day_of_week == "?"):
        raise ScheduleError(f"{expression}: exactly one of day-of-month and day-of-week must be ?")
    cron = Cron(
        _values(minutes, MINUTES), _values(hours, HOURS), _values(month, MONTH), _values(year, YEAR),
        day_of_month, day_of_week,
    )  # fmt: skip
    _days_by_month(day_of_month, 2024, 1) if day_of_week == "?" else _days_by_week(day_of_week, 2024, 1)
    return cron


def _values(text: str, field: Field) -> tuple[int, ...]:
    """Return the sorted values a list of numbers, names, ranges and steps stands for."""
    return tuple(sorted({value for part in text.split(",") for value in _part(part, field)}))


def _part(text: str, field: Field) -> list[int]:
    match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", text)
    if match is None or (match[1] == "*" and match[2]):
        raise ScheduleError(f"{text}: not valid for {field.name}")
    first, last, step = match[1], match[2], int(match[3] or 1)
    low = field.low if first == "*" else _number(first, field)
    open_end = field.high if first == "*" or match[3] else low
    high = _number(last, field) if last else open_end
    if field is DAY_OF_WEEK and high < low:
        high += 7  # FRI-MON, SAT-SUN: a week goes round
    if step < 1 or high < low:
        raise ScheduleError(f"{text}: not valid for {field.name}")
    return [(value - field.low) % (field.high - field.low + 1) + field.low for value in range(low, high + 1, step)]


def _number(text: str, field: Field) -> int:
    number = field.names.get(text, int(text) if text.isdigit() else -1)
    if not field.low <= number <= field.high:
        raise ScheduleError(f"{text}: {field.name} goes from {field.low} to {field.high}")
    return number


def _days_by_month(text: str, year: int, month: int) -> set[int]:
    """Return the days of a month that a day-of-month field names: numbers, ``L``, ``15W``, ``LW``."""
    length = calendar.monthrange(year, month)[1]
    if text == "L":
        return {length}
    if text == "LW":
        return {_nearest_weekday(year, month, length)}
    if match := re.fullmatch(r"(\d+)W", text):
        day = _number(match[1], DAY_OF_MONTH)
        return {_nearest_weekday(year, month, day)} if day <= length else set()
    return {day for day in _values(text, DAY_OF_MONTH) if day <= length}


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """Return the day from Monday to Friday nearest to ``day``, within its month."""
    length = calendar.monthrange(year, month)[1]
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < length else day - 2
    return day


def _days_by_week(text: str, year: int, month: int) -> set[int]:
    """Return the days of a month that a day-of-week field names: ``MON-FRI``, ``3#2``, ``6L``, ``L``."""
    if text == "L":
        return set(_dates_of(7, year, month))
    if match := re.fullmatch(r"(\w+)#([1-5])", text):
        days = _dates_of(_number(match[1], DAY_OF_WEEK), year, month)
        return set(days[int(match[2]) - 1 : int(match[2])])
    if match := re.fullmatch(r"(\w+)L", text):
        return set(_dates_of(_number(match[1], DAY_OF_WEEK), year, month)[-1:])
    return {day for weekday in _values(text, DAY_OF_WEEK) for day in _dates_of(weekday, year, month)}


def _dates_of(weekday: int, year: int, month: int) -> list[int]:
    """Return the days of a month that fall on a weekday (1 = Sunday)."""
    length = calendar.monthrange(year, month)[1]
    return [day for day in range(1, length + 1) if calendar.weekday(year, month, day) == (weekday - 2) % 7]
