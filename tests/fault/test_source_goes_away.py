"""The source goes away, or stays silent, while it is walked: nothing is taken for deleted that was not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from tests.support import calls
from tests.support.command import NOT_DONE
from tests.support.faults import Call, Decision, Fail, Pretend, supervise
from tests.support.filesystems import mount, unmount
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain, plain_file, write


def before_the_listing(number: int, device: int, act: Callable[[], object]) -> Callable[[Call], None]:
    """Do ``act`` before the ``number``-th listing of a directory of the source."""
    state = {"seen": 0}

    def decide(call: Call) -> None:
        if call.device() == device:
            state["seen"] += 1
            if state["seen"] == number:
                act()

    return decide


@pytest.mark.parametrize("number", [1, 2, 4, 9, 15])
def test_a_source_unmounted_in_mid_walk_publishes_nothing(number: int, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 500, per_directory=50)
    first = history.night().report["id"]
    device = os.stat(pair.source).st_dev
    act = before_the_listing(number, device, lambda: unmount(pair.source))
    finished = supervise(pair.arguments("backup"), calls.LISTING, act).expect(NOT_DONE)
    assert finished.errors, finished.stderr
    assert [snapshot["id"] for snapshot in history.check()] == [first]


@pytest.mark.parametrize("number", [1, 4, 9])
def test_another_file_system_mounted_over_the_source_publishes_nothing(number: int, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 500, per_directory=50)
    first = history.night().report["id"]
    device = os.stat(pair.source).st_dev
    act = before_the_listing(number, device, lambda: mount("-t", "tmpfs", "over", pair.source))
    supervise(pair.arguments("backup"), calls.LISTING, act).expect(NOT_DONE)
    assert [snapshot["id"] for snapshot in history.check()] == [first]
    unmount(pair.source)


def test_a_source_that_is_not_mounted_publishes_nothing(history: History) -> None:
    """The mount point is an empty directory of another file system."""
    pair = history.pair
    make_plain(pair.source, 50)
    first = history.night().report["id"]
    unmount(pair.source)
    finished = pair.run("backup")
    assert finished.status in (1, 2)
    assert finished.errors, finished.stderr
    assert [snapshot["id"] for snapshot in history.check()] == [first]


@pytest.mark.parametrize("directory", [b"000001", b"000"])
def test_the_silence_of_one_listing_deletes_nothing(directory: bytes, history: History) -> None:
    """A listing that ends at once, though the names are there when they are asked for."""
    pair = history.pair
    make_plain(pair.source, 200)
    history.night()
    device = os.stat(pair.source).st_dev

    def silent(call: Call) -> Decision:
        return Pretend(0) if call.device() == device and call.file_name() == directory else None

    finished = supervise(pair.arguments("backup"), calls.LISTING, silent)
    history.check()
    newest = pair.list()[0]
    assert_same(snapshot_of(pair.source), snapshot_of(newest["path"]))
    assert finished.status in (0, 1)
    history.record()
    history.night()


def test_a_directory_whose_device_is_gone_deletes_nothing(history: History) -> None:
    """Every lookup below one directory says ENOENT, as after a stale handle; the directory itself is there."""
    pair = history.pair
    make_plain(pair.source, 200)
    history.night()
    device = os.stat(pair.source).st_dev

    def gone(call: Call) -> Decision:
        if call.device() != device or b"000001" not in call.path():
            return None
        return Fail(errno.ESTALE)

    finished = supervise(pair.arguments("backup"), calls.LISTING + calls.LOOKING + calls.OPENING, gone, timeout=240)
    finished.expect(NOT_DONE)
    history.check()
    tree = snapshot_of(pair.list()[0]["path"])
    assert sum(path.startswith(b"000/000001/") for path in tree) == 50
    history.record()
    history.night()


def test_files_that_vanish_while_the_tree_is_walked_are_no_error(history: History) -> None:
    """Each is removed when it is first looked at or opened."""
    pair = history.pair
    make_plain(pair.source, 200)
    for number in range(0, 200, 10):
        os.rename(plain_file(pair.source, number), plain_file(pair.source, number) + ".vanishing")
    device = os.stat(pair.source).st_dev

    def vanish(call: Call) -> None:
        if call.file_name().endswith(b".vanishing") and call.device() == device:
            place = call.place()
            if os.path.lexists(place):
                os.unlink(place)

    for _ in range(2):
        supervise(pair.arguments("backup"), calls.LOOKING + calls.OPENING, vanish).expect(0)
        assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()), ignore=["mtime_ns"])
        for number in range(0, 200, 10):
            write(plain_file(pair.source, number) + ".vanishing", b"again")
        history.check()
        history.record()
    history.night()


def test_directories_that_vanish_while_the_tree_is_walked_are_no_error(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 100)
    for number in range(5):
        write(f"{pair.source}/vanishing-{number}/below/file")
    device = os.stat(pair.source).st_dev

    def vanish(call: Call) -> None:
        name = call.file_name()
        if name.startswith(b"vanishing-") and call.device() == device and os.path.lexists(call.place()):
            remove_tree(os.path.join(os.fsencode(pair.source), name))

    supervise(pair.arguments("backup"), calls.OPENING, vanish).expect(0)
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()), ignore=["mtime_ns"])
    history.record()
    history.night()


def remove_tree(path: bytes) -> None:
    """Remove the little directory."""
    os.unlink(path + b"/below/file")
    os.rmdir(path + b"/below")
    os.rmdir(path)
