"""No process outlives the run: the parent alone is killed while fpsync works, and the next run starts at once.

SIGTERM and SIGINT drain: workers stop within seconds, staging stays, what was copied is not copied again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import NOT_DONE, Pair, command_line, environment, finish, start
from tests.support.faults import Call, Supervised, descendants, ended, start_supervised, supervise, wait_until
from tests.support.history import History
from tests.support.tree import assert_same, inodes_of, snapshot_of
from tests.support.zoo import OLD_NS, make_plain, plain_file, write

FILES = 1500
SETTLED = 1.0  # seconds that the kernel may take to end processes that were killed


def staged_files(pair: Pair) -> int:
    """How many of the source's files lie in the state directory."""
    return sum(
        name.startswith(("file-", ".file-")) for _, _, names in os.walk(f"{pair.folder}/.efs-backup") for name in names
    )


def slow_first_backup(pair: Pair, notice: Callable[[Call], None] = lambda call: None) -> Supervised:
    """A first backup whose copies take some milliseconds each longer, so that one can come in between."""
    device = os.stat(pair.backup).st_dev

    def decide(call: Call) -> None:
        if call.modifies and call.device() == device:
            notice(call)
            if call.name == "utimensat":
                time.sleep(0.003)

    return start_supervised(pair.arguments("backup"), calls.MODIFYING + calls.OPENING, decide)


def command_name(thread: int) -> str:
    """The name of the program that a thread, which waits for its call's answer, belongs to."""
    with open(f"/proc/{thread}/comm") as file:
        return file.read().strip()


def test_the_first_backup_is_moved_by_fpsync(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, FILES)
    listing, writing = set[str](), set[str]()
    source, backup = os.stat(pair.source).st_dev, os.stat(pair.backup).st_dev

    def decide(call: Call) -> None:
        if call.name in calls.LISTING and call.device() == source:
            listing.add(command_name(call.thread))
        elif call.modifies and call.file_name().startswith(b"file-") and call.device() == backup:
            writing.add(command_name(call.thread))

    supervise(pair.arguments("backup"), calls.LISTING + calls.MODIFYING + calls.OPENING, decide).expect(0)
    assert "fpart" in listing
    assert writing == {"rsync"}


@pytest.mark.parametrize("copied", [5, 100, 900])
def test_the_parent_alone_is_killed_and_nothing_of_the_run_writes_afterwards(copied: int, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, FILES)
    killed, late = threading.Event(), list[tuple[float, str, bytes]]()
    when = [0.0]

    def notice(call: Call) -> None:
        if killed.is_set() and time.monotonic() - when[0] > SETTLED:
            late.append((time.monotonic() - when[0], call.name, call.path()))

    run = slow_first_backup(pair, notice)
    with ended(run.process):
        wait_until(lambda: staged_files(pair) >= copied, 60, "some files are copied")
        assert run.process.poll() is None
        below = descendants(run.process.pid)
        os.kill(run.process.pid, signal.SIGKILL)
        when[0] = time.monotonic()
        killed.set()
        next_run = start(*pair.arguments("backup"))
        run.process.wait()
        finish(next_run).expect(0)
        published = snapshot_of(pair.snapshot())
        assert_same(snapshot_of(pair.source), published)
        wait_until(lambda: not any(map(_alive, below)), SETTLED, "the end of the dead run's processes")
        time.sleep(SETTLED)
        assert not late, late[:10]
        assert_same(published, snapshot_of(pair.snapshot()))
    history.record()
    history.night()


def _alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_parent_alone_is_killed_in_a_night(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, FILES)
    for _ in range(2):
        history.night("--retain", "1")
    for number in range(200):
        write(plain_file(pair.source, number), content(number, 100))
    device = os.stat(pair.backup).st_dev

    def slow(call: Call) -> None:
        if call.modifies and call.device() == device:
            time.sleep(0.003)

    run = start_supervised(pair.arguments("backup", "--retain", "1"), calls.MODIFYING + calls.OPENING, slow)
    with ended(run.process):
        time.sleep(1.0)
        below = descendants(run.process.pid)
        os.kill(run.process.pid, signal.SIGKILL)
        history.night("--retain", "1")
        assert not any(map(_alive, below))


@pytest.mark.parametrize("how", ["SIGTERM to the command", "SIGINT to all, as a terminal sends it"])
def test_a_signal_drains_and_the_next_run_carries_on(how: str, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, FILES)
    run = slow_first_backup(pair)
    with ended(run.process):
        wait_until(lambda: staged_files(pair) >= 700, 60, "half of the files are copied")
        below = descendants(run.process.pid)
        if how.startswith("SIGTERM"):
            os.kill(run.process.pid, signal.SIGTERM)
        else:
            os.killpg(run.process.pid, signal.SIGINT)
        signalled = time.monotonic()
        drained = finish(run.process, 30).expect(NOT_DONE)
        assert time.monotonic() - signalled < 10
        assert not any(map(_alive, below))
    assert drained.stderr.strip(), "it says that it was cut off"
    assert pair.list() == []
    staged = staged_files(pair)
    assert staged >= 600, "staging stays"
    finished = history.night()
    # The few that were being written, and those whose line rsync had not said yet, are looked at once more.
    assert finished.report["files_transferred"] <= FILES - staged + 20, "what is there is not copied again"
    _checksums_are_there(pair)


def test_what_was_copied_in_the_last_seconds_before_a_signal_is_known_too(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, FILES, size=100_000)
    process = start(*pair.arguments("backup"))
    with ended(process):
        wait_until(lambda: staged_files(pair) >= 200, 60, "some files are copied")
        process.terminate()
        finish(process, 30).expect(NOT_DONE)
    staged = staged_files(pair)
    assert history.night().report["files_transferred"] <= FILES - staged + 20
    _checksums_are_there(pair)


def _checksums_are_there(pair: Pair) -> None:
    checked = pair.verify().report
    assert (checked["files_checked"], checked["mismatches"]) == (FILES, [])
    for number in range(0, FILES, 300):
        path = plain_file(pair.snapshot(), number)
        with open(path, "r+b") as file:
            file.write(b"?")
        os.utime(path, ns=(OLD_NS, OLD_NS + number))
    assert len(pair.verify(status=NOT_DONE).report["mismatches"]) == 5


def test_what_was_copied_before_the_signal_keeps_its_inodes(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, FILES)
    run = slow_first_backup(pair)
    with ended(run.process):
        wait_until(lambda: staged_files(pair) >= 700, 60, "half of the files are copied")
        os.kill(run.process.pid, signal.SIGTERM)
        finish(run.process, 30).expect(NOT_DONE)
    staged = {inode for path, inode in inodes_of(f"{pair.folder}/.efs-backup").items() if b"/file-" in path}
    history.night()
    assert len(staged & set(inodes_of(pair.snapshot()).values())) >= 400


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 0.3, 0.6, 1.0])
def test_a_signal_at_any_time_is_no_harm(delay: float, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 300)
    for _ in range(2):
        history.night("--retain", "1")
    write(plain_file(pair.source, 3), b"changed")
    line = command_line(*pair.arguments("backup", "--retain", "1"))
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    time.sleep(delay)
    process.terminate()
    finished = finish(process, 30)
    # Before Python is ready for signals, the signal's own way to end the process is as good.
    assert finished.status in (0, 1, -signal.SIGTERM), finished
    assert "Traceback" not in finished.stderr or delay < 0.2, finished.stderr
    history.check()
    history.record()
    history.night("--retain", "1")


def test_a_signal_after_publishing_is_a_success(history: History) -> None:
    """The old tree is pruned next time."""
    pair = history.pair
    make_plain(pair.source, 400)
    for _ in range(3):
        history.night("--retain", "3")
    before = {snapshot["id"] for snapshot in pair.list()}
    sent, device = threading.Event(), os.stat(pair.backup).st_dev

    def signal_when_published(call: Call) -> None:
        if call.device() != device:
            return
        if not sent.is_set() and _published_since(pair, before):
            sent.set()
            os.kill(run.process.pid, signal.SIGTERM)
        if sent.is_set():
            time.sleep(0.01)

    run = start_supervised(
        pair.arguments("backup", "--retain", "1"), calls.REMOVING + calls.RENAMING, signal_when_published
    )
    with ended(run.process):
        finished = finish(run.process, 60)
    if sent.is_set():
        assert finished.status == 0, finished
    assert _published_since(pair, before)
    history.night("--retain", "1")
    history.night("--retain", "1")


def _published_since(pair: Pair, before: set[str]) -> bool:
    return bool({snapshot["id"] for snapshot in pair.list()} - before)
