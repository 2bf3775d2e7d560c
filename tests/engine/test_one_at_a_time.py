"""One at a time: of several runs on one label one works and the others say so at once, by exit status 75."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support import calls
from tests.support.command import LOCKED, NOT_DONE, Finished, Pair, expect_one_line, finish, start
from tests.support.faults import HOLD, Call, Decision, Fail, Supervised, ended, start_supervised, supervise, wait_until
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain, plain_file, write

ASKED = calls.OPENING + calls.LOOKING


def stand_still(call: Call) -> Decision:
    """Hold whatever comes to the files of the tree; the rest of the run, its heartbeat too, goes on."""
    return HOLD if call.file_name().startswith((b"file-", b"000")) else None


def held_run(pair: Pair, verb: str, *options: str) -> Supervised:
    """Start a run that stands still once it comes to the files."""
    return start_supervised(pair.arguments(verb, *options), ASKED, stand_still)


@contextmanager
def held(pair: Pair, verb: str = "backup", *options: str) -> Iterator[Supervised]:
    """A run that stands still at its work until it is released."""
    run = held_run(pair, verb, *options)
    with ended(run.process):
        wait_until(lambda: bool(run.held), 30, "the run that is to hold the lock begins to work")
        try:
            yield run
        finally:
            run.release()


def test_of_three_runs_at_once_one_works_and_two_say_that_it_does(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    runs = [held_run(pair, "backup") for _ in range(3)]
    wait_until(lambda: sum(run.process.poll() is None for run in runs) == 1, 30, "the end of two of the runs")
    for run in runs:
        run.release()
    done = [finish(run.process) for run in runs]
    assert sorted(run.status for run in done) == [0, LOCKED, LOCKED], [(run.status, run.stderr) for run in done]
    for refused in done:
        if refused.status == LOCKED:
            expect_one_line(refused)
    assert len(pair.list()) == 1
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))


def test_a_run_that_waits_for_a_dead_holders_lock_stops_when_it_is_told_to(history: History) -> None:
    history.night()
    lock = os.open(f"{history.pair.folder}/.efs-backup/lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = start(*history.pair.arguments("backup"))
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(8)
        waiting.send_signal(signal.SIGTERM)
        stopped = finish(waiting, 20).expect(NOT_DONE)
    finally:
        os.close(lock)
    expect_one_line(stopped, "stopped before the end")
    history.night()


def test_a_second_run_says_in_one_line_that_another_works(history: History) -> None:
    make_plain(history.pair.source, 60)
    with held(history.pair) as run:
        refused = history.pair.run("backup", timeout=30).expect(LOCKED)
        expect_one_line(refused)
        assert refused.seconds < 15
        run.release()
        finish(run.process).expect(0)
    history.night()


def test_list_answers_while_a_run_works(history: History) -> None:
    make_plain(history.pair.source, 60)
    first = history.night().report["id"]
    with held(history.pair):
        assert [snapshot["id"] for snapshot in history.pair.list()] == [first]


def test_two_labels_are_backed_up_at_the_same_time(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    other = Pair(pair.source, pair.backup, label="other")
    with held(pair):
        History(other).night(timeout=30)


def test_a_label_has_one_lock_for_all_its_intervals(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    weekly = Pair(pair.source, pair.backup, interval="weekly")
    with held(pair):
        weekly.run("backup", timeout=30).expect(LOCKED)
    History(weekly).night()
    assert pair.names() >= {"weekly.0", ".efs-backup"}


def test_the_lock_of_a_killed_run_does_not_block(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    with held(pair) as run:
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
    began = time.monotonic()
    history.night(timeout=60)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("answer", [errno.EIO, errno.ESTALE])
def test_a_run_that_loses_its_lock_stops_and_publishes_nothing(answer: int, history: History) -> None:
    """What a machine sees whose lease has ended: writing to the locked file fails, all else still works."""
    pair = history.pair
    make_plain(pair.source, 300)
    before = history.night().report["id"]
    write(plain_file(pair.source, 5), b"changed")
    working = threading.Event()

    def lose(call: Call) -> Decision:
        if call.name in calls.LOOKING + calls.OPENING:
            if call.file_name().startswith(b"file-"):
                working.set()
                time.sleep(0.05)  # the run takes long enough for a heartbeat
            return None
        return Fail(answer) if working.is_set() and call.file_name() == b"lock" else None

    asked = (*ASKED, *calls.WRITING, "fsync", "fdatasync")
    finished = supervise(pair.arguments("backup"), asked, lose)
    assert finished.status == 1, finished
    assert finished.errors, finished.stderr
    assert [snapshot["id"] for snapshot in history.check()] == [before]
    history.night()


def test_a_restore_goes_on_with_its_snapshot_while_nights_come_and_go(history: History, scratch: str) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    wanted = history.night("--retain", "1").report["id"]
    with held(pair, "restore", "--to", scratch) as run:
        for number in range(3):
            write(plain_file(pair.source, number), b"later")
            History(pair).night("--retain", "1")
        run.release()
        finish(run.process).expect(0)
    assert_same(history.seen[wanted], snapshot_of(scratch))


def test_a_verify_goes_on_with_its_snapshot_while_nights_come_and_go(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    history.night("--retain", "1")
    with held(pair, "verify") as run:
        for number in range(3):
            write(plain_file(pair.source, number), b"later")
            History(pair).night("--retain", "1")
        run.release()
        checked: Finished = finish(run.process).expect(0)
    assert (checked.report["files_checked"], checked.report["mismatches"]) == (60, [])


def test_runs_started_one_after_the_other_at_once_all_work(history: History) -> None:
    make_plain(history.pair.source, 20)
    for _ in range(3):
        finish(start(*history.pair.arguments("backup"))).expect(0)
    assert len(history.pair.list()) == 3
