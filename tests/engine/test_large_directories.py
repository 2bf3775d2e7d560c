"""Large directories: what changed in one is worked on side by side, and comes to the same."""

from __future__ import annotations

import errno
import os
import random
import time

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import NOT_DONE, Pair
from tests.support.faults import KILL, Call, Decision, Fail, supervise
from tests.support.history import History
from tests.support.zoo import make_flat, spoil_flat, write

SIDE_BY_SIDE = ("--retain", "1", "--workers", "16")


def change_flat(source: str, seed: int) -> None:
    """Change the directory of `make_flat` in another third of its names."""
    chance = random.Random(seed)
    directory = f"{source}/flat"
    for name in sorted(os.listdir(directory)):
        path = f"{directory}/{name}"
        what = chance.randrange(15)
        if os.path.isdir(path) or what > 4:
            continue
        if what == 0:
            os.unlink(path)
        elif what == 1:
            os.rename(path, f"{path}-{seed}")
        elif not os.path.islink(path):
            write(path, content(seed, chance.randrange(3000)), mode=chance.choice([0o600, 0o640]))
    for number in range(40):
        write(f"{directory}/new-{seed}-{number}", content(number, 100))


def test_what_changed_in_a_large_directory_arrives_and_is_counted_as_by_one_worker(pair: Pair) -> None:
    alone, together = History(pair), History(Pair(pair.source, pair.backup, "together"))
    make_flat(pair.source)
    for night in range(6):
        reports = [
            history.night("--retain", "2", "--workers", workers).report
            for history, workers in ((alone, "1"), (together, "16"))
        ]
        for what in ("files", "transferred", "linked", "kept", "deleted"):
            what = "files" if what == "files" else f"files_{what}"
            assert reports[0][what] == reports[1][what], (night, what)
        if night == 0:
            spoil_flat(pair.source)
        elif night < 4:
            change_flat(pair.source, night)
    assert reports[1]["files_transferred"] == 0
    together.pair.verify("--all")


@pytest.mark.parametrize("verb", ["backup", "restore", "verify"])
def test_many_names_are_under_way_at_once(verb: str, history: History) -> None:
    """Each waits for its answers; over a network that is all that it does."""
    pair = history.pair
    make_flat(pair.source)
    history.night(*SIDE_BY_SIDE)
    change_flat(pair.source, 0)
    written = os.stat(pair.source if verb == "restore" else pair.backup).st_dev
    callers: set[int] = set()

    def decide(call: Call) -> None:
        if call.device() == written and b"/flat/" in call.path():
            callers.add(call.thread)
            time.sleep(0.002)

    options = SIDE_BY_SIDE if verb == "backup" else SIDE_BY_SIDE[2:]
    supervise(pair.arguments(verb, *options), calls.OPENING, decide).expect(0)
    assert len(callers) > 4
    history.check()


@pytest.mark.parametrize("number", [1, 30, 110])
@pytest.mark.parametrize("answer", [KILL, Fail(errno.ENOSPC), Fail(errno.EIO)], ids=["kill", "space", "io"])
def test_a_night_that_ends_in_a_large_directory_goes_on_from_there(
    answer: Decision, number: int, history: History
) -> None:
    pair = history.pair
    make_flat(pair.source)
    for night in range(3):
        history.night(*SIDE_BY_SIDE)
        change_flat(pair.source, night)
    backup, met = os.stat(pair.backup).st_dev, 0

    def decide(call: Call) -> Decision:
        nonlocal met
        if call.device() != backup or b"/flat/" not in call.path() or not call.modifies:
            return None
        met += 1
        return answer if met >= number else None

    asked = (*calls.MODIFYING, *calls.OPENING)
    finished = supervise(pair.arguments("backup", *SIDE_BY_SIDE), asked, decide, contained=answer == KILL)
    assert met >= number
    if answer != KILL:
        finished.expect(NOT_DONE)
        assert len(finished.errors) == 1, finished.stderr
    history.check()
    assert len(history.record()) == 1, "nothing was published"
    history.night(*SIDE_BY_SIDE)
    pair.verify("--all")


def test_names_of_a_large_directory_vanish_or_become_directories_while_others_are_copied(history: History) -> None:
    pair = history.pair
    make_flat(pair.source)
    history.night(*SIDE_BY_SIDE)
    for number in range(200):
        write(f"{pair.source}/flat/{number:03}", content(number, 500))
    source, read = os.stat(pair.source).st_dev, 0

    def decide(call: Call) -> None:
        nonlocal read
        name = call.file_name()
        if call.device() != source or len(name) != 3:
            return
        read += 1
        if read in (40, 80):
            for number in range(read, 200, 9):
                path = f"{pair.source}/flat/{number:03}"
                if os.path.isfile(path):
                    os.unlink(path)
                    if number % 2:
                        write(f"{path}/inside", b"a directory now")

    finished = supervise(pair.arguments("backup", *SIDE_BY_SIDE), calls.OPENING, decide)
    assert read > 80
    assert finished.status in (0, 1), finished
    assert len(finished.errors) <= 1, finished.stderr
    history.check()
    history.record()
    history.night(*SIDE_BY_SIDE)
    pair.verify("--all")


def test_a_directory_of_thousands_is_worked_on_in_parts_and_side_by_side(history: History) -> None:
    pair = history.pair
    for number in range(5000):
        write(f"{pair.source}/flat/{number:04}", b"%d" % number)
    for night in range(4):
        history.night(*SIDE_BY_SIDE)
        for number in range(night, 5000, 7):
            path = f"{pair.source}/flat/{number:04}"
            if number % 2 or not os.path.exists(path):
                write(path, content(number, 20 + night))
            else:
                os.unlink(path)
    history.night(*SIDE_BY_SIDE)
    pair.verify("--all")
