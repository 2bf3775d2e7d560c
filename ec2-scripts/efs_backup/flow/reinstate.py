"""Brings one directory of the live tree back to what a snapshot has.

Nothing of the live tree is written in place: a file that differs becomes a new inode, made under a name of its own and
renamed, so that a hard link elsewhere keeps what it has. What is only in the live tree stays, unless asked otherwise.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import NamedTuple

from efs_backup.effects import copy, tree
from efs_backup.effects.copy import SourceReadError, VanishedError, read_detail
from efs_backup.effects.frames import FrameReader
from efs_backup.effects.manifest import Manifest
from efs_backup.effects.stop import StopFlag
from efs_backup.effects.tree import Listing, list_retried
from efs_backup.flow.entry import checksum_of
from efs_backup.flow.helpers import Helpers
from efs_backup.flow.task import (
    Outcome,
    RestoreGroupTask,
    RestoreTask,
    Restoring,
    SettleTask,
)
from efs_backup.flow.workbench import finished_files
from efs_backup.pure.errors import BackupError, explain
from efs_backup.pure.fpsync import CopiedFile
from efs_backup.pure.layout import join
from efs_backup.pure.links import Sighting
from efs_backup.pure.records import (
    DIRECTORY_OTHER_MOUNT,
    DIRECTORY_UNREADABLE,
    KEPT_FIELDS,
    Attributes,
    Record,
    adopted_record,
    is_regular,
)

_TEMPORARY = ".efs-backup-restore-"
_LEFT_OVER = re.compile(re.escape(_TEMPORARY) + r"[0-9a-f]{16}")


class RestoreBench:
    """What a worker of a restore has open. Paths are relative to the restored directory, in both trees."""

    def __init__(self, trees: Restoring, flag: StopFlag, threads: int) -> None:
        """Open both trees; raise BackupError if one is no longer what it was."""
        self.trees, self.flag, self.helpers = trees, flag, Helpers(threads)
        self.snapshot = tree.open_root(trees.snapshot)
        self.target = tree.open_root(trees.target)
        there = os.fstat(self.target)
        if os.fstat(self.snapshot).st_ino != trees.snapshot_inode:
            raise BackupError(f"{trees.snapshot} was rotated away while it was opened: run again")
        if (there.st_dev, there.st_ino) != (trees.target_device, trees.target_inode):
            raise BackupError(f"{trees.target} is no longer the directory it was: nothing was restored, run again")
        self.manifest = Manifest(trees.manifest, trees.manifest) if trees.manifest else None
        self._copied = (
            FrameReader(os.open(trees.copied, os.O_RDONLY | os.O_CLOEXEC), trees.copied) if trees.copied else None
        )

    def records(self, path: str, listing: Listing) -> dict[str, Record]:
        """Return name -> record of a directory of the snapshot; from its listing where there is no manifest."""
        if self.manifest is not None:
            return self.manifest.records(join_prefix(self.trees.prefix, path), 0, 1)
        return {name: adopted_record(Attributes._make(look), look[7]) for name, look in listing.files.items()}

    def spared(self, path: str) -> tuple[set[str], bool]:
        """Return (names the snapshot could not read, whether that is so for the whole directory)."""
        block = self.manifest.packed(join_prefix(self.trees.prefix, path)) if self.manifest else None
        if block is None:
            return set(), False
        return set(block.absent), bool(block.directory.flags & (DIRECTORY_UNREADABLE | DIRECTORY_OTHER_MOUNT))

    def copied(self, path: str) -> dict[str, CopiedFile]:
        """Return name -> what rsync said of each file it restored into a directory."""
        return finished_files(self._copied, path)


def join_prefix(prefix: str, path: str) -> str:
    """Return the path in the snapshot of a path in the restored directory."""
    return f"{prefix}/{path}" if prefix and path else prefix or path


@dataclass(slots=True)
class _Place:
    """A directory of the snapshot and its counterpart in the live tree (-1 where that does not exist)."""

    bench: RestoreBench
    path: str
    snapshot: int
    target: int
    outcome: Outcome
    touched: bool = False

    def shown(self, name: str) -> str:
        """Return the path of a name as a person reads it."""
        return join(self.path, name)

    def live(self, name: str) -> Attributes | None:
        """Return what the live tree has under a name."""
        return tree.look_at(self.target, name) if self.target >= 0 else None

    def fail(self, name: str, why: str) -> None:
        """Note that a name could not be restored."""
        self.outcome.failed.append((self.shown(name), why))


class _Entry(NamedTuple):
    """A name of the snapshot that is no directory, its record, and what the live tree has under it (lstat).

    `claimed` is the checksum of what rsync has just put there, b"" if it has not; `in_the_way` says that a directory of
    the live tree has had to make room.
    """

    name: str
    record: Record
    live: Attributes | None
    claimed: bytes
    in_the_way: bool


def restore_directory(bench: RestoreBench, task: RestoreTask, outcome: Outcome) -> None:
    """Restore one directory, without its subdirectories, which follow."""
    bench.flag.check()
    with ExitStack() as resources:
        place = _open(bench, task.path, task.missing, outcome, resources)
        if place is None:
            return
        listing = list_retried(place.snapshot)
        records = bench.records(task.path, listing)
        there = list_retried(place.target) if place.target >= 0 else Listing()
        for name, number in listing.failed.items():
            if name not in records and (task.only is None or name in task.only):
                place.fail(name, f"it cannot be looked at in the snapshot: {os.strerror(number)}")
        _drop_left_overs(place, there, records)
        if bench.trees.delete and task.only is None:
            _delete_surplus(place, there, listing)
        wanted = {name: record for name, record in records.items() if task.only is None or name in task.only}
        _restore_entries(place, task, wanted, there)
        _restore_subdirectories(place, task, listing, there)
        if task.only is None:
            _apply_attributes(place)
    outcome.directories += 1


def _restore_entries(place: _Place, task: RestoreTask, records: dict[str, Record], there: Listing) -> None:
    """Restore what is no directory; where there is much to read or write, side by side."""
    helpers, copied = place.bench.helpers, place.bench.copied(task.path)
    slow: list[_Entry] = []
    for name, record in records.items():
        place.bench.flag.check()
        in_the_way = name in there.directories
        if in_the_way:
            _clear_directory(place, name, there)
        entry = _entry(name, record, there, copied.get(name), in_the_way)
        if _is_right_at_a_glance(place, entry):
            _restore_entry(place, entry)
        else:
            slow.append(entry)
    if helpers.wanted(len(slow)) and task.only is None:
        # It is done again in the end; now, so that a restore that is cut off leaves no directory closed.
        _apply_attributes(place)
    beside: list[_Place] = []

    def begin() -> Callable[[_Entry], None]:
        mine = replace(place, outcome=Outcome())
        beside.append(mine)

        def restore(entry: _Entry) -> None:
            place.bench.flag.check()
            _restore_entry(mine, entry)

        return restore

    try:
        helpers.for_each(slow, begin)
    finally:
        for mine in beside:
            place.outcome.add(mine.outcome)
            place.touched |= mine.touched


def _entry(name: str, record: Record, there: Listing, copied: CopiedFile | None, in_the_way: bool) -> _Entry:
    look = there.files.get(name)
    live = Attributes._make(look) if look is not None else None
    claimed = copied.checksum if copied is not None and live is not None and live.nlink == 1 else b""
    return _Entry(name, record, live, claimed, in_the_way)


def _open(bench: RestoreBench, path: str, missing: bool, outcome: Outcome, resources: ExitStack) -> _Place | None:
    snapshot = resources.enter_context(tree.directory(bench.snapshot, path))
    target = -1
    if not missing:
        try:
            target = tree.open_directory(bench.target, path)
        except OSError as error:
            outcome.failed.append((path, f"it cannot be entered in the live tree: {error.strerror}"))
            return None
        resources.callback(os.close, target)
        if os.fstat(target).st_dev != bench.trees.target_device:
            outcome.other_mounts.append(path)
            return None
    return _Place(bench, path, snapshot, target, outcome)


def _drop_left_overs(place: _Place, there: Listing, records: dict[str, Record]) -> None:
    """Remove the half-made files of a restore that was killed."""
    for name in [n for n in there.files if _LEFT_OVER.fullmatch(n) and n not in records]:
        del there.files[name]
        if not place.bench.trees.dry_run:
            tree.unlink(place.target, name)
            place.touched = True


def _delete_surplus(place: _Place, there: Listing, listing: Listing) -> None:
    """Remove what the snapshot has not, but for what it could not read."""
    spared, all_spared = place.bench.spared(place.path)
    if all_spared:
        return
    wanted = {*listing.files, *listing.directories, *listing.failed, *spared}
    for name in sorted({*there.files, *there.directories} - wanted):
        _delete(place, name)
        there.files.pop(name, None)
        if name in there.directories:
            there.directories.remove(name)
    for name in there.failed.keys() - wanted:
        place.fail(name, f"it cannot be looked at in the live tree, so it stays: {os.strerror(there.failed[name])}")


def _delete(place: _Place, name: str) -> None:
    """Remove a name of the live tree with all that is in it; a mount in it is not touched."""
    bench, top = place.bench, place.shown(name)
    waiting, order = [name], []
    while waiting:
        at = waiting.pop()
        order.append(at)
        try:
            with tree.directory(place.target, at) as descriptor:
                if os.fstat(descriptor).st_dev != bench.trees.target_device:
                    place.outcome.other_mounts.append(place.shown(at))
                    return
                waiting.extend(join(at, entry) for entry in os.listdir(descriptor))
        except OSError as error:
            if error.errno not in tree.GONE:
                raise explain(error, top) from error
    place.outcome.deletions.extend(place.shown(at) for at in order)
    if bench.trees.dry_run:
        return
    for at in reversed(order):
        bench.flag.check()
        _remove_one(place, at)
    place.touched = True


def _remove_one(place: _Place, at: str) -> None:
    """Remove one name, whose directory is empty by now; somebody may have been quicker, or put something into it."""
    parent, _, name = at.rpartition("/")
    try:
        with tree.directory(place.target, parent) as descriptor:
            there = tree.look_at(descriptor, name)
            if there is not None and tree.is_directory(there.mode):
                os.rmdir(name, dir_fd=descriptor)
            elif there is not None:
                tree.unlink(descriptor, name)
    except OSError as error:
        if error.errno not in tree.GONE:
            place.fail(at, f"it could not be removed: {error.strerror}")


def _restore_entry(place: _Place, entry: _Entry) -> None:
    """Restore one non-directory; a name of several of its inode is left to its group if it is not right already."""
    name, record, live = entry.name, entry.record, entry.live
    outcome = place.outcome
    outcome.scanned += 1
    outcome.scanned_bytes += record.size if is_regular(record.mode) else 0
    right = live is not None and _is_right(place, entry, live)
    if right and place.bench.trees.copied:
        # The directory was empty before fpsync moved the bulk into it.
        outcome.created.append(place.shown(name))
        outcome.transferred += 1
        outcome.bytes_transferred += record.size if is_regular(record.mode) else 0
        outcome.kept -= 1
    if record.nlink > 1:
        ino = live.ino if live is not None and right else 0
        outcome.sightings.append(Sighting(record.bino, place.path, name, 0, 1, right, ino))
        outcome.kept += right
        return
    if right:
        outcome.kept += 1
    else:
        _put(place, name, record, live is not None or entry.in_the_way)


def _clear_directory(place: _Place, name: str, there: Listing) -> None:
    """Make room for a file where the live tree has a directory.

    What is in it is only in the live tree, so it stays, under another name, unless it is to be deleted.
    """
    there.directories.remove(name)
    if place.bench.trees.delete:
        _delete(place, name)
        return
    place.outcome.replaced.append(place.shown(name))
    with tree.directory(place.target, name) as descriptor:
        empty = not os.listdir(descriptor)
    if not empty:
        aside = f"{_shortened(name)}.before-restore-{secrets.token_hex(4)}"
        place.outcome.set_aside.append((place.shown(name), place.shown(aside)))
    if place.bench.trees.dry_run:
        return
    if empty:
        os.rmdir(name, dir_fd=place.target)
    else:
        os.rename(name, aside, src_dir_fd=place.target, dst_dir_fd=place.target)
    place.touched = True


def _shortened(name: str) -> str:
    """Return as much of a name as leaves room for what is put behind it (a name has at most 255 bytes)."""
    return os.fsdecode(os.fsencode(name)[:220])


def _is_right_at_a_glance(place: _Place, entry: _Entry) -> bool:
    """Tell whether the live tree is known to have what the snapshot has, with nothing to be read."""
    record, live = entry.record, entry.live
    if live is None or live[:KEPT_FIELDS] != record[:KEPT_FIELDS]:
        return False
    if place.bench.trees.same_file_system and (live.ctime_ns, live.ino) == (record.ctime_ns, record.ino):
        return True
    return is_regular(record.mode) and bool(entry.claimed) and entry.claimed == record.checksum


def _is_right(place: _Place, entry: _Entry, live: Attributes) -> bool:
    """Tell whether the live tree has what the snapshot has. Equal size and mtime is not equal: content is compared."""
    name, record, bench = entry.name, entry.record, place.bench
    if live[:KEPT_FIELDS] != record[:KEPT_FIELDS]:
        return False
    if _is_right_at_a_glance(place, entry):
        return True
    try:
        if not is_regular(record.mode):
            return read_detail(place.target, name, live) == _detail(place, name, record)
        checksum = record.checksum or checksum_of(place.snapshot, name, bench.flag.check)
        if entry.claimed:
            return entry.claimed == checksum
        return checksum_of(place.target, name, bench.flag.check) == checksum
    except (OSError, SourceReadError, VanishedError):
        # Whatever cannot be read is not what the snapshot has; putting it back says what is wrong if that fails too.
        return False


def _detail(place: _Place, name: str, record: Record) -> bytes:
    if record.detail or not (stat.S_ISLNK(record.mode) or stat.S_ISCHR(record.mode) or stat.S_ISBLK(record.mode)):
        return record.detail
    return read_detail(place.snapshot, name, Attributes._make(record[:8]))


def _put(place: _Place, name: str, record: Record, replaces: bool) -> bool:
    """Put a file of the snapshot into the live tree: made under a name of its own, checked, renamed."""
    outcome, bench = place.outcome, place.bench
    changed = outcome.replaced if replaces else outcome.created
    if bench.trees.dry_run:
        changed.append(place.shown(name))
        return True
    temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
    try:
        entry = tree.look_at(place.snapshot, name)
        if entry is None:
            raise VanishedError
        copied = copy.copy_entry(place.snapshot, place.target, name, entry, bench.flag.check, temporary, exclusive=True)
        if record.checksum and copied.record.checksum != record.checksum:
            tree.unlink(place.target, temporary)
            place.fail(
                name, "its content in the snapshot does not match its checksum: it is damaged there, and not restored"
            )
            return False
        _rename_over(place.target, temporary, name)
    except (SourceReadError, VanishedError) as error:
        place.fail(name, f"it cannot be read in the snapshot: {error}")
        return False
    except OSError as error:
        _give_up(place, temporary, name, error)
        return False
    place.touched = True
    changed.append(place.shown(name))
    outcome.transferred += 1
    outcome.bytes_transferred += copied.bytes_written
    return True


def _give_up(place: _Place, temporary: str, name: str, error: OSError) -> None:
    """One name that cannot be put back is named; a full file system ends the restore."""
    tree.unlink(place.target, temporary)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        raise explain(error, place.shown(name)) from error
    place.fail(name, f"it cannot be put back: {error.strerror}")


def _rename_over(descriptor: int, temporary: str, name: str) -> None:
    """Rename a finished file over what stands under its name. After a lost reply the inode decides."""
    made = os.stat(temporary, dir_fd=descriptor, follow_symlinks=False)
    try:
        os.replace(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    except FileNotFoundError:
        there = tree.look_at(descriptor, name)
        if there is None or there.ino != made.st_ino:
            raise


def _restore_subdirectories(place: _Place, task: RestoreTask, listing: Listing, there: Listing) -> None:
    """Make the subdirectories that are missing, and go on with all that are asked for."""
    for name in listing.directories:
        if task.only is not None and name not in task.only:
            continue
        missing = name not in there.directories
        if missing:
            _make_directory(place, name, replaces=name in there.files)
        elif place.bench.trees.copied:
            place.outcome.created.append(place.shown(name))
        nowhere = missing and place.bench.trees.dry_run
        if not missing or nowhere or place.live(name) is not None:
            place.outcome.tasks.append(RestoreTask(join(place.path, name), missing=nowhere))


def _make_directory(place: _Place, name: str, replaces: bool) -> None:
    (place.outcome.replaced if replaces else place.outcome.created).append(place.shown(name))
    if place.bench.trees.dry_run:
        return
    try:
        if replaces:
            tree.unlink(place.target, name)
        tree.make_directory(place.target, name)
    except OSError as error:
        place.fail(name, f"the directory cannot be made: {error.strerror}")
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise explain(error, place.shown(name)) from error
    place.touched = True


def _apply_attributes(place: _Place) -> None:
    """Give a directory of the live tree the attributes of the snapshot's."""
    if place.bench.trees.dry_run or place.target < 0:
        return
    wanted = os.fstat(place.snapshot)
    tree.apply_directory(
        place.target,
        os.fstat(place.target),
        wanted.st_mode,
        wanted.st_uid,
        wanted.st_gid,
        wanted.st_mtime_ns,
        touched=place.touched,
    )


def restore_group(bench: RestoreBench, task: RestoreGroupTask, outcome: Outcome) -> None:
    """Make the names of one inode of the snapshot one inode of the live tree."""
    bench.flag.check()
    leader = task.plan.leader
    with ExitStack() as resources:
        first = _place_of(bench, leader, outcome, resources)
        if first is None:
            return
        record = _record(bench, first, leader.name)
        if not leader.settled and not _put(first, leader.name, record, first.live(leader.name) is not None):
            return
        for member in task.plan.followers:
            with ExitStack() as own:
                place = _place_of(bench, member, outcome, own)
                if place is not None:
                    _follow(first, leader, place, member)


def _place_of(bench: RestoreBench, member: Sighting, outcome: Outcome, resources: ExitStack) -> _Place | None:
    missing = False
    if bench.trees.dry_run:
        try:
            resources.enter_context(tree.directory(bench.target, member.directory))
        except OSError:
            missing = True
    return _open(bench, member.directory, missing, outcome, resources)


def _record(bench: RestoreBench, place: _Place, name: str) -> Record:
    records = bench.records(place.path, Listing()) if bench.manifest else {}
    there = tree.look_at(place.snapshot, name)
    if name in records or there is None:
        return records[name]
    return adopted_record(there, there.nlink)


def _follow(first: _Place, leader: Sighting, place: _Place, member: Sighting) -> None:
    """Make one more name of the leader's inode, through a name of its own and a rename."""
    live = place.live(member.name)
    lead = first.live(leader.name)
    if live is not None and lead is not None and live.ino == lead.ino:
        return
    changed = place.outcome.created if live is None else place.outcome.replaced
    if place.bench.trees.dry_run:
        changed.append(place.shown(member.name))
        return
    temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
    try:
        if lead is None:
            raise FileNotFoundError(errno.ENOENT, "its first name is gone again")
        tree.link(first.target, leader.name, place.target, temporary, lead.ino)
        _rename_over(place.target, temporary, member.name)
    except OSError as error:
        if error.errno == errno.EMLINK:
            _put(place, member.name, _record(place.bench, place, member.name), live is not None)
            return
        _give_up(place, temporary, member.name, error)
        return
    changed.append(place.shown(member.name))


def settle_directory(bench: RestoreBench, task: SettleTask, outcome: Outcome) -> None:
    """Give a directory that is done but for its own attributes those of the snapshot's."""
    with ExitStack() as resources:
        place = _open(bench, task.path, missing=False, outcome=outcome, resources=resources)
        if place is not None:
            place.touched = True
            _apply_attributes(place)
