"""What workers are given and what they give back. All of it can be pickled, and any task can be done twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import NamedTuple

from efs_backup.pure.compare import Rule
from efs_backup.pure.layout import ancestors
from efs_backup.pure.links import GroupPlan, Sighting
from efs_backup.pure.records import Record


class Trees(NamedTuple):
    """The trees and files a worker opens when it starts; paths are those of this machine.

    `fill_turn` is (turn, turns): which part of the files that lack a checksum is read tonight.
    """

    source: str
    staging: str
    trash: str
    source_device: int
    source_inode: int
    rule: Rule = Rule()
    base: str | None = None
    base_manifest: str | None = None
    spare_manifest: str | None = None
    progress: str | None = None
    copied: str | None = None
    shared_in_base: frozenset[int] = frozenset()
    """Inodes that have several names within a base that has no manifest to say so."""
    other_mounts: frozenset[str] = frozenset()
    fill_turn: tuple[int, int] = (0, 1)


class Mode(Enum):
    """How a directory is worked on."""

    COMPARE = "compare"
    AGAIN = "again"
    """Compare once more: it changed, or a subdirectory was gone when its turn came. Only subdirectories that are new in
    staging follow."""
    CARRY = "carry"
    """The source cannot be read: take everything from the base."""


class DirectoryTask(NamedTuple):
    """One directory to be brought to what the source has; `attempt` counts how often it was begun."""

    path: str
    mode: Mode = Mode.COMPARE
    attempt: int = 0
    known: tuple[bytes, ...] = ()
    """Blocks of what an earlier part of this very task did."""


class Group(NamedTuple):
    """The names of one source inode, to be made one inode in staging.

    `may_use` says that the inode of the backup which the leader could be belongs to no other source inode.
    """

    plan: GroupPlan
    may_use: bool


class GroupTask(NamedTuple):
    """Some groups whose leaders lie near each other."""

    groups: tuple[Group, ...]


class FinishTask(NamedTuple):
    """A directory whose groups of hard links are done: its block (as it stands) and the records to put into it."""

    path: str
    bucket: int
    block: bytes
    additions: dict[str, Record | None]
    """None for a name that could neither be read nor carried over."""


class ScanTask(NamedTuple):
    """A directory of the source to be listed, before fpsync moves the bulk."""

    path: str


class EmptyTask(NamedTuple):
    """A directory of the trash whose files are to be unlinked; the path is relative to the trash."""

    path: str


class RemoveTask(NamedTuple):
    """A tree of the trash that holds nothing but directories, to be removed; the path is relative to the trash."""

    path: str


class Checking(NamedTuple):
    """What the workers of a verify open: one snapshot, its manifest, that of the next newer one, and the source.

    What the newer one has under the same name, inode and checksum was read a moment ago, and is not read again;
    `damaged` are the inodes that were found damaged there.
    """

    snapshot: str
    inode: int
    manifest: str
    newer: str | None
    source: str | None
    damaged: frozenset[int]


class CheckTask(NamedTuple):
    """A directory of a snapshot to be held against its manifest."""

    path: str


class Restoring(NamedTuple):
    """What the workers of a restore open: the directory of the snapshot, that of the live tree, and the manifest.

    `prefix` is the path of the restored directory in the snapshot, and so in its manifest.
    """

    snapshot: str
    snapshot_inode: int
    target: str
    target_device: int
    target_inode: int
    manifest: str | None
    prefix: str
    copied: str | None
    same_file_system: bool
    delete: bool
    dry_run: bool


class RestoreTask(NamedTuple):
    """A directory to be restored, relative to the restored one; `only` names what of it, where not all of it.

    `missing` says that it does not exist yet in the live tree (in a preview it never will).
    """

    path: str
    only: frozenset[str] | None = None
    missing: bool = False


class RestoreGroupTask(NamedTuple):
    """The names of one inode of the snapshot, to be one inode in the live tree."""

    plan: GroupPlan


class SettleTask(NamedTuple):
    """A directory of the live tree that is done but for its own attributes: it is given those of the snapshot's."""

    path: str


def next_round(again: Iterable[DirectoryTask]) -> tuple[list[DirectoryTask], list[DirectoryTask]]:
    """Return what can be looked at again side by side, and what must wait for the round after.

    Two workers in one directory of staging would undo one another's work, so no directory comes twice, and none comes
    with a directory above it, which may put it away. Where a directory was named more than once, the widest look wins
    (COMPARE also follows the old subdirectories), and the largest number of attempts.
    """
    wanted: dict[str, DirectoryTask] = {}
    for task in again:
        other = wanted.get(task.path, task)
        wider = task if task.mode is Mode.COMPARE else other
        wanted[task.path] = wider._replace(attempt=max(task.attempt, other.attempt))
    later = [path for path in wanted if any(above in wanted for above in ancestors(path))]
    return [task for path, task in wanted.items() if path not in set(later)], [wanted[path] for path in later]


Task = (
    CheckTask
    | RestoreTask
    | RestoreGroupTask
    | SettleTask
    | DirectoryTask
    | GroupTask
    | FinishTask
    | ScanTask
    | EmptyTask
    | RemoveTask
)


class BlockResult(NamedTuple):
    """One finished block, with how many files and bytes it holds."""

    path: str
    bucket: int
    payload: bytes
    files: int
    bytes: int


@dataclass(slots=True)
class Outcome:
    """What came of one or more tasks. Paths are relative to the source."""

    blocks: list[BlockResult] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    again: list[DirectoryTask] = field(default_factory=list)
    """Directories to be looked at once more, when all that is under way has ended."""
    busy: list[str] = field(default_factory=list)
    """Files in staging that are to go and cannot, for this machine has them open (see flow/rebuild.py)."""
    sightings: list[Sighting] = field(default_factory=list)
    members: list[tuple[Sighting, Record | None]] = field(default_factory=list)
    sparse: list[str] = field(default_factory=list)
    """Files of the source that have holes."""
    removed: list[str] = field(default_factory=list)
    """Directories put away of which an earlier attempt may have noted blocks."""
    unreadable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    other_mounts: list[str] = field(default_factory=list)
    split_groups: list[str] = field(default_factory=list)
    not_kept: list[tuple[str, str]] = field(default_factory=list)
    scanned: int = 0
    scanned_bytes: int = 0
    directories: int = 0
    transferred: int = 0
    bytes_transferred: int = 0
    linked: int = 0
    kept: int = 0
    deleted: int = 0
    link_limit_copies: int = 0
    checksums_missing: int = 0
    checked: int = 0
    unverified: int = 0
    mismatches: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    deletions: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    set_aside: list[tuple[str, str]] = field(default_factory=list)

    def unfinished(self) -> Outcome:
        """Return the part of this outcome that stays true when the task is begun again."""
        return Outcome(
            blocks=self.blocks, tasks=self.tasks, busy=self.busy, removed=self.removed, transferred=self.transferred,
            bytes_transferred=self.bytes_transferred, linked=self.linked, link_limit_copies=self.link_limit_copies,
        )  # fmt: skip

    def add(self, other: Outcome) -> None:
        """Take in what another outcome says."""
        for item in fields(self):
            mine = getattr(self, item.name)
            theirs = getattr(other, item.name)
            if isinstance(mine, list):
                mine.extend(theirs)
            else:
                setattr(self, item.name, mine + theirs)
