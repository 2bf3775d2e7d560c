"""A small pair of trees in the middle of its life, that can be put back: where faults are swept over every step."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support import calls
from tests.support.changes import content, overwrite
from tests.support.command import Pair
from tests.support.faults import KILL, Call, Decision
from tests.support.filesystems import detach, ext4, mount, two_file_systems
from tests.support.history import History
from tests.support.tree import Tree, assert_same, snapshot_of
from tests.support.zoo import OLD_NS, write

MODIFYING = calls.MODIFYING + calls.OPENING


class Night:
    """A source that has changed since its last backup, and what the backup was then.

    The backup lies on an image that can be put back as it was, inode numbers and all.
    """

    def __init__(self, pair: Pair, image: str, retain: int, nights: int) -> None:
        """``nights`` backups with ``retain`` kept; then the source changes once more."""
        self.pair, self.retain = pair, retain
        self.saved, self.copies = f"{image}.saved", 0
        first_tree(pair.source)
        self.history = History(pair)
        for night in range(nights):
            change_tree(pair.source, night)
            self.history.night("--retain", str(retain))
        self.before = [snapshot["id"] for snapshot in self.history.record()]
        change_tree(pair.source, nights)
        self.wanted: Tree = snapshot_of(pair.source)
        detach(pair.backup)
        os.rename(image, self.saved)
        self._mount_copy()

    def put_back(self) -> None:
        """Make the backup file system what it was before the night."""
        detach(self.pair.backup)
        self._mount_copy()

    def _mount_copy(self) -> None:
        """A copy under a new name each time: a run that was killed may hold the old one a moment longer."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.saved}.{self.copies}")
        self.copies += 1
        copy = f"{self.saved}.{self.copies}"
        subprocess.run(["cp", "--sparse=always", self.saved, copy], check=True)
        mount("-o", "loop", copy, self.pair.backup)

    @property
    def arguments(self) -> tuple[str | bytes, ...]:
        """The command line of the night's run."""
        return self.pair.arguments("backup", "--retain", str(self.retain))

    def check_snapshots(self, when: str) -> list[str]:
        """What is listed must be whole: old snapshots as they were, a new one as the source is. Return the ids."""
        listed = self.pair.list()
        for snapshot in listed:
            wanted = self.history.seen.get(snapshot["id"], self.wanted)
            assert_same(wanted, snapshot_of(snapshot["path"]), what=f"{when}, snapshot {snapshot['number']}")
        ids = [snapshot["id"] for snapshot in listed]
        assert [snapshot["number"] for snapshot in listed] == list(range(len(ids))), when
        new = [number for number, id_ in enumerate(ids) if id_ not in self.before]
        assert new in ([], [0]), f"{when}: {ids} after {self.before}"
        kept = len(self.before) if not new else min(self.retain, len(self.before) + 1)
        assert len(ids) >= kept, f"{when}: only {ids} are left of {self.before}"
        assert ids[len(new) :] == self.before[: len(ids) - len(new)], when
        return ids

    def check_next(self, when: str) -> None:
        """The next run finishes or undoes what was begun; its snapshot is exact and can be verified."""
        finished = self.pair.run("backup", "--retain", str(self.retain))
        assert finished.status == 0, f"{when}, the next run: {finished.stderr}"
        ids = [snapshot["id"] for snapshot in self.pair.list()]
        assert ids[0] == finished.report["id"], when
        assert len(ids) <= self.retain, when
        assert self.pair.published() == {f"daily.{number}" for number in range(len(ids))}, when
        for number, id_ in enumerate(ids):
            wanted = self.history.seen.get(id_, self.wanted)
            assert_same(wanted, snapshot_of(self.pair.snapshot(number)), what=f"{when}, after the next run, {number}")
        checked = self.pair.run("verify")
        assert checked.status == 0, f"{when}, verify: {checked.stderr} {checked.stdout!r}"


def first_tree(root: str) -> None:
    """A dozen entries of several kinds."""
    for name in ("a/one", "a/two", "b/three", "b/c/four"):
        write(f"{root}/{name}", content(len(name), 2000), mtime_ns=OLD_NS)
    os.link(f"{root}/a/one", f"{root}/b/again")
    os.symlink("three", f"{root}/b/link")
    os.mkdir(f"{root}/empty")


def change_tree(root: str, night: int) -> None:
    """A file changed, one overwritten under its old time, one new, one gone, a mode, a rename."""
    write(f"{root}/a/two", content(night, 1500 + night))
    overwrite(f"{root}/b/three", 100 + night)
    write(f"{root}/b/new-{night}", b"%d" % night)
    os.chmod(f"{root}/b/c/four", 0o600 + night % 2)
    if night:
        os.unlink(f"{root}/b/new-{night - 1}")
        os.rename(f"{root}/renamed-{night - 1}", f"{root}/renamed-{night}")
    else:
        os.rename(f"{root}/empty", f"{root}/renamed-0")


@contextmanager
def night_of(retain: int, nights: int) -> Iterator[Night]:
    """A :class:`Night` on file systems of its own."""
    with two_file_systems() as (source, images):
        image, backup = f"{images}/image", f"{images}/backup"
        with ext4(backup, image, 64):
            yield Night(Pair(source, backup), image, retain, nights)


class Numbered:
    """Decides by the number of the call among those that modify the backup file system; remembers what they were."""

    def __init__(
        self, pair: Pair, decide: Callable[[int, Call], Decision], *, asked: tuple[str, ...] = MODIFYING
    ) -> None:
        """``decide`` is asked about the number, counted from 1, and the call."""
        self.device = os.stat(pair.backup).st_dev
        self.decide, self.asked = decide, asked
        self.count = 0
        self.last = ""

    def __call__(self, call: Call) -> Decision:
        """Count, then decide."""
        if call.name not in self.asked or not call.modifies or call.device() != self.device:
            return None
        self.count += 1
        decision = self.decide(self.count, call)
        if decision is not None:
            self.last = f"{call.name} {call.path()!r} as the {self.count}. call"
        return decision


def at(number: int, decision: Decision) -> Callable[[int, Call], Decision]:
    """This decision for the call with this number, for a :class:`Numbered`."""
    return lambda count, call: decision if count == number else None


def killed(pair: Pair, number: int) -> Numbered:
    """The run dies, all its processes at once, before its ``number``-th modifying call."""
    return Numbered(pair, at(number, KILL))
