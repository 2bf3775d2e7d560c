"""Which snapshots expire, and how directories are renamed: decisions as tables, and for any history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efs_backup.pure.catalog import Snapshot
from efs_backup.pure.errors import UsageError
from efs_backup.pure.layout import Names
from efs_backup.pure.retention import checked_retain, retention
from efs_backup.pure.rotation import Standing, rotation

NAMES = Names("daily")


def kept(history: str, retain: int) -> str:
    """Return what is kept of a history, newest first: C complete, i incomplete."""
    verdicts = retention([(str(n), kind == "C") for n, kind in enumerate(history)], retain)
    return "".join(history[int(v.id)] if v.keep else "-" for v in verdicts)


@pytest.mark.parametrize(
    ("history", "retain", "expected"),
    [
        ("C", 1, "C"),
        ("CC", 1, "C-"),
        ("CCCC", 3, "CCC-"),
        ("iCCC", 3, "iCCC"),
        ("iiiiCCC", 3, "iii-CCC"),
        ("CiCCC", 3, "C-CC-"),
        ("CiC", 3, "CiC"),
        ("CiiC", 3, "Ci-C"),
        ("CCCCCC", 2, "CC----"),
        ("iii", 2, "ii-"),
        ("", 2, ""),
    ],
)
def test_complete_snapshots_count_and_incomplete_ones_go_first(history: str, retain: int, expected: str) -> None:
    assert kept(history, retain) == expected


@given(st.text("Ci", max_size=12), st.integers(1, 8))
def test_whatever_the_history_the_newest_complete_ones_stay(history: str, retain: int) -> None:
    result = kept(history, retain)
    assert result.count("C") == min(retain, history.count("C"))
    newest = [n for n, kind in enumerate(history) if kind == "C"][:retain]
    assert all(result[n] == "C" for n in newest)
    assert result.count("i") <= retain + retain


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "1.5", "¹"])
def test_a_retain_that_is_no_number_of_snapshots_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="retain"):
        checked_retain(text)


@given(st.sets(st.integers(0, 12), max_size=9), st.integers(1, 9), st.booleans(), st.data())
def test_moves_never_collide_and_end_with_consecutive_numbers(
    numbers: set[int], retain: int, spare_is_free: bool, data: st.DataObject
) -> None:
    published = [
        Standing(Snapshot(f"s{n}", 100 + n, data.draw(st.booleans())), NAMES.snapshot(n)) for n in sorted(numbers)
    ]
    sealed = Snapshot("new", 99, True)
    journal = rotation(NAMES, published, sealed, retain, spare_is_free)
    where = {s.path: s.snapshot.inode for s in published} | {NAMES.own("staging"): 99}
    for move in journal.moves:
        assert where.pop(move.source) == move.inode
        assert move.target not in where, "renamed onto something"
        where[move.target] = move.inode
    for number, snapshot in enumerate(journal.after.snapshots):
        assert where[NAMES.snapshot(number)] == snapshot.inode
    assert journal.after.snapshots[0] == sealed
    trees = set(where.values())
    assert trees == {99, *(100 + n for n in numbers)}, "no tree is lost"
