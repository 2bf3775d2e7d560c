"""Dies anywhere: SIGKILL of everything at any modifying step leaves the old snapshots or the old ones and the new.

What is listed is whole at once, and the next run's snapshot is exact. A sweep over every step of a small run (in
parts, so that they can run side by side), and random steps of a larger one.
"""

from __future__ import annotations

import os
import random
import signal

import pytest
from tests.support.changes import content
from tests.support.command import NOT_DONE, Pair, expect_one_line, finish
from tests.support.faults import Call, Decision, ended, start_supervised, supervise
from tests.support.history import History
from tests.support.night import MODIFYING, Night, killed, night_of
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain, plain_file, write

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
PARTS = 8
# retain, nights before: the first backup (by fpsync), without a spare, with a spare, the only snapshot, fewer kept
SCENES = {
    "the first night": (2, 0),
    "a night without a spare": (3, 1),
    "a night with a spare": (2, 4),
    "a night with one snapshot": (1, 3),
}
# Every step of the night that has everything; of the others some, unless the deep profile is asked for.
STRIDES = {"a night with a spare": 1, "the first night": 9}


def killed_at(night: Night, number: int) -> str | None:
    """Run the night, killed before its ``number``-th modifying call; what the call was, None if the night ended."""
    night.put_back()
    counted = killed(night.pair, number)
    finished = supervise(night.arguments, MODIFYING, counted, contained=True)
    if counted.count < number:
        finished.expect(0)
        return None
    return counted.last


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scene", SCENES)
def test_killed_before_any_modifying_call(scene: str, part: int) -> None:
    stride = PARTS * (1 if DEEP else STRIDES.get(scene, 5))
    with night_of(*SCENES[scene]) as night:
        number = 1 + part
        while (what := killed_at(night, number)) is not None:
            when = f"{scene}, killed before {what}"
            night.check_snapshots(when)
            night.check_next(when)
            number += stride
        assert number > 1 + part or part > 4, "the run modifies nothing"


@pytest.mark.parametrize("seed", range(40 if DEEP else 6))
def test_killed_again_and_again_at_random_in_a_larger_tree(seed: int, history: History) -> None:
    pair, chance = history.pair, random.Random(seed)
    make_plain(pair.source, 1500)
    if seed % 2:
        for _ in range(2):
            history.night("--retain", "1")
    for kill in range(3):
        write(plain_file(pair.source, kill), content(kill, 100))
        os.rename(plain_file(pair.source, 100 + kill), f"{pair.source}/moved-{kill}")
        wanted = snapshot_of(pair.source)
        number = chance.randrange(1, 400) if seed % 3 else chance.randrange(1, 9000)
        counted = killed(pair, number)
        supervise(pair.arguments("backup", "--retain", "1"), MODIFYING, counted, contained=True)
        history.check()
        for snapshot in pair.list():
            if snapshot["id"] not in history.seen:
                assert_same(wanted, snapshot_of(snapshot["path"]), what=f"killed at {counted.last}, the new snapshot")
        history.record()
    history.night("--retain", "1")
    pair.verify()


def test_two_kills_in_the_same_place_are_no_worse_than_one() -> None:
    """The recovery is killed too."""
    with night_of(2, 4) as night:
        for number in range(10, 400, 30):
            if killed_at(night, number) is None:
                break
            for again in (2, 9):
                counted = killed(night.pair, again)
                supervise(night.arguments, MODIFYING, counted, contained=True)
                night.check_snapshots(f"killed at call {number}, and the next run at its call {again}")
            night.check_next(f"killed at call {number}, and twice in recovery")


def test_the_numbers_are_right_in_restore_and_verify_before_any_recovery(scratch: str) -> None:
    """Killed while the snapshots are renamed: a number means what the list says."""
    with night_of(2, 4) as night:
        last = killed(night.pair, 0)
        night.put_back()
        supervise(night.arguments, MODIFYING, last, contained=True).expect(0)
        for number in range(max(1, last.count - 60), last.count + 1, 4):
            if (what := killed_at(night, number)) is None:
                continue
            for snapshot in night.pair.list():
                wanted = night.history.seen.get(snapshot["id"], night.wanted)
                night.pair.restore("--number", str(snapshot["number"]), "--to", scratch, "--delete")
                assert_same(wanted, snapshot_of(scratch), what=f"killed before {what}, restored {snapshot['number']}")


@pytest.mark.parametrize("seed", range(3))
def test_one_process_of_the_run_is_killed(seed: int, history: History) -> None:
    """Out of memory takes one process: the run fails or repairs it, and never publishes what is not whole."""
    pair, chance = history.pair, random.Random(seed)
    make_plain(pair.source, 800)
    wanted = snapshot_of(pair.source)
    for _ in range(4):
        number = chance.randrange(1, 3000)
        state = {"count": 0}

        def kill_caller(call: Call, at: int = number, state: dict[str, int] = state) -> Decision:
            state["count"] += 1
            if state["count"] == at:
                os.kill(call.thread, 9)
            return None

        finished = supervise(pair.arguments("backup"), MODIFYING, kill_caller, contained=True, timeout=100)
        for snapshot in pair.list():
            assert_same(wanted, snapshot_of(snapshot["path"]), what=f"killed a caller at {number}")
        assert finished.status in (0, 1, -9, 137), finished
    history.night()


@pytest.mark.parametrize("number", range(1, 6))
def test_a_worker_is_killed_while_it_answers(number: int, history: History) -> None:
    """It holds the right to answer, which the others wait for: they are not waited for in turn."""
    pair = history.pair
    make_plain(pair.source, 800)
    for _ in range(2):
        history.night("--retain", "1")
    for changed in range(400):
        write(plain_file(pair.source, changed), content(changed, 100))
    before = history.check()
    answers = 0

    def kill_the_answering(call: Call) -> None:
        nonlocal answers
        if call.path().startswith(b"pipe:") and parent_of(call.thread) == run.process.pid:
            answers += 1
            if answers == number:
                os.kill(call.thread, signal.SIGKILL)

    run = start_supervised(pair.arguments("backup", "--retain", "1", "--workers", "4"), ("write",), kill_the_answering)
    with ended(run.process):
        finished = finish(run.process, 60)
    assert answers >= number, "it was killed"
    if finished.status != 0:
        expect_one_line(finished.expect(NOT_DONE), "worker process died")
        assert pair.list() == before
    history.night("--retain", "1")


def parent_of(thread: int) -> int:
    """The parent of the process that a thread belongs to."""
    with open(f"/proc/{thread}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("PPid:"))


def test_a_pair_that_nothing_happened_to_is_put_back_exactly() -> None:
    """The sweep itself: putting back loses nothing, so that no failure is its own doing."""
    with night_of(2, 4) as night:
        before = snapshot_of(night.pair.backup)
        night.put_back()
        assert_same(before, snapshot_of(night.pair.backup))
        night.check_snapshots("put back")
        night.check_next("put back")
        assert isinstance(night.pair, Pair)
