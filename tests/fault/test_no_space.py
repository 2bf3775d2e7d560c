"""ENOSPC and EDQUOT in any phase: exit 1, a message with the word space or quota and the path, nothing published."""

from __future__ import annotations

import errno
import os

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import NOT_DONE, Finished, Pair
from tests.support.faults import Call, Decision, Fail, supervise
from tests.support.filesystems import mount
from tests.support.history import History
from tests.support.night import MODIFYING, Night, Numbered, night_of
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain, write

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
WORDS = {errno.ENOSPC: "space", errno.EDQUOT: "quota"}


def said(finished: Finished, pair: Pair, word: str) -> None:
    """Fail unless an error names what is full: the word, and a path of the backup or of the source."""
    lines = [line for line in finished.errors if word in line.lower()]
    assert lines, finished.stderr
    names = ("file", "directory", os.path.basename(pair.folder), pair.backup, pair.source, "large", "daily")
    assert any(name in line for line in lines for name in names), lines


def test_the_first_backup_has_no_room(small_backup: Pair) -> None:
    pair = small_backup
    for number in range(20):
        write(f"{pair.source}/large-{number}", content(number, 400_000))
    finished = pair.run("backup").expect(NOT_DONE)
    said(finished, pair, "space")
    assert pair.list() == []
    assert pair.published() == set()
    mount("-o", "remount,size=64m", pair.backup)
    History(pair).night()
    pair.verify()


def test_the_first_backup_has_no_inodes_left(small_backup: Pair) -> None:
    pair = small_backup
    make_plain(pair.source, 800, size=10)
    finished = pair.run("backup").expect(NOT_DONE)
    said(finished, pair, "space")
    assert pair.list() == []
    mount("-o", "remount,nr_inodes=5000", pair.backup)
    History(pair).night()


def test_a_night_has_no_room_and_the_old_snapshots_stay(small_backup: Pair) -> None:
    pair, history = small_backup, History(small_backup)
    write(f"{pair.source}/file-0", content(1, 500_000))
    for _ in range(3):
        history.night("--retain", "2")
    before = [snapshot["id"] for snapshot in pair.list()]
    for number in range(1, 12):
        write(f"{pair.source}/file-{number}", content(number, 500_000))
    for _ in range(2):
        finished = pair.run("backup", "--retain", "2").expect(NOT_DONE)
        said(finished, pair, "space")
        assert [snapshot["id"] for snapshot in history.check()] == before
    for number in range(5, 12):
        os.unlink(f"{pair.source}/file-{number}")
    history.night("--retain", "2")


def test_a_night_has_no_room_and_carries_on_when_there_is(small_backup: Pair) -> None:
    pair, history = small_backup, History(small_backup)
    write(f"{pair.source}/file-0", content(1, 500_000))
    history.night()
    for number in range(1, 12):
        write(f"{pair.source}/file-{number}", content(number, 500_000))
    pair.run("backup").expect(NOT_DONE)
    mount("-o", "remount,size=64m", pair.backup)
    finished = history.night()
    assert finished.report["files_transferred"] < 11, "what had been copied is there"


ALLOCATING = calls.LINKING + calls.CREATING + calls.RENAMING + calls.OPENING + calls.WRITING


def run_out(night: Night, number: int, error: int) -> tuple[Finished, Numbered]:
    """Run the night on a file system that is full from the ``number``-th call on that would need room."""
    night.put_back()
    counted = Numbered(night.pair, lambda count, call: _refuse(call, count, number, error), asked=ALLOCATING)
    finished = supervise(night.arguments, ALLOCATING, counted)
    return finished, counted


def _refuse(call: Call, count: int, number: int, error: int) -> Decision:
    return Fail(error) if count >= number and call.name not in calls.RENAMING else None


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("error", WORDS)
def test_full_from_any_step_on(error: int, part: int) -> None:
    """Each step of a small night that takes room is the first that gets none, and none after it does."""
    stride = 4 * (1 if DEEP else 4)
    with night_of(2, 4) as night:
        number = 1 + part
        while True:
            finished, counted = run_out(night, number, error)
            if counted.count < number:
                finished.expect(0)
                break
            when = f"{errno.errorcode[error]} from call {number} on ({counted.last})"
            assert "Traceback" not in finished.stderr, f"{when}: {finished.stderr}"
            ids = night.check_snapshots(when)
            if ids == night.before:
                assert finished.status == NOT_DONE, f"{when}: {finished}"
                said(finished, night.pair, WORDS[error])
            else:
                assert finished.status == 0, f"published, and then {when}: {finished}"
            night.check_next(when)
            number += stride


def test_a_quota_in_the_first_backup_is_said(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 100)
    counted = Numbered(pair, lambda count, call: Fail(errno.EDQUOT) if count > 120 else None, asked=ALLOCATING)
    finished = supervise(pair.arguments("backup"), ALLOCATING, counted).expect(NOT_DONE)
    said(finished, pair, "quota")
    assert pair.list() == []
    history.night()


def test_fpsync_has_no_room_for_its_own_files(history: History) -> None:
    """Seen: fpsync's queue on a full disk lost files and ended with 0."""
    pair = history.pair
    make_plain(pair.source, 600)
    backup = os.stat(pair.backup).st_dev

    def decide(call: Call) -> Decision:
        if call.device() in (backup, None) or not call.modifies or b"fp" not in call.path():
            return None
        return Fail(errno.ENOSPC)

    finished = supervise(pair.arguments("backup"), (*calls.WRITING, *MODIFYING), decide)
    if finished.status == 0:
        assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
    else:
        assert finished.errors, finished
        assert pair.list() == []
        history.night()
