"""Files that change while they are copied: copied again, and named if they never hold still; never a mixture."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import Pair
from tests.support.faults import Call, supervise
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import OLD_NS, make_plain, plain_file, write

READING = (*calls.READING, "copy_file_range", "sendfile")
SIZE = 600_000


def reads_of(pair: Pair, name: bytes, call: Call) -> bool:
    """Whether the call reads the source's file of this name."""
    which = 0 if call.name in ("copy_file_range", "sendfile") else -1
    return call.file_name(which) == name and call.device(which) == os.stat(pair.source).st_dev


def rewrite(path: str, seed: int) -> None:
    """Other content of the same size, the time put back: only ctime tells."""
    info = os.stat(path)
    with open(path, "r+b") as file:
        file.write(content(seed, SIZE))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


@pytest.mark.parametrize("at_read", [1, 2, 3, 5])
@pytest.mark.parametrize("known", [False, True], ids=["first backup", "a later night"])
def test_a_file_rewritten_once_while_it_is_read_is_whole_in_the_snapshot(
    known: bool, at_read: int, history: History
) -> None:
    pair = history.pair
    path = f"{pair.source}/victim"
    make_plain(pair.source, 20)
    if known:
        history.night()
    write(path, content(1, SIZE), mtime_ns=OLD_NS)
    reads = [0]

    def decide(call: Call) -> None:
        if reads_of(pair, b"victim", call):
            reads[0] += 1
            if reads[0] == at_read:
                rewrite(path, 2)

    supervise(pair.arguments("backup"), READING, decide).expect(0)
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
    pair.verify()


def test_a_file_that_grows_once_while_it_is_read_is_copied_again(history: History) -> None:
    pair = history.pair
    path = f"{pair.source}/victim"
    write(path, content(1, SIZE), mtime_ns=OLD_NS)
    grown = threading.Event()

    def decide(call: Call) -> None:
        if reads_of(pair, b"victim", call) and not grown.is_set():
            grown.set()
            with open(path, "ab") as file:
                file.write(b"more")

    supervise(pair.arguments("backup"), READING, decide).expect(0)
    assert grown.is_set()
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))


@contextmanager
def going_on(do: Callable[[], object], every: float) -> Iterator[None]:
    """Call ``do`` again and again in a thread; what it raises is raised at the end."""
    over, errors = threading.Event(), list[BaseException]()

    def loop() -> None:
        try:
            while not over.wait(every):
                do()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            errors.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("known", [False, True], ids=["first backup", "a later night"])
def test_a_file_that_never_holds_still_is_named_and_the_run_succeeds(known: bool, history: History) -> None:
    pair = history.pair
    log = f"{pair.source}/growing.log"
    make_plain(pair.source, 100)
    write(log, content(1, SIZE))
    if known:
        history.night()

    def grow() -> None:
        with open(log, "ab") as file:
            file.write(b"another line\n")

    with going_on(grow, 0.0005):
        finished = pair.back_up()
    assert finished.report["outcome"].lower() != "incomplete"
    assert finished.paths("changed_during_backup") == {b"growing.log"}
    source, backup = snapshot_of(pair.source), snapshot_of(pair.snapshot())
    assert backup[b"growing.log"].kind == "file"
    del source[b"growing.log"], backup[b"growing.log"]
    assert_same(source, backup, ignore=["mtime_ns"])
    with open(log, "rb") as live, open(f"{pair.snapshot()}/growing.log", "rb") as copy:
        saved = copy.read()
        assert len(saved) >= SIZE and live.read().startswith(saved), "what was only appended to is a prefix"
    history.check()
    history.record()
    history.night()


def test_a_file_that_never_holds_still_is_taken_again_the_next_night(history: History) -> None:
    """Its last state may have the time of the copy: equal attributes must not hide it."""
    pair = history.pair
    path = f"{pair.source}/victim"
    write(path, content(1, SIZE), mtime_ns=OLD_NS)
    seed = [2]

    def turn() -> None:
        seed[0] += 1
        rewrite(path, seed[0])

    with going_on(turn, 0.0005):
        assert pair.back_up().paths("changed_during_backup") == {b"victim"}
    history.night()
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))


def test_a_change_in_the_moment_of_the_copy_is_seen_the_next_night(history: History) -> None:
    """The file is new, copied, and rewritten right after with its time put back."""
    pair = history.pair
    for night in range(4):
        path = f"{pair.source}/victim"
        write(path, content(night, 5000), mtime_ns=OLD_NS)
        history.night("--retain", "2")
        with open(path, "r+b") as file:
            file.write(b"at once")
        os.utime(path, ns=(OLD_NS, OLD_NS))
        history.night("--retain", "2")


def shuffle(root: str, chance: random.Random) -> None:
    """One thing happens to a file, or to a directory."""
    path, other = plain_file(root, chance.randrange(400)), plain_file(root, chance.randrange(400))
    there = os.path.exists(path)
    what = chance.choice(("remove", "move", "write", "mode", "link", "directory"))
    if what == "write":
        write(path, content(1, chance.randrange(3000)))
    elif what == "directory":
        here, away = f"{root}/000/000003", f"{root}/000/moving"
        if os.path.exists(away):
            shutil.rmtree(here, ignore_errors=True)
            os.rename(away, here)
        else:
            os.rename(here, away)
    elif there and what == "remove":
        os.unlink(path)
    elif there and what == "move":
        os.makedirs(os.path.dirname(other), exist_ok=True)
        os.rename(path, other)
    elif there and what == "mode":
        os.chmod(path, chance.choice((0o600, 0o4755, 0o644)))
    elif there and not os.path.exists(path + ".link"):
        os.link(path, path + ".link")


def test_a_busy_tree_never_breaks_a_run_and_the_next_quiet_night_is_exact(history: History) -> None:
    """Files and directories come, go, move and change all the time."""
    pair, chance = history.pair, random.Random(1)
    make_plain(pair.source, 400)

    for _ in range(3):
        with going_on(lambda: shuffle(pair.source, chance), 0.0003):
            finished = pair.run("backup", "--retain", "2")
        assert finished.status in (0, 1), finished
        assert "Traceback" not in finished.stderr, finished.stderr
        history.check()
        history.record()
    history.night("--retain", "2")
    pair.verify()


def test_subdirectories_renamed_when_their_turn_comes_are_settled_by_one_worker(history: History) -> None:
    pair, count = history.pair, 24
    top = f"{pair.source}/p"
    for number in range(count):
        make_plain(f"{top}/s{number:02d}", 2)
    history.night("--workers", "8")
    device = os.stat(pair.source).st_dev
    renamed = threading.Event()
    made: list[bytes] = []

    def decide(call: Call) -> None:
        name = call.file_name()
        if call.name in calls.OPENING:
            if not renamed.is_set() and call.device() == device and len(name) == 3 and name.startswith(b"s"):
                renamed.set()
                for number in range(count):
                    os.rename(f"{top}/s{number:02d}", f"{top}/t{number:02d}")
        elif len(name) == 3 and name.startswith(b"t") and call.device() != device:
            made.append(name)
            time.sleep(0.05)  # whoever works in the same directory gets there meanwhile

    asked = (*calls.OPENING, "mkdir", "mkdirat")
    supervise(pair.arguments("backup", "--workers", "8"), asked, decide).expect(0)
    assert renamed.is_set()
    assert sorted(made) == sorted({b"t%02d" % number for number in range(count)})
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
    pair.verify("--all")


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("hard_links", [False, True], ids=["plain", "hard links"])
def test_directories_move_while_fpart_lists(hard_links: bool, always: bool, history: History, scratch: str) -> None:
    """Then fpart gives up: it is called again, and in the end the compare does what fpsync has not."""
    pair = history.pair
    for number in range(40):
        make_plain(f"{pair.source}/d{number:02}", 3)
    os.mkdir(f"{pair.source}/elsewhere")
    if hard_links:
        write(f"{pair.source}/one name", b"of two", mtime_ns=OLD_NS)
        os.link(f"{pair.source}/one name", f"{pair.source}/other name")
    listing: set[int] = set()

    def decide(call: Call) -> None:
        """Move the directory that fpart is in; it comes back to where it is not any more."""
        inside = call.path().split(b"/")[2:-1]
        if len(inside) != 1 or not inside[0].startswith(b"d") or (listing and not always):
            return
        with open(f"/proc/{call.thread}/comm") as file:
            if file.read().strip() == "fpart":
                listing.add(call.thread)
                name = os.fsdecode(inside[0])
                os.rename(f"{pair.source}/{name}", f"{pair.source}/elsewhere/{name}")

    arguments = pair.arguments("backup", "--log-dir", scratch)
    finished = supervise(arguments, calls.LOOKING, decide).expect(0)
    with open(f"{scratch}/fpsync.log") as log:
        given_up = log.read().count("Fpart exited with errors")
    if hard_links:
        assert given_up == (3 if always else 1)
    else:
        # fpsync moves what is listed meanwhile, and is not called again if it has moved something.
        assert given_up, "fpart has listed everything: this has shown nothing"
    assert finished.report["unreadable"] == []
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
    pair.verify("--all")
