"""A run that is cut off from the backup file system ends, with all its processes, before another may have its lock.

What its processes wait for is done when the file system can be reached again, unless they are killed: by then another
machine may have published what they are about to write into.
"""

from __future__ import annotations

import os
import time

from tests.fault.test_no_process_outlives_the_run import staged_files
from tests.support import calls
from tests.support.changes import content
from tests.support.command import NOT_DONE, finish
from tests.support.faults import HOLD, Call, Decision, Supervised, descendants, ended, start_supervised, wait_until
from tests.support.history import History
from tests.support.zoo import make_plain, plain_file, write

FILES = 1500
LEASE = 45.0
"""Seconds after which a server may give the lock of a machine it has not heard of to another."""
ASKED = calls.MODIFYING + calls.OPENING + calls.LOOKING


class Server:
    """Answers what is asked of a file system until it is cut off; then nobody hears anything any more."""

    def __init__(self, path: str) -> None:
        self._device = os.stat(path).st_dev
        self.cut_off_at: float | None = None

    def cut_off(self) -> None:
        self.cut_off_at = time.monotonic()

    def decide(self, call: Call) -> Decision:
        if call.device() != self._device:
            return None
        if self.cut_off_at is not None:
            return HOLD
        if call.modifies:
            time.sleep(0.002)
        return None


def assert_over_in_time(run: Supervised, server: Server) -> None:
    """The run ends by itself, though nothing it waits for is answered."""
    below = descendants(run.process.pid)
    assert below
    finished = finish(run.process, LEASE + 20).expect(NOT_DONE)
    assert server.cut_off_at is not None
    assert time.monotonic() - server.cut_off_at < LEASE
    assert any("was lost" in line for line in finished.errors), finished.stderr
    wait_until(lambda: not any(os.path.exists(f"/proc/{each}/exe") for each in below), 2, "the end of all processes")
    assert run.held and not run.released


def carry_on(history: History, published: int) -> None:
    assert len(history.check()) == published
    history.night()


def test_a_first_backup(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, FILES)
    server = Server(pair.backup)
    run = start_supervised(pair.arguments("backup"), ASKED, server.decide)
    with ended(run.process):
        wait_until(lambda: staged_files(pair) >= 100, 60, "some files are copied")
        server.cut_off()
        assert_over_in_time(run, server)
    carry_on(history, 0)


def test_a_night(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, FILES)
    history.night("--retain", "1")
    history.night("--retain", "1")
    for number in range(1000):
        write(plain_file(pair.source, number), content(number, 100))
    server = Server(pair.backup)
    run = start_supervised(pair.arguments("backup", "--retain", "1"), ASKED, server.decide)
    with ended(run.process):
        wait_until(lambda: len(descendants(run.process.pid)) >= 2, 60, "workers")
        time.sleep(0.5)
        server.cut_off()
        assert_over_in_time(run, server)
    carry_on(history, 1)
