"""Never fewer: Retain complete snapshots stay on disk while the next is built, and however often it fails."""

from __future__ import annotations

import errno
import os

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import Pair
from tests.support.faults import Call, Fail, supervise
from tests.support.history import History
from tests.support.zoo import make_plain, plain_file, write


def nightly_change(pair: Pair, night: int) -> None:
    write(plain_file(pair.source, night), content(night, 500))
    write(f"{pair.source}/night-{night}")


@pytest.mark.parametrize("retain", [1, 2, 3])
def test_the_newest_snapshots_are_kept_and_numbered_from_zero(retain: int, history: History) -> None:
    make_plain(history.pair.source, 60)
    newest_first: list[str] = []
    for night in range(retain + 3):
        nightly_change(history.pair, night)
        finished = history.night("--retain", str(retain))
        newest_first.insert(0, finished.report["id"])
        kept = newest_first[:retain]
        listed = history.pair.list()
        assert [snapshot["id"] for snapshot in listed] == kept
        assert [snapshot["number"] for snapshot in listed] == list(range(len(kept)))
        assert history.pair.published() == {f"daily.{number}" for number in range(len(kept))}


def test_a_smaller_retain_is_applied_on_the_next_publish(history: History) -> None:
    make_plain(history.pair.source, 60)
    ids = [history.night("--retain", "5").report["id"] for _ in range(5)]
    last = history.night("--retain", "2").report["id"]
    assert [snapshot["id"] for snapshot in history.pair.list()] == [last, ids[-1]]
    assert history.pair.published() == {"daily.0", "daily.1"}
    history.night("--retain", "2")
    assert len(history.pair.list()) == 2


def test_a_larger_retain_lets_the_number_grow(history: History) -> None:
    make_plain(history.pair.source, 20)
    for _ in range(4):
        history.night("--retain", "2")
    for count in (3, 4, 4):
        history.night("--retain", "4")
        assert len(history.pair.list()) == count


@pytest.mark.parametrize("retain", [1, 3])
def test_at_every_modifying_step_of_a_night_all_snapshots_are_somewhere(retain: int, history: History) -> None:
    """Snapshots are told by the inodes of their roots, which a rotation only renames."""
    pair = history.pair
    make_plain(pair.source, 100)
    for night in range(retain + 2):
        nightly_change(pair, night)
        history.night("--retain", str(retain))
    wanted = {os.stat(snapshot["path"]).st_ino for snapshot in pair.list()}
    assert len(wanted) == retain
    nightly_change(pair, 50)
    device, fewest = os.stat(pair.backup).st_dev, [retain + 1]

    def look(call: Call) -> None:
        if call.modifies and call.device() == device:
            have = _roots(pair)
            new = {inode for inode in have if inode not in wanted and have[inode].endswith("daily.0")}
            fewest[0] = min(fewest[0], len(wanted & have.keys()) + len(new))

    supervise(pair.arguments("backup", "--retain", str(retain)), calls.MODIFYING + calls.OPENING, look).expect(0)
    assert fewest[0] == retain
    history.check()


def _roots(pair: Pair) -> dict[int, str]:
    """Inode and path of all directories near the top of the label's folder."""
    found: dict[int, str] = {}
    for directory, names, _ in os.walk(pair.folder):
        depth = os.path.relpath(directory, pair.folder).count(os.sep)
        if directory != pair.folder and depth >= 2:
            names.clear()
        if os.path.basename(directory).startswith("daily."):
            names.clear()
        for name in names:
            path = os.path.join(directory, name)
            try:
                found[os.lstat(path).st_ino] = path
            except FileNotFoundError:
                continue
    return found


def test_however_often_a_run_fails_all_snapshots_stay(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    for night in range(4):
        nightly_change(pair, night)
        history.night("--retain", "2")
    before = [snapshot["id"] for snapshot in pair.list()]
    device = os.stat(pair.backup).st_dev

    def refuse(call: Call) -> Fail | None:
        return Fail(errno.ENOSPC) if call.modifies and call.device() == device else None

    creating = calls.CREATING + calls.LINKING + calls.OPENING
    for night in range(4):
        nightly_change(pair, 10 + night)
        supervise(pair.arguments("backup", "--retain", "2"), creating, refuse).expect(1)
        assert [snapshot["id"] for snapshot in pair.list()] == before
        history.check()
    history.night("--retain", "2")
