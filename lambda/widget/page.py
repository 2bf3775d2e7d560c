"""The widget's HTML: no script, everything escaped. Pure.

``cwdb-action`` belongs to the element before it, and tells the console what a click on that does (Amazon CloudWatch
user guide, "Interactivity in the custom widget").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import readable as words
from widget.chart import Bar, Measure, chart, round_duration, round_size
from widget.config import Settings
from widget.history import SKIPPED, SUCCESS, Backup
from widget.markup import EMPTY, Markup, join, tag
from widget.style import sheet
from widget.summary import BAD, GOOD, NEUTRAL, WARNING, Known, last_good, subscription_warning, verdict
from widget.tables import failures_table, snapshots_table

MOST_BARS = 42
DURATION = Measure("Duration", words.duration, round_duration)
SIZE = Measure("Size", words.size, round_size)
COPIED = Measure("Copied", words.size, round_size)
MARKS = {
    GOOD: "M10 18.5 L16 24.5 L27 12.5",
    WARNING: "M18 9.5 L18 20.5 M18 25.5 L18 26.5",
    BAD: "M12 12 L24 24 M24 12 L12 24",
    NEUTRAL: "M11 18 L25 18",
}


def page(settings: Settings, known: Known, theme: str) -> Markup:
    """Return the whole widget."""
    warning = subscription_warning(known.subscriptions, settings.email)
    notes = [*([warning] if warning else []), *known.problems]
    return _framed(
        theme,
        _head(settings, known),
        *(tag("div", note, class_="eb-note") for note in notes),
        _progress(known),
        _facts(known),
        _charts(known),
        snapshots_table(settings, known),
        failures_table(settings, known),
    )


def apology(sentence: str, theme: str) -> Markup:
    """Return a widget that only says what is wrong."""
    return _framed(theme, tag("div", sentence, class_="eb-note"))


def _framed(theme: str, *content: str) -> Markup:
    style = tag("style", Markup(sheet(theme)))
    return join([tag("div", class_="cwdb-no-default-styles"), style, tag("div", *content, class_="eb")])


def _head(settings: Settings, known: Known) -> Markup:
    said = verdict(known)
    said_in_words = tag(
        "div",
        tag("div", said.title, class_="eb-title"),
        tag("div", said.text),
        tag("div", _where(settings), class_="eb-quiet"),
        class_="eb-words",
    )
    return tag("div", _mark(said.level), said_in_words, _button(settings, known), class_="eb-head")


def _where(settings: Settings) -> str:
    given = settings.restore.parameters
    target = f"{given['DstEFS']} {given['FolderLabel']}/{settings.interval}.0 …"
    return f"{given['SrcEFS']} {given['RestorePrefix']} → {target}"


def _mark(level: str) -> Markup:
    ring = tag("circle", cx=18, cy=18, r=16, fill="none", stroke="currentColor", stroke_width=3)
    sign = tag("path", d=MARKS[level], fill="none", stroke="currentColor", stroke_width=3, stroke_linecap="round")
    return tag("svg", ring, sign, viewBox="0 0 36 36", class_=f"eb-mark eb-{level}", role="img", aria_label=level)


def _button(settings: Settings, known: Known) -> Markup:
    """To back up now, or to stop the backup that runs."""
    if known.lease is None:
        question = f"Back up now? This starts a backup of the stack {settings.stack}."
        return _action(settings, "Back up now", "eb-button eb-primary", question, {"mode": "backup", "action": "start"})
    if known.lease.stopping:
        return tag("span", "The backup is being stopped", class_="eb-quiet")
    question = f"Stop the backup {known.lease.backup}? What it has copied stays, and the next one carries on."
    event = {"mode": "backup", "action": "stop", "backup_id": known.lease.backup}
    return _action(settings, "Stop this backup", "eb-button", question, event)


def _action(settings: Settings, label: str, classes: str, question: str, event: dict[str, str]) -> Markup:
    call = tag(
        "cwdb-action",
        json.dumps(event),
        action="call",
        display="popup",
        confirmation=question,
        endpoint=settings.orchestrator,
    )
    return tag("span", tag("a", label, class_=classes), call)


def _progress(known: Known) -> Markup:
    if known.lease is None:
        return EMPTY
    since = [f"since {words.time(known.lease.started)}", f"must end by {words.time(known.lease.window_end)} UTC"]
    title = tag("b", f"Backup {known.lease.backup} is running")
    progress = known.running.progress if known.running else None
    if progress is None:
        return tag("div", title, tag("div", " · ".join(since), class_="eb-quiet"), class_="eb-progress")
    of = f" of about {words.count(progress.expected)}" if progress.expected else ""
    done = [f"{progress.phase}: {words.count(progress.files)}{of} files", words.size(progress.bytes), *since]
    track = EMPTY
    if progress.expected:
        percent = min(100 * progress.files / progress.expected, 100.0)
        track = tag("div", tag("div", style=f"width:{percent:.1f}%"), class_="eb-track", title=f"{percent:.0f} %")
    return tag("div", title, track, tag("div", " · ".join(done), class_="eb-quiet"), class_="eb-progress")


def _facts(known: Known) -> Markup:
    """How long, how much, how fast: the last good backup, and what the last one did to the burst credits."""
    good = next((b for b in known.ended if b.status == SUCCESS), None)
    moment = last_good(known)
    if moment is None:
        return EMPTY
    facts = [(words.ago(moment, known.now), f"last good backup, {words.time(moment)} UTC")]
    if good:
        facts += [
            (words.duration(good.seconds), f"it took, {_rate(good)}"),
            (words.size(good.bytes), f"in {words.count(good.files)} files"),
            (words.size(good.bytes_transferred), f"copied, {words.count(good.files_transferred)} files"),
            _credits(good),
        ]
    return tag("div", *(tag("div", tag("b", b), tag("span", s), class_="eb-fact") for b, s in facts), class_="eb-facts")


def _rate(backup: Backup) -> str:
    if not backup.seconds or backup.files is None:
        return words.UNKNOWN
    return f"{words.count(round(backup.files / backup.seconds))} files/s"


def _credits(backup: Backup) -> tuple[str, str]:
    before, after = backup.credits_before, backup.credits_after
    said = f"burst credits of the source: {words.size(before)} before, {words.size(after)} after"
    if before is None or after is None:
        return words.UNKNOWN, said
    if before == after:
        return "unchanged", said
    sign = "+" if after > before else "\N{MINUS SIGN}"
    return f"{sign}{words.size(abs(after - before))}", said


def _charts(known: Known) -> Markup:
    ended = [b for b in reversed(known.ended) if b.status != SKIPPED and b.started][-MOST_BARS:]
    if not ended:
        return EMPTY
    figures = (
        chart(DURATION, _bars(ended, [b.seconds for b in ended], words.duration)),
        chart(SIZE, _bars(ended, [b.bytes for b in ended], words.size)),
        chart(COPIED, _bars(ended, [b.bytes_transferred for b in ended], words.size)),
    )
    return join([tag("h3", "The last weeks"), tag("div", *figures, class_="eb-charts")])


def _bars(backups: Sequence[Backup], values: Sequence[float | None], say: Callable[[float], str]) -> list[Bar]:
    return [
        Bar(words.day(b.started), value, b.status == SUCCESS, f"{words.time(b.started)} UTC: {say(value)}, {b.status}")
        for b, value in zip(backups, values, strict=True)
        if value is not None
    ]
