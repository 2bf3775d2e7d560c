"""The widget's pure parts: what is understood, decided and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.functions.shown import (
    ENVIRONMENT,
    HOSTILE,
    NOW,
    Element,
    Shown,
    assert_harmless,
    listed,
    snapshot_list,
)

import readable as words
from efs_backup.agent.pure.items import PROGRESS
from subscriptions import Subscription
from widget import chart, style
from widget.config import Settings
from widget.history import (
    Backup,
    HistoryError,
    Lease,
    Progress,
    Snapshot,
    parse_backups,
    parse_lease,
    parse_snapshots,
)
from widget.page import page
from widget.summary import BAD, GOOD, NEUTRAL, WARNING, Known, last_good, rows, subscription_warning, verdict

SETTINGS = Settings.from_environment(ENVIRONMENT)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just(HOSTILE)
    | st.just("2026-11-24T02:00:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["BackupId", "BackupStatus", "BackupStartTime", "BackupStopTime", "NumberOfFiles", "TotalFileSize", "SnapshotId",
     "EstimatedCost", "EC2Logs", "SourceBurstCreditBalance", "SourceBurstCreditBalancePostBackup", "ProgressPhase",
     "ProgressFiles", "ProgressFilesExpected", "ProgressBytes", "TotalTransferredFileSize", "NumberOfFilesTransferred"]
)  # fmt: skip
wild_lists = st.lists(
    st.dictionaries(st.sampled_from(sorted(listed(0))), anything, max_size=2).map(lambda some: listed(0) | some),
    max_size=3,
).map(lambda entries: snapshot_list(*entries))
wild_items = st.lists(
    st.dictionaries(names, anything, min_size=2)
    | st.fixed_dictionaries(
        {"BackupId": st.just("@running"), "RunningBackupId": anything, "LeaseStart": anything, "WindowEnd": anything}
    ),
    max_size=6,
)


@given(items=wild_items, text=st.binary() | wild_lists)
def test_whatever_is_in_the_table_and_the_list_it_never_raises_and_is_harmless(
    items: list[dict[str, Any]], text: bytes
) -> None:
    try:
        snapshots = parse_snapshots(text)
    except HistoryError as error:
        assert str(error).count("\n") == 0
        snapshots = ()
    known = Known(NOW, snapshots, parse_backups(items), parse_lease(items))
    assert_harmless(Shown(page(SETTINGS, known, "dark")))


# ---- what is decided


def backup(nights: float, status: str | None = "Success", **other: Any) -> Backup:
    """A backup that started some nights before last night."""
    started = datetime(2026, 11, 24, 2, 0, tzinfo=UTC) - timedelta(days=nights)
    empty = dict.fromkeys(
        ("files", "bytes", "files_transferred", "bytes_transferred", "credits_before", "credits_after", "snapshot",
         "cost", "log", "progress")
    )  # fmt: skip
    stopped = started + timedelta(minutes=20) if status else None
    return Backup(**{**empty, "id": f"b{nights}", "status": status, "started": started, "stopped": stopped, **other})


def snapshot(number: int, **other: Any) -> Snapshot:
    return replace(parse_snapshots(snapshot_list(listed(number)))[0], **other)


@pytest.mark.parametrize(
    ("known", "level", "title"),
    [
        (Known(NOW), NEUTRAL, "No backup yet"),
        (Known(NOW, problems=("The table t cannot be read.",)), NEUTRAL, "Nothing is known"),
        (Known(NOW, lease=Lease("b", NOW, NOW, False)), NEUTRAL, "The first backup is running"),
        (Known(NOW, (snapshot(0),), (backup(0),)), GOOD, "All is well"),
        (Known(NOW, (snapshot(0),)), GOOD, "All is well"),
        (Known(NOW, (), (backup(0),)), GOOD, "All is well"),
        (Known(NOW, (snapshot(1),), (backup(0, "Incomplete"), backup(1))), BAD, "The last backup did not succeed"),
        (Known(NOW, (snapshot(0),), (backup(0), backup(1, "Unknown"))), GOOD, "All is well"),
        (Known(NOW, (snapshot(0),), (backup(0, "Skipped"), backup(1))), WARNING, "The last backup was skipped"),
        (Known(NOW, (snapshot(0),), (backup(-0.01, "Skipped"), backup(0))), GOOD, "All is well"),
        (Known(NOW, (snapshot(0), snapshot(1, verified=False)), (backup(0),)), BAD, "A snapshot is damaged"),
        (Known(NOW, (snapshot(0, complete=False),)), WARNING, "There is no complete snapshot"),
        (Known(NOW, (snapshot(3),), tuple(backup(n) for n in range(3, 9))), WARNING, "No backup has started of late"),
        (Known(NOW, (snapshot(1),), tuple(backup(n) for n in range(1, 3))), GOOD, "All is well"),
        (Known(NOW, (), (backup(3), backup(4), backup(5), backup(6), backup(7), backup(10))), GOOD, "All is well"),
    ],
)  # fmt: skip
def test_is_everything_fine(known: Known, level: str, title: str) -> None:
    said = verdict(known)
    assert (said.level, said.title) == (level, title), said


def test_the_last_good_backup_is_the_newest_complete_snapshot_or_success() -> None:
    assert last_good(Known(NOW, (snapshot(0, complete=False), snapshot(1)))) == snapshot(1).finished
    assert last_good(Known(NOW, (snapshot(3),), (backup(2),))) == backup(2).stopped
    assert last_good(Known(NOW, (snapshot(0, verified=False),), (backup(1, "Incomplete"),))) is None


def test_a_snapshot_goes_with_the_backup_that_made_it() -> None:
    made, other = backup(0, snapshot=snapshot(0).id, cost="1 USD"), backup(1, snapshot="gone")
    first, second = rows(Known(NOW, (snapshot(0), snapshot(1, cost="2 USD")), (made, other)))
    assert (first.backup, first.cost, first.seconds) == (made, "1 USD", 1200.0)
    assert (second.backup, second.cost, second.seconds) == (None, "2 USD", 1200)


def test_the_progress_that_the_agent_writes_is_understood() -> None:
    written = dict(zip(PROGRESS, ("scan", 5, 10, 7, "2026-11-24T02:05:00"), strict=True))
    (understood,) = parse_backups([{"BackupId": "b", **written}])
    assert understood.progress == Progress("scan", 5, 10, 7)
    documented = (Path(__file__).parents[3] / "docs" / "dashboard.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in documented for name in PROGRESS)


def test_an_address_that_never_confirmed_is_named_and_its_restores_ask_anew() -> None:
    email = SETTINGS.email
    pending = Subscription("new@example.com", "PendingConfirmation")
    confirmed = Subscription(email.upper(), "arn:aws:sns:us-east-1:123456789012:topic:1")
    sentence = subscription_warning((confirmed, pending), email) or ""
    assert sentence.startswith("new@example.com never confirmed")
    assert (subscription_warning((), email) or "").startswith(f"{email} never confirmed"), "it is void after two days"
    assert subscription_warning((confirmed,), email) is None
    assert subscription_warning(None, email) is None

    def topic(*subscriptions: Subscription) -> str | None:
        shown = Shown(page(SETTINGS, Known(NOW, (snapshot(0),), subscriptions=subscriptions), "light"))
        return shown.restores[0].get("NotificationTopic")

    assert topic(pending) is None
    assert topic() is None
    assert topic(pending, confirmed) == SETTINGS.topic


# ---- what is drawn


def bars(shown: Shown) -> list[list[Element]]:
    """The bars of each chart, oldest first."""
    charts: list[list[Element]] = []
    for element in shown.elements:
        if element.name == "figure":
            charts.append([])
        elif element.name == "rect":
            charts[-1].append(element)
    return charts


def test_the_charts_have_a_bar_for_each_backup_as_high_as_its_value() -> None:
    backups = tuple(
        backup(
            n, "Incomplete" if n == 1 else "Success", bytes=(5 - n) << 30, bytes_transferred=(n + 1) << 20,
            stopped=backup(n).started + timedelta(minutes=10 * (n + 1)),  # type: ignore[operator]
        )
        for n in range(4)
    )  # fmt: skip
    shown = Shown(page(SETTINGS, Known(NOW, backups=(*backups, backup(4, "Skipped"))), "light"))

    durations, sizes, copied = bars(shown)
    heights = [float(bar.attributes["height"]) for bar in durations]
    assert heights == pytest.approx([heights[0] * part / 4 for part in (4, 3, 2, 1)], abs=0.02)
    assert heights[0] == pytest.approx((chart.BOTTOM - chart.TOP) * 40 / 45, abs=0.01)
    assert [bar.attributes["class"] for bar in durations] == ["eb-bar", "eb-bar", "eb-bar-bad", "eb-bar"]
    assert durations[0].text == "2026-11-21 02:00 UTC: 40 min 0 s, Success"
    assert [float(b.attributes["height"]) for b in sizes] == sorted(float(b.attributes["height"]) for b in sizes)
    assert copied[-1].text == "2026-11-24 02:00 UTC: 1.0 MiB, Success"
    assert "45 min 0 s" in shown.text
    assert "Nov 21" in shown.text


def test_a_first_backup_does_not_dwarf_all_others() -> None:
    copied = [300 << 20, 2 << 20, 1 << 20]
    nights = tuple(backup(2 - n, bytes_transferred=size) for n, size in enumerate(copied))
    (_, _, drawn) = bars(Shown(page(SETTINGS, Known(NOW, backups=nights[::-1]), "light")))
    first, second, third = (float(bar.attributes["height"]) for bar in drawn)
    assert first == chart.BOTTOM - chart.TOP + chart.CROSSES, "it crosses the upper line"
    assert second == pytest.approx(2 * third, abs=0.02)
    assert "300.0 MiB" in drawn[0].text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(10 << 30, 8 << 30, "\N{MINUS SIGN}2.0 GiB"), (8 << 30, 9 << 30, "+1.0 GiB"), (5, 5, "unchanged"), (5, None, "–")],  # noqa: RUF001
)
def test_what_a_backup_did_to_the_burst_credits(before: int, after: int | None, said: str) -> None:
    known = Known(NOW, backups=(backup(0, credits_before=before, credits_after=after),))
    fact = Shown(page(SETTINGS, known, "light")).all("div", "eb-fact")[-1].text
    assert fact.startswith(f"{said}burst credits of the source: {words.size(before)} before")


@given(value=st.floats(min_value=0.01, max_value=1e15))
def test_a_scale_ends_above_its_values_and_not_far(value: float) -> None:
    for ceiling in (chart.round_size, chart.round_duration):
        assert value <= ceiling(value) <= max(2.5 * value, 1.0)


@pytest.mark.parametrize("palette", [style.LIGHT, style.DARK])
def test_every_text_can_be_read(palette: style.Palette) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2, level AA)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    for text in (
        palette.text,
        palette.quiet,
        palette.accent,
        palette.good,
        palette.warning,
        palette.bad,
        palette.neutral,
    ):
        for ground in (palette.page, palette.panel):
            assert contrast(text, ground) >= 4.5, (text, ground)
    assert contrast(palette.on_accent, palette.accent) >= 4.5
    assert contrast(palette.bar, palette.page) >= 2.5


@pytest.mark.parametrize(
    ("say", "value", "expected"),
    [
        (words.size, 0, "0 B"),
        (words.size, 1023, "1,023 B"),
        (words.size, 1024, "1.0 KiB"),
        (words.size, 1 << 30, "1.0 GiB"),
        (words.size, 5 << 50, "5,120.0 TiB"),
        (words.size, None, words.UNKNOWN),
        (words.duration, 0.4, "0 s"),
        (words.duration, 59.6, "1 min 0 s"),
        (words.duration, 3661, "1 h 1 min"),
        (words.duration, None, words.UNKNOWN),
        (words.span, 30, "less than a minute"),
        (words.span, 60, "1 minute"),
        (words.span, 7200, "2 hours"),
        (words.span, 47 * 3600, "47 hours"),
        (words.span, 48 * 3600, "2 days"),
        (words.count, 1234567, "1,234,567"),
    ],
)
def test_numbers_as_a_person_reads_them(say: Callable[[Any], str], value: Any, expected: str) -> None:
    assert say(value) == expected
