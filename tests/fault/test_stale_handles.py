"""Over NFS what another client removes is stale to those who have it open: it is gone or replaced, not unreadable."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import Finished
from tests.support.faults import Call, Decision, Fail, supervise
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import OLD_NS, write

ASKED = (*calls.LOOKING, *calls.LISTING, *calls.READING, *calls.OPENING, "fstat", "readlinkat")


def stale_night(history: History, meanwhile: Callable[[Call], None], *options: str) -> Finished:
    """A night on a source that answers as one on NFS: ESTALE to each call on what is gone but still open.

    `meanwhile` is called before each call on the source, and is the other client.
    """
    source = os.stat(history.pair.source).st_dev

    def decide(call: Call) -> Decision:
        if call.device() == source:
            meanwhile(call)
        deleted = b" (deleted)" in call.path() and call.path().startswith(os.fsencode(history.pair.source))
        return Fail(errno.ESTALE) if deleted else None

    finished = supervise(history.pair.arguments("backup", "--retain", "1", *options), ASKED, decide)
    assert finished.status in (0, 1), finished
    assert finished.stdout, finished
    history.check()
    history.record()
    return finished


def make_tree(source: str) -> None:
    for directory in ("a", "b", "b/c"):
        for number in range(20):
            write(f"{source}/{directory}/{number:02}", content(number, 3000), mtime_ns=OLD_NS)
    write(f"{source}/stays", b"so that the source is never empty")
    write(f"{source}/b/linked", b"two names", mtime_ns=OLD_NS)
    os.link(f"{source}/b/linked", f"{source}/b/c/linked")


@pytest.fixture
def changed(history: History) -> History:
    """A history of some nights, and a source with changes in all its directories."""
    make_tree(history.pair.source)
    for _ in range(2):
        history.night("--retain", "1")
        for directory in ("a", "b", "b/c"):
            write(f"{history.pair.source}/{directory}/07", os.urandom(3000))
        write(f"{history.pair.source}/b/linked", os.urandom(3000))
    return history


def once(name: bytes, kinds: tuple[str, ...], act: Callable[[], None], number: int = 1) -> Callable[[Call], None]:
    """Act at the first (or other) call of some kinds on what has a name."""
    met = 0

    def meanwhile(call: Call) -> None:
        nonlocal met
        if call.name in kinds and call.path().endswith(name):
            met += 1
            if met == number:
                act()

    return meanwhile


@pytest.mark.parametrize("kinds", [calls.OPENING, calls.READING, ("newfstatat", "fstat")], ids=["open", "read", "look"])
def test_a_file_that_is_replaced_while_it_is_read_arrives_as_it_is_now(
    kinds: tuple[str, ...], changed: History
) -> None:
    path = f"{changed.pair.source}/b/07"

    def replace() -> None:
        write(f"{path}.new", b"saved by an editor")
        os.rename(f"{path}.new", path)

    finished = stale_night(changed, once(b"/source/b/07", kinds, replace))
    assert (finished.status, finished.report["unreadable"]) == (0, []), finished.report
    with open(f"{changed.pair.snapshot()}/b/07", "rb") as file:
        assert file.read() == b"saved by an editor"
    changed.night("--retain", "1")


@pytest.mark.parametrize("kinds", [calls.OPENING, calls.READING, ("newfstatat", "fstat")], ids=["open", "read", "look"])
def test_a_file_that_is_removed_while_it_is_read_is_gone(kinds: tuple[str, ...], changed: History) -> None:
    path = f"{changed.pair.source}/b/07"
    finished = stale_night(changed, once(b"/source/b/07", kinds, lambda: os.unlink(path)))
    assert (finished.status, finished.report["unreadable"]) == (0, []), finished.report
    assert not os.path.exists(f"{changed.pair.snapshot()}/b/07")
    changed.night("--retain", "1")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        (b"/source/b", calls.OPENING),
        (b"/source/b", calls.LISTING),
        (b"/source/b", ("newfstatat", "fstat")),
        (b"/source/b/07", calls.OPENING),
        (b"/source/b/07", calls.READING),
        (b"/source/b/11", calls.LOOKING),
        (b"/source/b/c", calls.OPENING),
        (b"/source/b/c/07", calls.OPENING),
    ],
)
def test_a_directory_that_is_removed_while_it_is_worked_on_is_gone(
    name: bytes, kinds: tuple[str, ...], changed: History
) -> None:
    pair = changed.pair
    finished = stale_night(changed, once(name, kinds, lambda: shutil.rmtree(f"{pair.source}/b")), "--workers", "16")
    assert not os.path.exists(f"{pair.source}/b"), "it was never reached"
    assert (finished.status, finished.report["unreadable"]) == (0, []), finished.report
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
    changed.night("--retain", "1")
    pair.verify("--all")


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("stale", [True, False], ids=["network", "local"])
def test_a_directory_with_hard_links_is_removed_after_the_walk(stale: bool, number: int, changed: History) -> None:
    """Its directory is opened a second time when its files with several names have their turn."""
    pair = changed.pair
    os.link(f"{pair.source}/b/linked", f"{pair.source}/stays too")
    with open(f"{pair.source}/b/linked", "r+b") as file:
        file.write(b"changed")
    remove = once(b"/source/b/c", calls.OPENING, lambda: shutil.rmtree(f"{pair.source}/b/c"), number)
    if stale:
        finished = stale_night(changed, remove)
    else:
        source = os.stat(pair.source).st_dev
        finished = supervise(
            pair.arguments("backup", "--retain", "1"),
            calls.OPENING,
            lambda call: remove(call) if call.device() == source else None,
        )
        changed.record()
    assert (finished.status, finished.report["unreadable"]) == (0, []), finished.report
    names = ["b/linked", "stays too"]
    assert len({os.stat(f"{pair.snapshot()}/{name}").st_ino for name in names}) == 1
    with open(f"{pair.snapshot()}/b/linked", "rb") as file:
        assert file.read(7) == b"changed"
    changed.night("--retain", "1")
    pair.verify("--all")


def test_a_tree_that_is_removed_while_its_depths_are_looked_at_is_gone(history: History) -> None:
    """However deep: the directory above which still stands decides."""
    pair, deep = history.pair, "/".join("abcdefgh")
    write(f"{pair.source}/top/{deep}/file", b"deep down", mtime_ns=OLD_NS)
    write(f"{pair.source}/top/beside", b"stays")
    for _ in range(2):
        history.night("--retain", "1")
    end = f"/source/top/{deep}".encode()
    finished = stale_night(history, once(end, calls.LISTING, lambda: shutil.rmtree(f"{pair.source}/top/a")))
    assert not os.path.exists(f"{pair.source}/top/a"), "it was never reached"
    assert (finished.status, finished.report["unreadable"]) == (0, []), finished.report
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
    history.night("--retain", "1")


@pytest.mark.parametrize("seed", range(4))
def test_much_is_removed_and_replaced_while_a_night_runs(seed: int, changed: History) -> None:
    pair, chance = changed.pair, random.Random(seed)

    def meanwhile(call: Call) -> None:
        if chance.random() > 0.05:
            return
        where = f"{pair.source}/{chance.choice(['a', 'b', 'b/c'])}"
        name = f"{where}/{chance.randrange(20):02}"
        what = chance.randrange(4)
        if what == 0:
            shutil.rmtree(where, ignore_errors=True)
        elif what == 1 and os.path.isfile(name):
            os.unlink(name)
        else:
            write(f"{where}/new", content(what, 100))
            if what == 2 and not os.path.isdir(name):
                os.rename(f"{where}/new", name)

    stale_night(changed, meanwhile, "--workers", chance.choice(["1", "8"]))
    changed.night("--retain", "1")
    pair.verify("--all")
