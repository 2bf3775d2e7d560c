"""Links: EMLINK on any link is no error and no surprise: the file is copied, counted, and the run succeeds."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import Pair
from tests.support.faults import Call, Decision, Fail, supervise
from tests.support.history import History
from tests.support.tree import assert_same, inodes_of, snapshot_of
from tests.support.zoo import OLD_NS, make_plain, make_zoo, plain_file, write


def limit_of(pair: Pair, limit: int) -> Callable[[Call], Decision]:
    """A backup file system that refuses a link that would be the file's (``limit`` + 1)-th."""
    device = os.stat(pair.backup).st_dev

    def decide(call: Call) -> Decision:
        if call.device() != device:
            return None
        info = call.status(0)
        return Fail(errno.EMLINK) if info is not None and info.st_nlink >= limit else None

    return decide


def limited_night(history: History, limit: int, *options: str) -> dict[str, object]:
    """A night on a file system with a link limit; exact, and harmless to the older snapshots."""
    pair = history.pair
    wanted = snapshot_of(pair.source)
    arguments = pair.arguments("backup", *options)
    finished = supervise(arguments, calls.LINKING, limit_of(pair, limit)).expect(0)
    history.check()
    assert_same(wanted, snapshot_of(pair.snapshot()), what="the new snapshot")
    history.record()
    assert max(os.stat(f"{pair.snapshot()}/{os.fsdecode(path)}").st_nlink for path in _files(pair)) <= limit
    return finished.report


def _files(pair: Pair) -> list[bytes]:
    return [path for path, entry in snapshot_of(pair.snapshot(), content=False).items() if entry.kind == "file"]


@pytest.mark.parametrize("limit", [2, 3, 4])
def test_files_at_the_limit_are_copied_and_counted(limit: int, history: History) -> None:
    make_plain(history.pair.source, 60)
    counts = [limited_night(history, limit, "--retain", "7")["link_limit_copies"] for _ in range(6)]
    total = sum(count for count in counts if isinstance(count, int))
    assert total >= 60, counts
    assert counts[0] == 0
    assert len(history.pair.list()) == 6


def test_a_file_moves_to_the_new_inode_and_is_linked_from_there(history: History) -> None:
    write(f"{history.pair.source}/file", b"content", mtime_ns=OLD_NS)
    for _ in range(7):
        limited_night(history, 3, "--retain", "9")
    inodes = [inodes_of(history.pair.snapshot(number))[b"file"] for number in range(7)]
    assert len(set(inodes)) in (3, 4), "three names an inode, or fewer where they are renewed early"


def test_no_link_is_refused_at_all_and_still_every_night_is_exact(history: History) -> None:
    """A file system without room for any further link."""
    make_plain(history.pair.source, 30)
    history.night("--retain", "3")
    for _ in range(3):
        report = limited_night(history, 1, "--retain", "3")
    assert report["link_limit_copies"] or report["files_kept"]


def test_a_hard_link_group_moves_as_a_whole(history: History) -> None:
    source = history.pair.source
    write(f"{source}/a/one", b"three names", mtime_ns=OLD_NS)
    os.mkdir(f"{source}/b")
    for name in ("a/two", "b/three"):
        os.link(f"{source}/a/one", f"{source}/{name}")
    for _ in range(5):
        limited_night(history, 5, "--retain", "9")  # assert_same holds the group together
    inodes = inodes_of(history.pair.snapshot())
    assert inodes[b"a/one"] == inodes[b"a/two"] == inodes[b"b/three"]


def test_a_group_larger_than_the_limit_is_split_and_named(history: History) -> None:
    pair = history.pair
    write(f"{pair.source}/name-0", b"six names", mtime_ns=OLD_NS)
    for number in range(1, 6):
        os.link(f"{pair.source}/name-0", f"{pair.source}/name-{number}")
    for _ in range(3):
        wanted = snapshot_of(pair.source)
        finished = supervise(pair.arguments("backup"), calls.LINKING, limit_of(pair, 4)).expect(0)
        assert_same(wanted, snapshot_of(pair.snapshot()), ignore=["links"])
        assert any(path.startswith("name-") for path in finished.report["not_kept"]), finished.report
        history.check()
        history.record()
    assert len(set(inodes_of(pair.snapshot()).values())) == 2


def test_every_kind_of_entry_at_the_limit(history: History) -> None:
    make_zoo(history.pair.source)
    for _ in range(4):
        limited_night(history, 5, "--retain", "9")


def test_changed_groups_at_the_limit_stay_exact(history: History) -> None:
    source = history.pair.source
    make_plain(source, 40)
    for number in range(10):
        os.link(plain_file(source, number), f"{source}/second-{number}")
    for night in range(5):
        write(plain_file(source, night), content(night, 50))
        os.link(plain_file(source, 20 + night), f"{source}/later-{night}")
        os.unlink(f"{source}/second-{9 - night}")
        limited_night(history, 4, "--retain", "9")


@pytest.mark.parametrize("error", [errno.EMLINK, errno.EPERM, errno.EIO])
def test_single_links_that_fail_are_no_loss(error: int, history: History) -> None:
    """Each seventh link is refused for whatever reason; the snapshot is exact or nothing is published."""
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    device, count = os.stat(pair.backup).st_dev, [0]

    def decide(call: Call) -> Decision:
        if call.device() != device:
            return None
        count[0] += 1
        return Fail(error) if count[0] % 7 == 0 else None

    finished = supervise(pair.arguments("backup"), calls.LINKING, decide)
    assert finished.status == 0 or error != errno.EMLINK, finished
    history.check()
    if finished.status == 0:
        assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
    history.record()
    history.night()
