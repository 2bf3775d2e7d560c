"""Hostile trees: directories swapped for symbolic links during backup and restore lead nobody out of the trees.

Once at full speed by another process, and once exactly: the swap happens before each single call that comes near.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import Pair
from tests.support.faults import Call, ended, supervise
from tests.support.history import History
from tests.support.tree import Tree, assert_same, snapshot_of
from tests.support.zoo import OLD_NS, write

SECRET = b"this must never be in a backup"
SWAPPED = 12
FILES = 8
NEAR = calls.LOOKING + calls.OPENING + calls.LISTING + calls.LINKING + calls.RENAMING + calls.REMOVING + calls.SETTING
_libc = ctypes.CDLL(None, use_errno=True)


class Trap:
    """A tree whose directories ``d-N`` have twins ``l-N``, symbolic links to directories outside of it."""

    def __init__(self, root: str, outside: str) -> None:
        """Build both below existing directories."""
        self.root, self.outside = root, outside
        for number in range(SWAPPED):
            for file in range(FILES):
                write(f"{root}/d-{number}/sub/file-{file}", content(number * 10 + file, 800), mtime_ns=OLD_NS)
                write(f"{outside}/{number}/sub/file-{file}", SECRET + b"%d" % file, mtime_ns=OLD_NS + 5)
            write(f"{outside}/{number}/sub/secret", SECRET)
            os.symlink(f"{outside}/{number}", f"{root}/l-{number}")
        self.before = snapshot_of(outside)
        self.pairs = [(f"{root}/d-{number}".encode(), f"{root}/l-{number}".encode()) for number in range(SWAPPED)]

    def swap(self, number: int) -> None:
        """Exchange one directory with its symbolic link."""
        one, other = self.pairs[number]
        _libc.renameat2(-100, one, -100, other, 2)

    def check_outside(self) -> None:
        """Nothing outside was written to, linked or removed."""
        assert_same(self.before, snapshot_of(self.outside), what="what is outside")
        for directory, _, names in os.walk(self.outside):
            for name in names:
                assert os.lstat(os.path.join(directory, name)).st_nlink == 1

    @contextmanager
    def at_full_speed(self, lists: str) -> Iterator[None]:
        """Another process swaps all the time."""
        with open(lists, "wb") as file:
            file.write(b"\n".join(b"\t".join(pair) for pair in self.pairs))
        swapper = os.path.join(os.path.dirname(os.path.dirname(__file__)), "support", "swapper.py")
        with ended(subprocess.Popen([sys.executable, swapper, lists])):
            yield


def no_secret(tree: Tree, root: str) -> None:
    """Fail if a file of the tree has what only lies outside."""
    for path, entry in tree.items():
        if entry.kind == "file":
            with open(os.path.join(os.fsencode(root), path), "rb") as file:
                assert SECRET not in file.read(), path


def no_secret_in(pair: Pair) -> None:
    """Fail if the secret is anywhere in the backup: in snapshots, staging, spare or trash."""
    no_secret(snapshot_of(pair.backup), pair.backup)


@pytest.fixture
def trap(pair: Pair, scratch: str) -> Trap:
    """A trap in the source."""
    return Trap(pair.source, scratch)


def test_a_backup_reads_nothing_outside_at_full_speed(trap: Trap, history: History, tmp_path: os.PathLike[str]) -> None:
    pair = history.pair
    with trap.at_full_speed(f"{tmp_path}/pairs"):
        for _ in range(5):
            finished = pair.run("backup", "--retain", "2")
            assert finished.status in (0, 1), finished
            assert "Traceback" not in finished.stderr, finished.stderr
            no_secret_in(pair)
    trap.check_outside()
    for snapshot in history.record():
        assert snapshot["files"] == sum(entry.kind != "directory" for entry in history.seen[snapshot["id"]].values())
        verified = pair.run("verify", "--snapshot", snapshot["id"])
        assert verified.stdout, verified.stderr
        assert verified.report["mismatches"] == []
    history.night("--retain", "2")


def test_a_first_backup_by_fpsync_reads_nothing_outside_at_full_speed(
    trap: Trap, history: History, tmp_path: os.PathLike[str]
) -> None:
    pair = history.pair
    for round_ in range(4):
        with trap.at_full_speed(f"{tmp_path}/pairs"):
            finished = Pair(pair.source, pair.backup, label=f"label-{round_}").run("backup")
        assert finished.status in (0, 1), finished
        no_secret_in(pair)
    trap.check_outside()


def test_a_restore_writes_nothing_outside_at_full_speed(
    trap: Trap, history: History, tmp_path: os.PathLike[str]
) -> None:
    pair = history.pair
    history.night()
    for round_ in range(5):
        for number in range(SWAPPED):
            if not os.path.islink(trap.pairs[number][0]):
                for file in range(0, FILES, 2):
                    write(trap.pairs[number][0] + b"/sub/file-%d" % file, b"changed %d" % round_)
        with trap.at_full_speed(f"{tmp_path}/pairs"):
            finished = pair.run("restore", *(("--delete",) if round_ % 2 else ()))
        assert finished.status in (0, 1), finished
        assert "Traceback" not in finished.stderr, finished.stderr
        trap.check_outside()
    history.check()


def test_a_restore_of_everything_by_fpsync_writes_nothing_outside(
    history: History, scratch: str, tmp_path: os.PathLike[str]
) -> None:
    pair = history.pair
    trap = Trap(pair.source, scratch)
    history.night()
    for number in range(SWAPPED):
        for file in range(FILES):
            os.unlink(f"{pair.source}/d-{number}/sub/file-{file}")
    with trap.at_full_speed(f"{tmp_path}/pairs"):
        pair.run("restore")
    trap.check_outside()


@pytest.mark.parametrize("period", [1, 2, 3])
@pytest.mark.parametrize("verb", ["a first backup", "a night", "restore", "restore --delete"])
def test_swapped_before_each_call_that_comes_near(verb: str, period: int, trap: Trap, history: History) -> None:
    """The swap falls between any two calls of the engine or its tools: look and open, open and read, link and set."""
    pair = history.pair
    if verb != "a first backup":
        history.night()
        for number in range(SWAPPED):
            write(f"{pair.source}/d-{number}/sub/file-1", b"changed")
            os.unlink(f"{pair.source}/d-{number}/sub/file-2")
    device, seen = os.stat(pair.source).st_dev, [0]

    def decide(call: Call) -> None:
        path = call.path()
        if call.device() not in (device, os.stat(trap.outside).st_dev):
            return
        for number in range(SWAPPED):
            if b"/d-%d" % number in path or b"/l-%d" % number in path:
                seen[0] += 1
                if seen[0] % period == 0:
                    trap.swap(number)
                return

    words = verb.split() if verb.startswith("restore") else ["backup"]
    finished = supervise(pair.arguments(words[0], *words[1:]), NEAR, decide, timeout=240)
    assert finished.status in (0, 1), finished
    assert "Traceback" not in finished.stderr, finished.stderr
    assert seen[0] > 20
    trap.check_outside()
    no_secret_in(pair)
    history.check()
    history.record()
    for number in range(SWAPPED):
        if os.path.islink(trap.pairs[number][0]):
            trap.swap(number)
    history.night()


def test_the_root_itself_is_swapped(history: History, scratch: str) -> None:
    """The source is a directory whose parent a user may write to."""
    pair = history.pair
    os.makedirs(f"{pair.source}/root")
    write(f"{pair.source}/root/file", b"ours")
    write(f"{scratch}/file", SECRET)
    os.symlink(scratch, f"{pair.source}/link")
    inner = Pair(f"{pair.source}/root", pair.backup)
    state = [0]

    def decide(call: Call) -> None:
        state[0] += 1
        if b"root" in call.path() and state[0] % 2:
            _libc.renameat2(-100, f"{pair.source}/root".encode(), -100, f"{pair.source}/link".encode(), 2)

    for _ in range(3):
        finished = supervise(inner.arguments("backup"), calls.LOOKING + calls.OPENING, decide)
        assert finished.status in (0, 1, 2), finished
        assert "Traceback" not in finished.stderr, finished.stderr
    assert os.listdir(scratch) == ["file"]
