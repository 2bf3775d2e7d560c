"""Does what was decided for one name: keeps, links, reads or copies it, or carries it over."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Collection
from contextlib import ExitStack
from copy import copy as copy_of
from dataclasses import dataclass, field
from typing import TypeVar

from efs_backup.effects import copy, tree
from efs_backup.effects.copy import Copied, SourceReadError, VanishedError
from efs_backup.flow.task import Outcome
from efs_backup.flow.workbench import Workbench, readdirs
from efs_backup.pure.compare import Action, Decision
from efs_backup.pure.errors import explain
from efs_backup.pure.layout import join
from efs_backup.pure.links import renewal_due
from efs_backup.pure.records import CARRIED, KEPT_FIELDS, RESTLESS, XATTRS, Attributes, Record, is_regular

_LINK_REFUSED = frozenset({errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})
_NODE_REFUSED = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})

_T = TypeVar("_T")


class ChangedUnderneath(Exception):  # noqa: N818  not an error: the directory is looked at again
    """The directory is not what its listing said; it must be listed again."""


@dataclass(slots=True)
class Here:
    """One directory being worked on: its descriptors, what staging has in it, and what came of it so far."""

    bench: Workbench
    path: str
    source: int
    staging: int
    held: dict[str, tuple[int, ...]]
    outcome: Outcome
    resources: ExitStack
    records: dict[str, Record] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    touched: bool = False
    unlinked: bool = False
    by_tool: set[str] = field(default_factory=set)
    """Names that fpsync put here in this run."""
    links_expected: int = 0
    names_in_base: int = 0
    names_of_inode: int = 1
    """How many links the inode being worked on gets in this snapshot."""
    _base: int = -1
    status: os.stat_result = field(init=False)
    """What fstat said of the directory in staging before anything was done in it."""

    def __post_init__(self) -> None:
        """Look at the directory in staging."""
        self.status = os.fstat(self.staging)

    def base(self) -> int:
        """Return a descriptor of this directory in the base, opened when it is first needed.

        It is listed if that asks the server less than a LOOKUP for each name that will be linked.
        """
        if self._base < 0:
            listed = self.links_expected > readdirs(self.names_in_base)
            self._base = self.resources.enter_context(self.bench.base_directory(self.path, listed))
            if listed:
                os.listdir(self._base)
        return self._base

    def look_in_base(self, name: str) -> Attributes | None:
        """Return the attributes of a name in the base; None also where somebody took its directory out of it."""
        try:
            return tree.look_at(self.base(), name)
        except OSError as error:
            if error.errno in tree.GONE:
                return None
            raise

    def clear(self, name: str) -> None:
        """Remove what staging has under a name; it may have other links, so nothing else is ever done to it."""
        if self.held.pop(name, None) is not None:
            try:
                tree.unlink(self.staging, name)
            except OSError as error:
                if error.errno != errno.EBUSY or not name.startswith(".nfs"):
                    raise
                # An earlier run left it, and this machine has it open still: its directory is rebuilt later.
                self.outcome.busy.append(self.shown(name))
            self.unlinked = True
        self.touched = True

    def count_kept(self, name: str, record: Record) -> None:
        """Count a name that staging has already: kept, or transferred if it was fpsync who put it there."""
        if name in self.by_tool:
            self.outcome.transferred += 1
            self.outcome.bytes_transferred += record.size if is_regular(record.mode) else 0
        else:
            self.outcome.kept += 1

    def shown(self, name: str) -> str:
        """Return the path of a name as a person reads it."""
        return join(self.path, name)

    def beside(self) -> Here:
        """Return the same directory for another thread: what staging has in it is shared, what comes of it is not."""
        other = copy_of(self)
        other.outcome, other.records, other.absent = Outcome(), {}, []
        return other

    def join(self, other: Here) -> None:
        """Take in what came of the directory in another thread."""
        self.outcome.add(other.outcome)
        self.records.update(other.records)
        self.absent.extend(other.absent)
        self.touched |= other.touched
        self.unlinked |= other.unlinked


def for_each_name(here: Here, items: Collection[_T], act: Callable[[Here, _T], None]) -> None:
    """Call act for each item of a directory; many are done side by side, each thread with a Here of its own.

    What came of them joins `here` in the end, also when act fails for one: then no further is begun, and the error
    goes up.
    """
    if not here.bench.helpers.wanted(len(items)):
        for item in items:
            act(here, item)
        return
    beside: list[Here] = []

    def begin() -> Callable[[_T], None]:
        mine = here.beside()
        beside.append(mine)
        return lambda item: act(mine, item)

    try:
        here.bench.helpers.for_each(items, begin)
    finally:
        for other in beside:
            here.join(other)


def carry_out(here: Here, name: str, entry: Attributes, decision: Decision, base: Record | None) -> None:
    """Make a name of staging what the source has, and note its record.

    `base` is the base's record, taken over where the source cannot be read. Raises ChangedUnderneath if the source
    now has something of another type under that name, or the whole directory is gone.
    """
    try:
        record = _act(here, name, entry, decision)
    except SourceReadError as error:
        if error.errno == errno.ESTALE and not tree.same_directory(here.bench.source, here.path, here.source):
            raise ChangedUnderneath from error
        carry_over(here, name, base)
        return
    except VanishedError:
        _vanished(here, name)
        return
    if record is None:
        here.absent.append(name)
        return
    here.records[name] = record
    if record.flags & RESTLESS or (record.ctime_ns, record.ino) != (entry.ctime_ns, entry.ino):
        here.outcome.changed.append(here.shown(name))
    if record.flags & XATTRS:
        here.outcome.not_kept.append((here.shown(name), "extended attributes"))


def _act(here: Here, name: str, entry: Attributes, decision: Decision) -> Record | None:
    record = decision.record
    if record is None or decision.action is Action.COPY:
        return copy_here(here, name, entry)
    if decision.action is Action.READ:
        confirmed = _confirmed(here, name, entry, decision)
        if confirmed is None:
            if name in here.by_tool:
                # It has changed since fpsync copied it in this very run.
                here.outcome.changed.append(here.shown(name))
            return copy_here(here, name, entry)
        record = confirmed
    else:
        detail = record.detail or copy.read_detail(here.source, name, entry)
        record = Record(*entry, record.bino, record.flags & ~CARRIED, record.checksum, detail)
    if decision.in_staging or _is_held(here, name, record):
        here.count_kept(name, record)
        return record
    return record if link_from_base(here, name, record) else copy_here(here, name, entry)


def _is_held(here: Here, name: str, record: Record) -> bool:
    held = here.held.get(name)
    return held is not None and held[KEPT_FIELDS] == record.bino and held[:KEPT_FIELDS] == record[:KEPT_FIELDS]


def _vanished(here: Here, name: str) -> None:
    """The name was listed, and is gone or something else now."""
    there = tree.look_at(here.source, name)
    if there is not None:
        raise ChangedUnderneath
    here.clear(name)


def _confirmed(here: Here, name: str, entry: Attributes, decision: Decision) -> Record | None:
    """Read a suspicious source entry; return its record if the backup's inode still is what it should be."""
    expected = decision.record
    assert expected is not None
    if not is_regular(entry.mode):
        detail = copy.read_detail(here.source, name, entry)
        return (
            expected._replace(ctime_ns=entry.ctime_ns, ino=entry.ino, nlink=entry.nlink, flags=0)
            if detail == expected.detail
            else None
        )
    reading = copy.read_source(here.source, name, here.bench.flag.check)
    checksum = expected.checksum or _checksum_in_backup(here, name, decision)
    if reading.changed or reading.checksum != checksum or reading.entry[:KEPT_FIELDS] != expected[:KEPT_FIELDS]:
        return None
    return Record(*reading.entry, expected.bino, XATTRS if reading.xattrs else 0, checksum, b"")


def _checksum_in_backup(here: Here, name: str, decision: Decision) -> bytes:
    """Return the MD5 of what the backup holds for a name that has no checksum yet; b"" if it cannot be read."""
    try:
        return checksum_of(here.staging if decision.in_staging else here.base(), name, here.bench.flag.check)
    except OSError:
        return b""


def checksum_of(directory: int, name: str, check: Callable[[], None]) -> bytes:
    """Return the MD5 of a file of the backup; raise OSError if it cannot be read."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := os.read(descriptor, copy.CHUNK):
            digest.update(chunk)
            check()
        return digest.digest()
    finally:
        os.close(descriptor)


def link_from_base(here: Here, name: str, record: Record) -> bool:
    """Link the base's inode under a name; tell whether that could be done.

    It cannot where the base's copy is not what its manifest says, where the file system refuses one more link, or
    where the link budget says that it is this file's turn to move to a new inode.
    """
    there = here.look_in_base(name)
    if there is None or there.ino != record.bino or there[:KEPT_FIELDS] != record[:KEPT_FIELDS]:
        return False
    if renewal_due(there.nlink, here.names_of_inode, zlib.crc32(os.fsencode(here.shown(name)))):
        here.outcome.link_limit_copies += 1
        return False
    here.clear(name)
    return link_counted(here, here.base(), name, name, record.bino)


def link_counted(here: Here, source: int, old: str, new: str, bino: int) -> bool:
    """Link an inode of the backup into this directory; tell whether the file system took it. Counts either way."""
    try:
        tree.link(source, old, here.staging, new, bino)
    except OSError as error:
        if error.errno not in _LINK_REFUSED:
            raise explain(error, here.shown(new)) from error
        here.outcome.link_limit_copies += error.errno == errno.EMLINK
        return False
    here.outcome.linked += 1
    return True


def copy_here(here: Here, name: str, entry: Attributes) -> Record | None:
    """Copy a source entry into this directory as a new inode; None for a node the file system does not take."""
    here.clear(name)
    try:
        copied: Copied = copy.copy_entry(here.source, here.staging, name, entry, here.bench.flag.check)
    except OSError as error:
        special = not (is_regular(entry.mode) or stat.S_ISLNK(entry.mode))
        if special and error.errno in _NODE_REFUSED:
            reason = f"the backup file system does not take such an entry ({error.strerror})"
            here.outcome.not_kept.append((here.shown(name), reason))
            return None
        raise explain(error, here.shown(name)) from error
    here.outcome.transferred += 1
    here.outcome.bytes_transferred += copied.bytes_written
    return copied.record


def carry_over(here: Here, name: str, base: Record | None) -> None:
    """Take what the base has for a name that the source does not let us read; nothing is dropped for that."""
    here.outcome.unreadable.append(here.shown(name))
    record = carried(here, name, base) if base is not None else None
    if record is None:
        here.clear(name)
        here.absent.append(name)
    else:
        here.records[name] = record


def carried(here: Here, name: str, base: Record) -> Record | None:
    """Have staging hold the base's inode under a name, by a copy where it cannot be linked; return its record."""
    record = base._replace(flags=base.flags | CARRIED)
    if _is_held(here, name, record):
        here.outcome.kept += 1
        return record
    there = here.look_in_base(name)
    if there is None:
        return None
    here.clear(name)
    if link_counted(here, here.base(), name, name, there.ino):
        return record._replace(bino=there.ino)
    try:
        copied = copy.copy_entry(here.base(), here.staging, name, there, here.bench.flag.check)
    except OSError as error:
        raise explain(error, here.shown(name)) from error
    except (SourceReadError, VanishedError):
        return None
    here.outcome.transferred += 1
    here.outcome.bytes_transferred += copied.bytes_written
    return record._replace(bino=copied.record.bino, checksum=copied.record.checksum or record.checksum)
