"""Taken over: a folder with plain daily.0 … daily.6, made by rsync and hard links, is continued as it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
from tests.support.changes import content
from tests.support.command import Pair
from tests.support.history import History
from tests.support.tree import assert_same, inodes_of, snapshot_of
from tests.support.zoo import OLD_NS, make_plain, make_zoo, plain_file, write


def plain_nights(pair: Pair, nights: int, fill: Callable[[str], object]) -> None:
    """What the published solution's script leaves: plain directories with hard links between them, the newest 0."""
    fill(pair.source)
    os.makedirs(pair.folder)
    for night in range(nights):
        for number in range(night, 0, -1):
            os.rename(pair.snapshot(number - 1), pair.snapshot(number))
        link = ["--link-dest", pair.snapshot(1)] if night else []
        exact = ["-aH", "--numeric-ids", "--modify-window=-1", "--sparse"]
        subprocess.run(["rsync", *exact, *link, f"{pair.source}/", pair.snapshot(0)], check=True)
        write(f"{pair.source}/night", content(night, 50))
    os.unlink(f"{pair.source}/night")


def make_plain_100(root: str) -> None:
    make_plain(root, 100)


def test_plain_snapshots_are_listed_before_any_run(pair: Pair) -> None:
    plain_nights(pair, 7, make_plain_100)
    listed = pair.list()
    assert [snapshot["number"] for snapshot in listed] == list(range(7))
    assert [snapshot["path"] for snapshot in listed] == [pair.snapshot(number) for number in range(7)]
    assert all(snapshot["verified"] is None for snapshot in listed)
    assert pair.names() == {f"daily.{number}" for number in range(7)}, "list writes nothing"


def test_plain_snapshots_are_the_base_of_the_next_and_are_retained(pair: Pair) -> None:
    plain_nights(pair, 7, make_plain_100)
    before = [snapshot_of(pair.snapshot(number)) for number in range(7)]
    newest = inodes_of(pair.snapshot(0))
    history = History(pair)
    write(plain_file(pair.source, 1), b"changed")
    finished = history.night("--retain", "7")
    for number in range(1, 7):
        assert_same(before[number - 1], snapshot_of(pair.snapshot(number)), what=f"plain snapshot {number - 1}")
    assert pair.published() == {f"daily.{number}" for number in range(7)}
    now = inodes_of(pair.snapshot(0))
    assert sum(now[path] == newest.get(path) for path in now) == 99
    assert finished.report["files_transferred"] == 1
    listed = pair.list()
    assert len({snapshot["id"] for snapshot in listed}) == 7
    assert [snapshot["number"] for snapshot in listed] == list(range(7))


def test_plain_snapshots_expire_one_by_one_and_are_recycled_without_harm(pair: Pair) -> None:
    plain_nights(pair, 4, make_plain_100)
    history = History(pair)
    history.record()
    for night in range(7):
        write(plain_file(pair.source, night), content(night, 300))
        os.chmod(plain_file(pair.source, 50 + night), 0o600)
        history.night("--retain", "3")
        assert len(pair.list()) == 3


def test_every_kind_of_entry_is_taken_over(pair: Pair) -> None:
    plain_nights(pair, 2, make_zoo)
    history = History(pair)
    history.record()
    for _ in range(4):
        history.night("--retain", "2")


def test_a_smaller_retain_expires_plain_snapshots(pair: Pair) -> None:
    plain_nights(pair, 5, make_plain_100)
    History(pair).night("--retain", "2")
    assert pair.published() == {"daily.0", "daily.1"}


def test_checksums_are_filled_in_and_then_verify_vouches(pair: Pair) -> None:
    plain_nights(pair, 2, make_plain_100)
    history = History(pair)
    history.night("--retain", "2")
    assert pair.run("verify").status == 1, "what has no checksum yet cannot be vouched for"
    for _ in range(14):
        history.night("--retain", "2")
        checked = pair.run("verify")
        if checked.status == 0:
            break
    assert (checked.report["files_checked"], checked.report["mismatches"]) == (100, [])
    assert pair.list()[0]["verified"] is True
    victim = plain_file(pair.snapshot(0), 42)
    info = os.stat(victim)
    with open(victim, "r+b") as file:
        file.write(b"?")
    os.utime(victim, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert pair.verify(status=1).paths("mismatches") == {b"000/000000/file-0000042"}


def test_an_overwrite_that_keeps_size_and_mtime_is_found_from_the_first_night_on(pair: Pair) -> None:
    """A plain snapshot has no manifest that could tell; the first one that has is enough."""
    plain_nights(pair, 2, make_plain_100)
    history = History(pair)
    history.record()
    history.night("--retain", "3")
    for night in range(3):
        path = plain_file(pair.source, 10 + night)
        write(path, content(night, os.stat(path).st_size), mtime_ns=OLD_NS + 10 + night)
        history.night("--retain", "3")


def test_a_plain_snapshot_is_restored(pair: Pair, scratch: str) -> None:
    plain_nights(pair, 3, make_plain_100)
    before = snapshot_of(pair.snapshot(2))
    pair.restore("--number", "2", "--to", scratch)
    assert_same(before, snapshot_of(scratch))


@pytest.mark.parametrize("holes", [(1,), (0,), (2, 3)])
def test_a_folder_with_numbers_missing_is_taken_over(holes: tuple[int, ...], pair: Pair) -> None:
    plain_nights(pair, 5, make_plain_100)
    for number in holes:
        os.rename(pair.snapshot(number), os.path.join(pair.backup, f"aside.{number}"))
    assert len(pair.list()) == 5 - len(holes)
    history = History(pair)
    history.night("--retain", "7")
    assert len(pair.list()) == 6 - len(holes)
    assert pair.list()[0]["number"] == 0
