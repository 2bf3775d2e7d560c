"""LINK, RENAME, REMOVE and MKDIR answered EEXIST or ENOENT though they were done: looked at, not believed.

That is what a file server may answer to a request that it got twice because the connection broke in between.
"""

from __future__ import annotations

import errno
import os

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import DONE, NOT_DONE
from tests.support.faults import Call, Decision, DoAndFail, Fail, supervise
from tests.support.history import History
from tests.support.night import Numbered, at, night_of
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain, plain_file, write

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
MAKING = tuple(name for name in ("mkdir", "mkdirat") if name in calls.NUMBERS)
REPLIES: dict[str, tuple[tuple[str, ...], int]] = {
    "link": (calls.LINKING, errno.EEXIST),
    "rename": (calls.RENAMING, errno.ENOENT),
    "remove": (calls.REMOVING, errno.ENOENT),
    "make a directory": (MAKING, errno.EEXIST),
}


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("what", REPLIES)
def test_each_single_call_is_done_and_denied(what: str, part: int) -> None:
    asked, error = REPLIES[what]
    stride = 2 * (1 if DEEP else 3)
    with night_of(2, 4) as night:
        number = 1 + part
        while True:
            night.put_back()
            counted = Numbered(night.pair, at(number, DoAndFail(error)), asked=asked)
            finished = supervise(night.arguments, asked, counted)
            if counted.count < number:
                break
            when = f"done and denied: {counted.last}"
            assert finished.status == 0, f"{when}: {finished}"
            night.check_snapshots(when)
            assert_same(night.wanted, snapshot_of(night.pair.snapshot()), what=f"{when}, the new snapshot")
            night.check_next(when)
            number += stride


@pytest.mark.parametrize("what", REPLIES)
def test_all_calls_are_done_and_denied(what: str, history: History) -> None:
    asked, error = REPLIES[what]
    pair = history.pair
    make_plain(pair.source, 60)
    device = os.stat(pair.backup).st_dev
    for night in range(4):
        write(plain_file(pair.source, night), content(night, 100))
        os.rename(plain_file(pair.source, 10 + night), f"{pair.source}/moved-{night}")
        wanted = snapshot_of(pair.source)

        def decide(call: Call) -> Decision:
            # The tools' own temporary files are theirs to mend; the engine repairs what they leave undone.
            return DoAndFail(error) if call.device() == device else None

        supervise(pair.arguments("backup", "--retain", "2"), asked, decide).expect(0)
        history.check()
        assert_same(wanted, snapshot_of(pair.snapshot()), what=f"night {night}")
        history.record()
    history.night("--retain", "2")


@pytest.mark.parametrize("what", REPLIES)
def test_each_single_call_is_refused_and_not_done(what: str) -> None:
    """The same answers, true this time, or an error for good: whole snapshots all the same."""
    asked, _ = REPLIES[what]
    with night_of(2, 4) as night:
        number = 1
        while True:
            night.put_back()
            counted = Numbered(night.pair, at(number, Fail(errno.EIO)), asked=asked)
            finished = supervise(night.arguments, asked, counted)
            if counted.count < number:
                break
            when = f"refused: {counted.last}"
            assert finished.status in (0, 1, 2), f"{when}: {finished}"  # 2: the probe says that the mount is unfit
            assert "Traceback" not in finished.stderr, f"{when}: {finished.stderr}"
            ids = night.check_snapshots(when)
            assert finished.status or ids != night.before, when
            night.check_next(when)
            number += 1 if DEEP else 5


@pytest.mark.parametrize("part", range(4))
def test_each_single_look_fails(part: int) -> None:
    """An error where a file system is read is said in a line, or got over; whole snapshots all the same."""
    asked = (*calls.LOOKING, *calls.LISTING, *calls.READING, *calls.OPENING)
    with night_of(2, 4) as night:
        number = 1 + part
        while True:
            night.put_back()
            devices = {os.stat(path).st_dev for path in (night.pair.source, night.pair.backup)}
            count, when = 0, ""

            def decide(call: Call, number: int = number, devices: set[int] = devices) -> Decision:
                nonlocal count, when
                count += call.device() in devices
                if count != number or when:
                    return None
                when = f"failed: {call.name} {call.path()!r} as the {count}. look"
                return Fail(errno.EIO)

            finished = supervise(night.arguments, asked, decide)
            if count < number:
                break
            assert finished.status in (0, 1, 2), f"{when}: {finished}"
            assert "Traceback" not in finished.stderr, f"{when}: {finished.stderr}"
            assert finished.status == 0 or finished.errors or finished.report["unreadable"], f"{when}: {finished}"
            night.check_snapshots(when)
            night.check_next(when)
            number += 4 if DEEP else 24


@pytest.mark.parametrize(("times", "status"), [(1, DONE), (1000, NOT_DONE)])
@pytest.mark.parametrize("what", ["a surplus name in staging", "the manifest of the base"])
def test_a_look_at_what_is_the_engines_own_fails(what: str, times: int, status: int) -> None:
    """It is looked at again; if that does not help the run ends with a line. It is never taken for absent."""
    with night_of(2, 4) as night:
        newest = night.before[0]
        failed = 0

        def decide(call: Call) -> Decision:
            nonlocal failed
            surplus = b"/staging/b/new-" in call.path()
            meant = surplus if what.startswith("a surplus") else call.file_name().startswith(newest.encode())
            if not meant or failed == times:
                return None
            failed += 1
            return Fail(errno.EIO)

        finished = supervise(night.arguments, calls.LOOKING, decide).expect(status)
        assert failed
        assert status == DONE or len(finished.errors) == 1
        ids = night.check_snapshots(what)
        assert (ids == night.before) == bool(status)
        night.check_next(what)


def test_a_restore_looks_and_does_not_believe(history: History, scratch: str) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    device = os.stat(scratch).st_dev
    errors: dict[str, int] = {name: error for asked, error in REPLIES.values() for name in asked}

    def decide(call: Call) -> Decision:
        return DoAndFail(errors[call.name]) if call.device() == device else None

    supervise(pair.arguments("restore", "--to", scratch), tuple(errors), decide).expect(0)
    assert_same(snapshot_of(pair.source), snapshot_of(scratch))


@pytest.mark.parametrize(("times", "status"), [(1, DONE), (1000, NOT_DONE)])
@pytest.mark.parametrize("side", ["the live tree", "the snapshot"])
def test_a_restore_with_delete_that_cannot_look_at_a_name(side: str, times: int, status: int, history: History) -> None:
    """It is looked at again; if that does not help the name stays as it is, and is named."""
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    wanted = snapshot_of(pair.source)
    write(f"{pair.source}/000/surplus", b"only here")
    if side == "the snapshot":
        os.unlink(plain_file(pair.source, 0))
    name = b"surplus" if side == "the live tree" else os.fsencode(os.path.basename(plain_file(pair.source, 0)))
    device = os.stat(pair.source if side == "the live tree" else pair.backup).st_dev
    failed = 0

    def decide(call: Call) -> Decision:
        nonlocal failed
        if call.file_name() != name or call.device() != device or failed == times:
            return None
        failed += 1
        return Fail(errno.EIO)

    finished = supervise(pair.arguments("restore", "--delete"), (*calls.LOOKING, *calls.OPENING), decide).expect(status)
    if status == DONE:
        assert_same(wanted, snapshot_of(pair.source))
    else:
        assert [os.path.basename(path) for path in finished.paths("failed")] == [name]
        assert os.path.exists(f"{pair.source}/000/surplus") == (side == "the live tree")


def test_a_verify_that_cannot_look_at_a_name_says_so(history: History) -> None:
    """It is not called missing: nobody knows."""
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    device, name = os.stat(pair.backup).st_dev, os.fsencode(os.path.basename(plain_file(pair.source, 0)))

    def decide(call: Call) -> Decision:
        return Fail(errno.EIO) if call.file_name() == name and call.device() == device else None

    arguments = [word for word in pair.arguments("verify") if word not in ("--json", b"--json")]
    finished = supervise(arguments, calls.LOOKING, decide).expect(NOT_DONE)
    assert "cannot be looked at" in str(finished.stdout)
    assert "missing" not in str(finished.stdout)


@pytest.mark.parametrize("verb", ["backup", "list", "verify", "restore"])
@pytest.mark.parametrize("option", ["--source", "--backup", "the label"])
def test_a_directory_given_that_cannot_be_looked_at(option: str, verb: str, history: History) -> None:
    """It is not called missing, nor is it taken for empty."""
    pair = history.pair
    make_plain(pair.source, 20)
    history.night()
    given = pair.folder if option == "the label" else pair.source if option == "--source" else pair.backup

    def decide(call: Call) -> Decision:
        return Fail(errno.EIO) if call.path() == os.fsencode(given) else None

    finished = supervise(pair.arguments(verb), calls.LOOKING, decide)
    if finished.status == NOT_DONE:
        assert len(finished.errors) == 1 and "Input/output error" in finished.errors[0]
    else:
        assert finished.status == DONE
        assert b"id" in finished.stdout
        history.check()


def test_a_verify_that_cannot_look_at_a_surplus_name_says_so(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    write(f"{pair.snapshot()}/000/surplus", b"not in the manifest")
    device = os.stat(pair.backup).st_dev

    def decide(call: Call) -> Decision:
        return Fail(errno.EIO) if call.file_name() == b"surplus" and call.device() == device else None

    finished = supervise(pair.arguments("verify"), calls.LOOKING, decide).expect(NOT_DONE)
    assert "surplus" in str(finished.report["mismatches"])
