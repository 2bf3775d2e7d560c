"""Exact and immutable, as properties: after any tree and any series of nights, snapshot 0 equals the source.

And no snapshot that was published earlier has changed in anything.
"""

from __future__ import annotations

import os

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support import strategies
from tests.support.changes import Change, Chmod, Link, Make, Overwrite, Remove, Rename, Touch, Turn, apply_all
from tests.support.command import Pair
from tests.support.filesystems import two_file_systems
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of

TIMES = 25 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 1


@settings(max_examples=12 * TIMES)
@given(
    tree=strategies.trees,
    nights=st.lists(strategies.nights, min_size=1, max_size=5),
    retain=st.integers(1, 3),
)
@example(
    tree=[Make("file", 0, b"a", 1, 300), Make("file", 0, b"b", 2, 300), Link(0, 0, b"c")],
    nights=[[Overwrite(0, 5)], [Chmod(1, 0o600)], [Touch(2, 1)], [Remove(0)], [Link(0, 0, b"d")]],
    retain=1,
)
@example(
    tree=[Make("directory", 0, b"d"), Make("file", 1, b"x", 1, 300), Make("directory", 0, b"e")],
    nights=[[Rename(0, 2, b"moved")], [Turn(0, "file", 3)], [Turn(0, "directory", 4)], [], []],
    retain=2,
)
@example(tree=[Make("file", 0, b"a"), Link(0, 0, b"b"), Make("directory", 0, b".nfs-not")], nights=[[]], retain=1)
def test_after_any_nights_the_newest_is_the_source_and_the_others_what_they_were(
    tree: list[Change], nights: list[list[Change]], retain: int
) -> None:
    with two_file_systems() as (source, backup):
        history = History(Pair(source, backup))
        apply_all(tree, source)
        history.night("--retain", str(retain))
        for changes in nights:
            apply_all(changes, source)
            history.night("--retain", str(retain), "--allow-empty")
            assert len(history.pair.list()) <= retain
        checked = history.pair.verify("--all").report
        assert checked["mismatches"] == []


@settings(max_examples=6 * TIMES)
@given(tree=strategies.trees, damage=strategies.nights, number=st.integers(0, 1))
def test_after_any_damage_a_restore_with_delete_brings_back_the_snapshot(
    tree: list[Change], damage: list[Change], number: int
) -> None:
    with two_file_systems() as (source, backup):
        history = History(Pair(source, backup))
        apply_all(tree, source)
        for _ in range(number + 1):
            history.night("--allow-empty")
        wanted = snapshot_of(source)
        apply_all(damage, source)
        live = snapshot_of(source)
        history.pair.restore("--number", str(number), "--delete", "--dry-run")
        assert_same(live, snapshot_of(source), what="after a preview the source")
        history.pair.restore("--number", str(number), "--delete")
        assert_same(wanted, snapshot_of(source))
        history.check()


@settings(max_examples=5 * TIMES)
@given(tree=strategies.trees, damage=strategies.nights)
def test_after_any_damage_a_restore_deletes_nothing_unasked(tree: list[Change], damage: list[Change]) -> None:
    """Every name that only the source has is still there, even where it stands in the way."""
    with two_file_systems() as (source, backup):
        history = History(Pair(source, backup))
        apply_all(tree, source)
        history.night()
        wanted = snapshot_of(source)
        apply_all(damage, source)
        live = snapshot_of(source)
        finished = history.pair.run("restore")
        failed = {os.fsencode(path) for path in finished.report["failed"]}
        assert finished.status == (1 if failed else 0), finished
        now = snapshot_of(source)
        for path, entry in wanted.items():
            if not any((path + b"/").startswith(spared + b"/") for spared in failed):
                got = now[path]
                assert (entry.kind, entry.mode, entry.uid, entry.sha256, entry.target) == (
                    got.kind, got.mode, got.uid, got.sha256, got.target
                )  # fmt: skip
        for path in failed:
            assert live[path].kind == "directory", "only a directory that holds something stands in the way"
        for path in live.keys() - wanted.keys():
            assert path in now, path
