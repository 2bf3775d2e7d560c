"""Draws a bar for each backup, as SVG without script. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from widget.markup import Markup, tag

WIDTH, HEIGHT = 360.0, 110.0
TOP, BOTTOM = 16.0, 92.0
FEWEST_SLOTS, WIDEST_GAP = 14, 3.0
DWARFS, CROSSES = 8, 10.0
SIZES = (1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 80, 100, 150, 200, 300, 500, 800, 1024)
DURATIONS = tuple(
    float(number * seconds)
    for seconds, numbers in (
        (1, (1, 2, 3, 5, 10, 15, 20, 30)),
        (60, (1, 2, 3, 5, 10, 15, 20, 30, 45)),
        (3600, (1, 1.5, 2, 3, 4, 6, 8, 12, 18, 24)),
    )
    for number in numbers
)


@dataclass(frozen=True)
class Bar:
    """One backup: its day for the axis, its value, whether it was good, and what is said when one points at it."""

    day: str
    value: float
    good: bool
    tip: str


@dataclass(frozen=True)
class Measure:
    """What a chart shows: its title, how a value is said, and the round value that its scale ends at."""

    title: str
    words: Callable[[float], str]
    ceiling: Callable[[float], float]


def chart(measure: Measure, bars: Sequence[Bar]) -> Markup:
    """Return a figure of bars, oldest first. Without bars it says so."""
    title, words = measure.title, measure.words
    if not bars:
        return tag("figure", tag("figcaption", f"{title}: nothing to show yet"), class_="eb-chart")
    last, top = bars[-1], measure.ceiling(_highest([bar.value for bar in bars])) or 1.0
    caption = tag("figcaption", title, " · last ", tag("b", words(last.value)))
    drawing = tag(
        "svg",
        *_scale(bars, words(top)),
        *_bars(bars, top),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        aria_label=f"{title}, {len(bars)} backups, the last one {words(last.value)}",
    )
    return tag("figure", caption, drawing, class_="eb-chart")


def _highest(values: Sequence[float]) -> float:
    """The value that the scale must reach: the highest, unless it dwarfs all others, as a first backup does."""
    first, second = sorted([0.0, *values])[:-3:-1]
    return second if first > DWARFS * second > 0 else first


def round_size(value: float) -> float:
    """Return a number of bytes that is round in its unit and not below a value."""
    unit = 1024.0 ** (max(int(value).bit_length() - 1, 0) // 10)
    return unit * next((step for step in SIZES if step * unit >= value), value / unit)


def round_duration(value: float) -> float:
    """Return a number of seconds that is round as people count time and not below a value."""
    days = 86400.0 * ceil(value / 86400)
    return next((step for step in DURATIONS if step >= value), days)


def _bars(bars: Sequence[Bar], top: float) -> list[Markup]:
    slot = WIDTH / max(len(bars), FEWEST_SLOTS)
    gap = min(WIDEST_GAP, slot / 4)
    drawn = []
    for number, bar in enumerate(bars):
        # A bar that is higher than the scale crosses its upper line.
        height = min(max((BOTTOM - TOP) * bar.value / top, 1.0), BOTTOM - TOP + CROSSES)
        rect = tag(
            "rect",
            tag("title", bar.tip),
            x=number * slot + gap / 2,
            y=BOTTOM - height,
            width=slot - gap,
            height=height,
            rx=1.5,
            class_="eb-bar" if bar.good else "eb-bar-bad",
        )
        drawn.append(rect)
    return drawn


def _scale(bars: Sequence[Bar], top: str) -> list[Markup]:
    """Two lines, the value of the upper one, and the first and the last day."""
    end = WIDTH * len(bars) / max(len(bars), FEWEST_SLOTS)
    lines = [tag("line", x1=0, x2=WIDTH, y1=y, y2=y, class_="eb-axis") for y in (TOP, BOTTOM)]
    labels = [tag("text", top, x=0, y=TOP - 4, class_="eb-scale")]
    labels.append(tag("text", bars[0].day, x=0, y=HEIGHT - 5, class_="eb-scale"))
    if len(bars) > FEWEST_SLOTS // 2:
        labels.append(tag("text", bars[-1].day, x=end, y=HEIGHT - 5, text_anchor="end", class_="eb-scale"))
    return lines + labels
