"""Faults of the source: what cannot be read is carried over from base and named, never dropped from the backup.

Such a snapshot is published as incomplete (exit 1), and never pushes out a complete one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import DONE, NOT_DONE, Finished
from tests.support.faults import Call, Decision, Fail, supervise
from tests.support.history import History
from tests.support.tree import Tree, assert_same, snapshot_of
from tests.support.zoo import OLD_NS, make_plain, plain_file, write

FILE = b"000/000000/file-0000007"
DIRECTORY = b"000/000001"
ERRORS = [errno.EIO, errno.EACCES, errno.ESTALE]
READING = calls.READING + calls.OPENING + ("copy_file_range", "sendfile")


def on_source(history: History, part: bytes, asked: tuple[str, ...], error: int) -> Callable[[Call], Decision]:
    """Answer ``error`` to the calls ``asked`` that work on ``part`` of the source."""
    device, name = os.stat(history.pair.source).st_dev, part.rsplit(b"/", 1)[-1]

    def decide(call: Call) -> Decision:
        which = 0 if call.name in ("copy_file_range", "sendfile") else -1
        if call.name not in asked or call.device(which) != device or call.file_name(which) != name:
            return None
        if call.name in calls.OPENING and call.name != "openat2" and call.arguments[2] & os.O_PATH:
            return None
        return Fail(error)

    return decide


def failing_night(history: History, decide: Callable[[Call], Decision], asked: tuple[str, ...], *more: str) -> Finished:
    """A night with faults, which must end with 1, and leave the older snapshots alone."""
    finished = supervise(history.pair.arguments("backup", *more), asked, decide, timeout=240).expect(NOT_DONE)
    history.check()
    history.record()
    return finished


def check_incomplete(history: History, finished: Finished, named: bytes) -> Tree:
    """The newest snapshot is published, marked and says what it could not read; return its tree."""
    report = finished.report
    assert (report["outcome"].lower(), report["complete"]) == ("incomplete", False)
    assert named in finished.paths("unreadable")
    newest = history.pair.list()[0]
    assert (newest["id"], newest["complete"]) == (report["id"], False)
    return snapshot_of(history.pair.snapshot())


def _touched(tree: Tree, *parts: bytes) -> Tree:
    return {path: entry for path, entry in tree.items() if not path.startswith(parts)}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "asked", [calls.OPENING, (*calls.READING, "copy_file_range", "sendfile")], ids=["open", "read"]
)
def test_a_file_that_cannot_be_read_is_carried_over(asked: tuple[str, ...], error: int, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 120)
    history.night()
    old = snapshot_of(pair.source)
    write(plain_file(pair.source, 7), b"changed, and unreadable", mtime_ns=OLD_NS)
    write(plain_file(pair.source, 8), b"changed", mtime_ns=OLD_NS)
    finished = failing_night(history, on_source(history, FILE, asked, error), asked)
    tree = check_incomplete(history, finished, FILE)
    assert tree[FILE] == old[FILE]
    assert_same(_touched(snapshot_of(pair.source), FILE), _touched(tree, FILE))
    history.night()


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("asked", [calls.LISTING, calls.OPENING], ids=["list", "open"])
def test_a_directory_that_cannot_be_listed_is_carried_over_whole(
    asked: tuple[str, ...], error: int, history: History
) -> None:
    pair = history.pair
    make_plain(pair.source, 120)
    history.night()
    old = snapshot_of(pair.source)
    write(plain_file(pair.source, 7), b"changed", mtime_ns=OLD_NS)
    os.unlink(plain_file(pair.source, 60))
    finished = failing_night(history, on_source(history, DIRECTORY, asked, error), asked)
    tree = check_incomplete(history, finished, DIRECTORY)
    inside = {path for path in old if path.startswith(DIRECTORY + b"/")}
    assert len(inside) == 50
    for path in inside:
        assert tree[path] == old[path]
    assert_same(_touched(snapshot_of(pair.source), DIRECTORY), _touched(tree, DIRECTORY))
    history.night()


@pytest.mark.parametrize("error", ERRORS)
def test_a_file_that_cannot_be_looked_at_is_carried_over(error: int, history: History) -> None:
    make_plain(history.pair.source, 120)
    history.night()
    old = snapshot_of(history.pair.source)
    asked = calls.LOOKING + calls.OPENING
    finished = failing_night(history, on_source(history, FILE, asked, error), asked)
    assert check_incomplete(history, finished, FILE)[FILE] == old[FILE]


@pytest.mark.parametrize("retain", ["1", "7"])
def test_what_was_never_backed_up_is_named_and_missing(retain: str, history: History) -> None:
    make_plain(history.pair.source, 120)
    decide = on_source(history, FILE, READING, errno.EIO)
    finished = failing_night(history, decide, READING, "--retain", retain)
    tree = check_incomplete(history, finished, FILE)
    assert FILE not in tree
    assert_same(_touched(snapshot_of(history.pair.source), FILE), tree, ignore=["mtime_ns"])
    history.night("--retain", retain)


def test_in_a_recycled_tree_too(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 120)
    for night in range(3):
        write(plain_file(pair.source, 7), b"of night %d" % night)
        history.night("--retain", "1")
    old = history.seen[pair.list()[0]["id"]]
    write(plain_file(pair.source, 7), b"changed, and unreadable")
    finished = failing_night(history, on_source(history, FILE, READING, errno.EIO), READING, "--retain", "1")
    assert check_incomplete(history, finished, FILE)[FILE] == old[FILE]
    assert [snapshot["complete"] for snapshot in pair.list()] == [False, True]


def test_a_fault_that_passes_is_no_fault(history: History) -> None:
    make_plain(history.pair.source, 60)
    history.night()
    write(plain_file(history.pair.source, 7), b"changed")
    failing, answered = on_source(history, FILE, READING, errno.EIO), [0]

    def once(call: Call) -> Decision:
        decision = failing(call)
        answered[0] += decision is not None
        return decision if answered[0] <= 1 else None

    supervise(history.pair.arguments("backup"), READING, once).expect(DONE)
    assert answered[0] >= 1
    assert_same(snapshot_of(history.pair.source), snapshot_of(history.pair.snapshot()))
    assert history.pair.list()[0]["complete"] is True


def test_an_unreadable_file_keeps_its_hard_links_in_the_snapshot(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    os.link(plain_file(pair.source, 7), f"{pair.source}/000/000001/file-0000007")
    history.night()
    old = snapshot_of(pair.source)
    decide = on_source(history, FILE, READING + calls.LOOKING, errno.EIO)
    finished = failing_night(history, decide, READING + calls.LOOKING)
    tree = check_incomplete(history, finished, FILE)
    assert tree[FILE] == old[FILE]


def test_incomplete_snapshots_never_push_out_complete_ones(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    good = [history.night("--retain", "2").report["id"] for _ in range(3)][1:]
    decide = on_source(history, FILE, READING, errno.EIO)
    bad: list[str] = []
    for night in range(4):
        write(plain_file(pair.source, 7), content(night, 40))
        bad.insert(0, failing_night(history, decide, READING, "--retain", "2").report["id"])
        listed = pair.list()
        complete = [snapshot["id"] for snapshot in listed if snapshot["complete"]]
        incomplete = [snapshot["id"] for snapshot in listed if not snapshot["complete"]]
        assert complete == good[::-1]
        assert incomplete == bad[:2], "at most Retain incomplete ones, the newest"
    last = history.night("--retain", "2").report["id"]
    assert [snapshot["id"] for snapshot in pair.list()] == [last, good[-1]]


def test_a_verify_of_an_incomplete_snapshot_holds_it_to_what_it_has(history: History) -> None:
    make_plain(history.pair.source, 60)
    history.night()
    write(plain_file(history.pair.source, 7), b"changed")
    failing_night(history, on_source(history, FILE, READING, errno.EIO), READING)
    assert history.pair.run("verify").report["mismatches"] == []


def test_delete_in_a_restore_spares_what_the_snapshot_could_not_read(history: History) -> None:
    make_plain(history.pair.source, 60)
    failing_night(history, on_source(history, FILE, READING, errno.EIO), READING)
    write(f"{history.pair.source}/mine", b"new")
    finished = history.pair.restore("--delete")
    assert finished.paths("deleted") == {b"mine"}
    assert os.path.exists(plain_file(history.pair.source, 7))


@pytest.mark.parametrize("error", ERRORS)
def test_a_root_that_cannot_be_listed_publishes_nothing(error: int, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    before = history.night().report["id"]
    root = os.stat(pair.source)

    def decide(call: Call) -> Decision:
        info = call.status()
        at_root = info is not None and (info.st_dev, info.st_ino) == (root.st_dev, root.st_ino)
        return Fail(error) if at_root else None

    finished = supervise(pair.arguments("backup"), calls.LISTING, decide).expect(NOT_DONE)
    assert finished.errors, finished.stderr
    assert [snapshot["id"] for snapshot in history.check()] == [before]
    history.night()


def test_a_root_that_is_empty_where_base_is_not_publishes_nothing_unless_allowed(history: History) -> None:
    pair = history.pair
    write(f"{pair.source}/only", b"file")
    before = history.night().report["id"]
    os.unlink(f"{pair.source}/only")
    finished = pair.run("backup").expect(NOT_DONE)
    assert "empty" in " ".join(finished.errors)
    assert [snapshot["id"] for snapshot in history.check()] == [before]
    history.night("--allow-empty")
    assert os.listdir(pair.snapshot(0)) == []
    history.night()


def test_a_directory_emptied_by_its_owner_is_empty(history: History) -> None:
    """Only the root is asked about."""
    make_plain(history.pair.source, 60)
    write(f"{history.pair.source}/other")
    history.night()
    for number in range(50):
        os.unlink(plain_file(history.pair.source, number))
    history.night()
