"""Brings one directory of staging to what the source has: list, compare, do, note.

Source, base and staging are looked at together. Where a whole directory is what base and staging say, that is seen by
comparing two dictionaries, and the base's block is taken over byte by byte.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Collection, Container, Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

from efs_backup.effects import tree
from efs_backup.effects.copy import SETTLED_NS, entry_has_xattrs, has_xattrs, read_detail
from efs_backup.effects.tree import GONE, LOST, Listing
from efs_backup.flow.entry import ChangedUnderneath, Here, carried, carry_out, carry_over, for_each_name
from efs_backup.flow.task import BlockResult, DirectoryTask, Mode, Outcome
from efs_backup.flow.workbench import Workbench
from efs_backup.pure.block import (
    BUCKET_ENTRIES,
    Block,
    DirectoryAttributes,
    PackedBlock,
    bucket_of,
    buckets_for,
    decode,
    encode,
)
from efs_backup.pure.compare import Action, Decision, decide, filled_in, held_record, may_share
from efs_backup.pure.errors import BackupError, SourceError, one_line
from efs_backup.pure.layout import join
from efs_backup.pure.links import Sighting
from efs_backup.pure.records import (
    DIRECTORY_OTHER_MOUNT,
    DIRECTORY_PARTIAL,
    DIRECTORY_UNREADABLE,
    DIRECTORY_XATTRS,
    KEPT_FIELDS,
    XATTRS,
    Attributes,
    Image,
    Record,
    attributes_of,
    copied_record,
    image_of,
    is_regular,
)

_ATTEMPTS = 3
_SHARE_SECONDS = 10.0
"""A directory that takes longer is handed back with what is done, so that a kill costs no more than this."""


class _Source(NamedTuple):
    """The source's side of a directory: its attributes and its listing."""

    attributes: DirectoryAttributes
    listing: Listing
    carried: set[str]
    """Subdirectories that cannot be looked at and are taken from the base."""


class _Share(Exception):  # noqa: N818  not an error: the rest is left to the next turn
    """The directory has had its share of time."""


def process_directory(bench: Workbench, task: DirectoryTask, outcome: Outcome) -> None:
    """Bring the directory of a task, without its subdirectories, to what the source has.

    What came of it is added to `outcome`, also when the run is stopped or fails in the middle: what was copied until
    then is known to the next run.
    """
    bench.flag.check()
    done = Outcome()
    try:
        if task.mode is Mode.CARRY:
            _carry(bench, task, done)
        else:
            _compare(bench, task, done)
    except ChangedUnderneath:
        outcome.removed.extend(done.removed)
        if task.mode is Mode.AGAIN:
            # The subdirectories it has made are no longer new to the next look.
            outcome.tasks.extend(done.tasks)
        _begin_again(bench, task, outcome)
    except _Share:
        outcome.add(done.unfinished())
        outcome.tasks.append(task._replace(known=(*task.known, done.blocks[-1].payload)))
    except (BackupError, OSError):
        outcome.add(done.unfinished())
        raise
    else:
        outcome.add(done)


def _begin_again(bench: Workbench, task: DirectoryTask, outcome: Outcome) -> None:
    if task.attempt + 1 < _ATTEMPTS:
        outcome.again.append(task._replace(attempt=task.attempt + 1))
    else:
        outcome.changed.append(task.path)
        _carry(bench, task, outcome)


def _compare(bench: Workbench, task: DirectoryTask, outcome: Outcome) -> None:
    with ExitStack() as resources:
        try:
            source = tree.retried(lambda: tree.open_directory(bench.source, task.path))
            resources.callback(os.close, source)
            seen = _look_at_source(bench, task.path, source)
        except OSError as error:
            _unopened(bench, task, error, outcome)
            return
        staging = _open_staging(bench, task, resources)
        if staging is None:
            if not _look_above(bench, task, outcome):
                outcome.changed.append(task.path)
            return
        here = Here(bench, task.path, source, staging, {}, outcome, resources)
        if seen is None:
            _other_mount(here, task)
            return
        try:
            if errno.ESTALE in seen.listing.failed.values():
                _demand_still_there(here)
            if seen.listing.whole:
                _compare_listed(here, task, seen)
            else:
                _compare_huge(here, task, seen)
                _check_for_changes(here, task, seen)
        except OSError as error:
            if error.errno == errno.ESTALE:
                _demand_still_there(here)
            raise


def _demand_still_there(here: Here) -> None:
    """Raise ChangedUnderneath where the source directory is gone: over NFS each look into it then fails with ESTALE."""
    if not tree.same_directory(here.bench.source, here.path, here.source):
        raise ChangedUnderneath


def _check_for_changes(here: Here, task: DirectoryTask, seen: _Source) -> None:
    """Have the directory looked at once more if it changed while it was worked on; name it if it never holds still."""
    now = tree.retried(lambda: _directory_attributes(here.source, seen.attributes.flags))
    if now == seen.attributes:
        return
    if task.attempt + 1 < _ATTEMPTS:
        here.outcome.again.append(task._replace(mode=Mode.AGAIN, attempt=task.attempt + 1, known=()))
    else:
        here.outcome.changed.append(task.path)


def _unopened(bench: Workbench, task: DirectoryTask, error: OSError, outcome: Outcome) -> None:
    """The source directory could not be opened or listed: gone or swapped since its parent was, or unreadable."""
    if not task.path:
        raise SourceError(one_line(f"the source {bench.trees.source} cannot be listed: {error.strerror}")) from error
    if error.errno in LOST:
        if task.attempt and not tree.stands(bench.staging, task.path):
            return  # its parent was looked at again, and has put it away
        if _look_above(bench, task, outcome):
            return
        outcome.changed.append(task.path)
    _carry(bench, task, outcome)


def _look_above(bench: Workbench, task: DirectoryTask, outcome: Outcome) -> bool:
    """Have the nearest directory above that still stands looked at once more; False if it was enough.

    It decides whether this one is there; who is gone with it has nothing to say. Then this one: to a directory that
    finds it there after all, it is nothing new.
    """
    if task.attempt + 1 >= _ATTEMPTS:
        return False
    above = task.path.rpartition("/")[0]
    while above and not tree.stands(bench.source, above):
        above = above.rpartition("/")[0]
    outcome.again.append(DirectoryTask(above, Mode.AGAIN, task.attempt + 1))
    outcome.again.append(task._replace(attempt=task.attempt + 1))
    return True


def _open_staging(bench: Workbench, task: DirectoryTask, resources: ExitStack) -> int | None:
    """Open the directory in staging; None where its parent, looked at again, has put it away."""
    try:
        return resources.enter_context(tree.directory(bench.staging, task.path))
    except OSError as error:
        if task.attempt and error.errno in GONE:
            return None
        raise


def _other_mount(here: Here, task: DirectoryTask) -> None:
    """Another file system is mounted here: an empty directory stands for it, and it is named."""
    directory = _directory_attributes(here.source, DIRECTORY_OTHER_MOUNT)
    staged = _staged(here)
    for name in staged.directories:
        _put_away(here, name)
    here.held = staged.files
    for name in list(staged.files):
        here.clear(name)
    here.outcome.blocks.append(block_result(task.path, 0, Block(directory, {}, [])))
    here.outcome.other_mounts.append(task.path)
    here.outcome.directories += 1
    _apply_attributes(here, directory)


def _carry(bench: Workbench, task: DirectoryTask, outcome: Outcome) -> None:
    """Take a directory from the base as it is, for the source does not let us read it; its subdirectories follow."""
    outcome.unreadable.append(task.path)
    with ExitStack() as resources:
        staging = _open_staging(bench, task, resources)
        if staging is None:
            return
        here = Here(bench, task.path, -1, staging, {}, outcome, resources)
        directory, files, directories, absent = _from_base(bench, task.path)
        staged = _staged(here)
        here.held = staged.files
        made = _settle_directories(here, directories, staged.directories)
        here.outcome.removed.extend(join(task.path, n) for n in staged.directories if n not in directories)
        for name in [n for n in staged.files if n not in files]:
            here.clear(name)
        for name, record in files.items():
            bench.flag.check()
            kept = carried(here, name, record)
            if kept is None:
                here.absent.append(name)
            else:
                here.records[name] = kept
        outcome.tasks.extend(_children(task, directories, made))
        outcome.directories += 1
        directory.flags |= DIRECTORY_UNREADABLE
        _append_carried(here, directory, directories, absent)
        _apply_attributes(here, directory)


def _append_carried(here: Here, directory: DirectoryAttributes, directories: list[str], absent: list[str]) -> None:
    """Note a carried directory, in as many blocks as its size asks for."""
    buckets = buckets_for(len(here.records))
    divided: list[dict[str, Record]] = [{} for _ in range(buckets)]
    for name, record in here.records.items():
        divided[bucket_of(name, buckets)][name] = record
    for bucket, records in enumerate(divided):
        first = bucket == 0
        block = Block(
            directory, records, directories if first else [], [*absent, *here.absent] if first else [], buckets
        )
        here.outcome.blocks.append(block_result(here.path, bucket, block))


def _from_base(bench: Workbench, path: str) -> tuple[DirectoryAttributes, dict[str, Record], list[str], list[str]]:
    """Return what the base says of a directory: attributes, records, subdirectories, and the absent names."""
    head = bench.base_manifest.packed(path) if bench.base_manifest else None
    if head is not None and bench.base_manifest is not None:
        files: dict[str, Record] = {}
        for bucket in range(head.buckets):
            block = bench.base_manifest.packed(path, bucket)
            files.update(block.records() if block else {})
        return head.directory, files, head.directories, head.absent
    listed = bench.list_base(path) if bench.base_manifest is None else None
    if listed is None:
        return DirectoryAttributes(0o40700, 0, 0, 0, 0, 0), {}, [], []
    with bench.base_directory(path, listed=True) as descriptor:
        return _directory_attributes(descriptor, 0), listed[0], listed[1], []


def _is_other_mount(bench: Workbench, path: str, source: int) -> bool:
    return path in bench.trees.other_mounts or os.fstat(source).st_dev != bench.trees.source_device


def _look_at_source(bench: Workbench, path: str, source: int) -> _Source | None:
    """Return what the source has in a directory, None where another file system is mounted there."""
    if tree.retried(lambda: _is_other_mount(bench, path, source)):
        return None
    flags = DIRECTORY_XATTRS if has_xattrs(source) else 0
    before = tree.retried(lambda: _directory_attributes(source, flags))
    listing = tree.list_retried(source, attributes_of, BUCKET_ENTRIES)
    return _Source(before, listing, set())


def _directory_attributes(descriptor: int, flags: int) -> DirectoryAttributes:
    status = os.fstat(descriptor)
    return DirectoryAttributes(
        status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, flags
    )


def _compare_listed(here: Here, task: DirectoryTask, seen: _Source) -> None:
    """Compare a directory of ordinary size, all of whose names are in `seen`."""
    base = here.bench.base_manifest.packed(task.path) if here.bench.base_manifest else None
    staged = _staged(here)
    unchanged = base is not None and _source_is_unchanged(here, base, seen)
    if base is not None and unchanged and not task.known and _staging_is_whole(here, base, staged):
        _take_over(here, task, base, seen)
        return
    here.names_in_base = base.size if base else 0
    listed = None if here.bench.base_manifest else here.bench.list_base(task.path)
    _confirm_gone(here, task, seen, _base_names(base, listed), staged)
    _leave_out_mounts(here, seen.listing.files)
    part = Part(here, task, seen.attributes, 0, 1, listed[0] if listed else None)
    here.held = staged.files
    part.settle_directories(seen.listing.directories, staged.directories, seen.carried)
    part.settle_files(seen.listing.files, seen.listing.failed, staged.files)
    part.finish(seen.listing.directories)
    if not unchanged:
        # What was seen unchanged in all is as it was seen; nothing of it was read since.
        _check_for_changes(here, task, seen)


def _compare_huge(here: Here, task: DirectoryTask, seen: _Source) -> None:
    """Compare a directory with very many names, a bucket of them at a time, so that memory stays flat."""
    files, directories = tree.list_names(here.source)
    staged_files, staged_directories = tree.list_names(here.staging)
    base = here.bench.base_manifest.packed(task.path) if here.bench.base_manifest else None
    buckets = max(buckets_for(len(files)), base.buckets if base else 1)
    here.names_in_base = base.size * base.buckets if base else 0
    listed = None if here.bench.base_manifest else here.bench.list_base(task.path)
    seen.listing.directories = directories
    seen.listing.files = dict.fromkeys(files, ())
    staged = Listing(dict.fromkeys(staged_files, ()), staged_directories)
    _confirm_gone(here, task, seen, _all_base_names(here, task.path, base, listed), staged)
    _leave_out_mounts(here, seen.listing.files)
    divided = _divided(seen.listing.files, buckets)
    divided_staged = _divided(staged_files, buckets)
    for bucket in range(buckets):
        part = Part(here, task, seen.attributes, bucket, buckets, listed[0] if listed else None)
        if bucket == 0:
            part.settle_directories(seen.listing.directories, staged_directories, seen.carried)
        found, failed = _looks(here, divided[bucket])
        failed.update({n: e for n, e in seen.listing.failed.items() if bucket_of(n, buckets) == bucket})
        part.settle_files(found, failed, _images(here, divided_staged[bucket]))
        part.finish(seen.listing.directories if bucket == 0 else [])
        here.records, here.absent = {}, []
    _apply_attributes(here, seen.attributes)


def _leave_out_mounts(here: Here, files: dict[str, tuple[int, ...]]) -> None:
    """A file that something is mounted on is not the source's: it is named, and what it covers cannot be seen."""
    for path in here.bench.trees.other_mounts:
        directory, _, name = path.rpartition("/")
        if directory == here.path and files.pop(name, None) is not None:
            here.outcome.other_mounts.append(path)
            here.absent.append(name)


def _divided(names: Iterable[str], buckets: int) -> list[list[str]]:
    divided: list[list[str]] = [[] for _ in range(buckets)]
    for name in names:
        divided[bucket_of(name, buckets)].append(name)
    return divided


def _looks(here: Here, names: list[str]) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Return (name -> attributes, name -> error number) of some names of the source directory."""
    found: dict[str, tuple[int, ...]] = {}
    failed: dict[str, int] = {}

    def look(name: str) -> None:
        try:
            found[name] = attributes_of(tree.status_again(here.source, name))
        except FileNotFoundError:
            pass
        except OSError as error:
            failed[name] = error.errno or errno.EIO

    here.bench.helpers.for_each(names, lambda: look)
    return found, failed


def _images(here: Here, names: list[str]) -> dict[str, tuple[int, ...]]:
    """Return name -> image of some names of the directory in staging."""
    images: dict[str, tuple[int, ...]] = {}

    def look(name: str) -> None:
        images[name] = image_of(tree.status_again(here.staging, name))

    here.bench.helpers.for_each(names, lambda: look)
    return images


def _staged(here: Here) -> Listing:
    """Return what staging has in this directory. What cannot be looked at ends the run: it may be what must go."""
    listing = tree.list_retried(here.staging, image_of)
    for name, number in listing.failed.items():
        path = f"{here.bench.trees.staging}/{here.shown(name)}"
        raise BackupError(one_line(f"{path} cannot be looked at: {os.strerror(number)}"))
    return listing


def _source_is_unchanged(here: Here, base: PackedBlock, seen: _Source) -> bool:
    """Tell whether the source has what the base was made from, this directory and everything in it."""
    listing = seen.listing
    return (
        here.bench.trees.rule.same_file_system
        and not listing.failed
        and base.directory == seen.attributes
        and not base.directory.flags
        and base.buckets == 1
        and not base.absent
        and base.sources() == listing.files
        and set(base.directories) == set(listing.directories)
    )


def _staging_is_whole(here: Here, base: PackedBlock, staged: Listing) -> bool:
    """Tell whether staging has just what the base has, and nothing of that is to be looked into."""
    bench = here.bench
    return (
        base.images() == staged.files
        and set(base.directories) == set(staged.directories)
        and not any(base.column(_FLAGS))
        and bench.trees.rule.damaged.isdisjoint(base.column(_BINO))
        and not (base.lacks_checksums() and bench.fill_is_due(here.path))
    )


_NLINK, _BINO, _FLAGS, _INO = 7, 8, 9, 6
"""Positions in Record."""


def _take_over(here: Here, task: DirectoryTask, base: PackedBlock, seen: _Source) -> None:
    """Note an unchanged directory: the base's block is what the new manifest says of it."""
    outcome = here.outcome
    if base.size and max(base.column(_NLINK)) > 1:
        for name, record in base.records().items():
            if record.nlink > 1:
                outcome.sightings.append(Sighting(record.ino, here.path, name, 0, 1, True, record.bino))
    raw = here.bench.base_manifest.raw(task.path) if here.bench.base_manifest else None
    assert raw is not None
    outcome.blocks.append(BlockResult(task.path, 0, raw, base.size, base.total_bytes))
    outcome.kept += base.size
    outcome.scanned += base.size
    outcome.scanned_bytes += base.total_bytes
    outcome.checksums_missing += base.lacks_checksums()
    outcome.directories += 1
    outcome.tasks.extend(_children(task, base.directories, ()))
    _apply_attributes(here, seen.attributes)


def _children(
    task: DirectoryTask, directories: Iterable[str], made: Collection[str], carried_names: Collection[str] = ()
) -> list[DirectoryTask]:
    """Return the tasks of the subdirectories that are still to be done."""
    if task.known or task.mode is Mode.AGAIN:
        directories = [d for d in directories if d in made]
    carry_all = task.mode is Mode.CARRY
    # Below a directory that is looked at again the attempts go on, so that what comes and goes for ever has an end.
    attempt = task.attempt if task.mode is Mode.AGAIN else 0
    return [
        DirectoryTask(
            join(task.path, name), Mode.CARRY if carry_all or name in carried_names else Mode.COMPARE, attempt
        )
        for name in directories
    ]


def _base_names(
    base: PackedBlock | None, listed: tuple[dict[str, Record], list[str]] | None
) -> tuple[list[str], list[str]]:
    if base is not None:
        return base.names, base.directories
    return (list(listed[0]), listed[1]) if listed else ([], [])


def _all_base_names(
    here: Here, path: str, base: PackedBlock | None, listed: tuple[dict[str, Record], list[str]] | None
) -> tuple[list[str], list[str]]:
    """Return the base's names in all buckets of a huge directory."""
    if base is None or here.bench.base_manifest is None:
        return _base_names(base, listed)
    blocks = [here.bench.base_manifest.packed(path, bucket) for bucket in range(base.buckets)]
    return [name for block in blocks if block for name in block.names], base.directories


def _confirm_gone(
    here: Here, task: DirectoryTask, seen: _Source, base: tuple[list[str], list[str]], staged: Listing
) -> None:
    """Look up by name what the base has and the listing has not; one listing's silence deletes nothing.

    What is there after all joins the listing; a directory that cannot be looked at is carried over. Raises
    ChangedUnderneath if this no longer is the directory at its path.
    """
    listing = seen.listing
    there = {*listing.files, *listing.directories, *listing.failed}
    gone: list[str] = []

    def look(name: str) -> None:
        if not _is_there(here, name, listing):
            gone.append(name)

    here.bench.helpers.for_each([name for names in base for name in names if name not in there], lambda: look)
    seen.carried.update(name for name in base[1] if name in listing.failed)
    for name in seen.carried:
        del listing.failed[name]
        listing.directories.append(name)
    if not gone:
        return
    _demand_still_there(here)
    if task.attempt:
        # An earlier attempt has counted what it took out of staging.
        gone = [name for name in gone if name in staged.files or name in staged.directories]
    lost_directories = set(base[1]).intersection(gone)
    here.outcome.deleted += len(gone) - len(lost_directories)
    here.outcome.deleted += sum(_files_below(here.bench, join(here.path, name)) for name in lost_directories)


def _is_there(here: Here, name: str, listing: Listing) -> bool:
    """Look a name up that a listing did not have; if it is there after all, it joins the listing."""
    listing.failed[name] = errno.ENOENT
    tree.look_again(here.source, name, listing)
    return name in listing.files or name in listing.directories or name in listing.failed


def _files_below(bench: Workbench, path: str) -> int:
    """Return how many files the base's manifest has in a tree."""
    if bench.base_manifest is None:
        return 0
    count, waiting = 0, [path]
    while waiting:
        at = waiting.pop()
        head = bench.base_manifest.packed(at)
        if head is None:
            continue
        waiting.extend(join(at, name) for name in head.directories)
        others = (bench.base_manifest.packed(at, bucket) for bucket in range(1, head.buckets))
        count += head.size + sum(block.size for block in others if block)
    return count


def _settle_directories(here: Here, wanted: Collection[str], staged: Collection[str]) -> set[str]:
    """Make the subdirectories that are wanted, put away those that are not; return the names that were made."""
    for name in set(staged).difference(wanted):
        _put_away(here, name)
    made = set(wanted).difference(staged)
    for name in made:
        here.clear(name)
        tree.make_directory(here.staging, name)
    return made


def _put_away(here: Here, name: str) -> None:
    """Move a directory of staging to the trash: one call, however much is in it."""
    tree.rename(here.staging, name, here.bench.trash, here.bench.trash_name())
    here.touched = True


def free_of_silly_renames(here: Here, wanted: Container[str], bucket: int, buckets: int) -> None:
    """Move out what an NFS client leaves where a file was unlinked that somebody has open: a file `.nfs` and digits.

    A source may have such names too: those that are `wanted` stay, and so does what belongs to another bucket.
    """
    here.unlinked = False
    if not here.bench.may_hold_silly_renames():
        return
    with os.scandir(here.staging) as entries:
        left = [e.name for e in entries if e.name.startswith(".nfs") and not e.is_dir(follow_symlinks=False)]
    for name in left:
        if name not in wanted and name not in here.records and bucket_of(name, buckets) == bucket:
            _put_away_file(here, name)


def _put_away_file(here: Here, name: str) -> None:
    """Move a file `.nfs` out, or, where this machine itself has it open, note that its directory must be rebuilt."""
    try:
        _put_away(here, name)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        here.outcome.busy.append(here.shown(name))


def block_result(path: str, bucket: int, block: Block) -> BlockResult:
    """Return a block as it is noted, with how many files and bytes are in it."""
    size = sum(r.size for r in block.files.values() if is_regular(r.mode))
    return BlockResult(path, bucket, encode(block), len(block.files), size)


def _apply_attributes(here: Here, wanted: DirectoryAttributes) -> None:
    touched, here.touched = here.touched, False
    tree.apply_directory(here.staging, here.status, wanted.mode, wanted.uid, wanted.gid, wanted.mtime_ns, touched)
    if touched and here.outcome.tasks:
        # Over NFS what was known of the right to pass is void now: asked once here, not by each subdirectory's thread.
        tree.status(here.staging, ".")


class Part:
    """One bucket of a directory (all of it, unless it is huge) on its way from what was seen to its block."""

    def __init__(
        self,
        here: Here,
        task: DirectoryTask,
        directory: DirectoryAttributes,
        bucket: int,
        buckets: int,
        listed: dict[str, Record] | None,
    ) -> None:
        """Look up what base and earlier runs know of this part; `listed` where the base has no manifest."""
        self.here, self.task, self.directory = here, task, directory
        self.bucket, self.buckets = bucket, buckets
        self.base = here.bench.base_records(task.path, bucket, buckets, listed)
        self.known = self._known()
        self.wanted: Container[str] = ()
        """The names that the source has here, those included that are still to become hard links."""
        self._spare: dict[str, Record] | None = None
        self._copied = here.bench.copied(task.path)
        self._by_tool: Record | None = None
        """What fpsync put under the name that was decided last."""
        self._fill = here.bench.fill_is_due(task.path)

    def _known(self) -> dict[str, Record]:
        """Return what an interrupted run, or an earlier part of this task, put into staging."""
        known: dict[str, Record] = {}
        if self.here.bench.progress is not None:
            known.update(self.here.bench.progress.records(self.task.path, self.bucket, self.buckets))
        for raw in self.task.known:
            block = decode(raw)
            known.update({n: r for n, r in block.files.items() if bucket_of(n, self.buckets) == self.bucket})
        return known

    def spare(self, name: str) -> Record | None:
        """Return the spare's record of a name; its block is read when it is first asked for."""
        if self._spare is None:
            manifest = self.here.bench.spare_manifest
            self._spare = manifest.records(self.task.path, self.bucket, self.buckets) if manifest else {}
        return self._spare.get(name)

    def settle_directories(self, wanted: list[str], staged: list[str], carried_names: Collection[str]) -> None:
        """Make the subdirectories the source has, and put away those it has not."""
        made = _settle_directories(self.here, wanted, staged)
        if self.task.attempt:
            # What an earlier attempt noted of these must not stay in the manifest.
            self.here.outcome.removed.extend(join(self.task.path, name) for name in set(staged).difference(wanted))
        self.here.outcome.tasks.extend(_children(self.task, wanted, made, carried_names))
        self.here.outcome.directories += 1

    def settle_files(
        self, found: dict[str, tuple[int, ...]], failed: dict[str, int], staged: dict[str, tuple[int, ...]]
    ) -> None:
        """Make every name of this part what the source has; on the way out of a run that ends, note what is done."""
        here = self.here
        # A directory of staging in whose place a file belongs was put away with the unwanted ones.
        here.held, self.wanted = staged, found
        for name in [n for n in staged if n not in found and n not in failed]:
            here.clear(name)
        try:
            self._decide_all(found)
            for name in failed:
                carry_over(here, name, self.base.get(name))
        except (_Share, BackupError, OSError):
            here.outcome.blocks.append(self._partial())
            raise

    def _decide_all(self, found: dict[str, tuple[int, ...]]) -> None:
        here, began = self.here, time.monotonic()
        work: list[tuple[str, Attributes, Decision]] = []
        for name, look in found.items():
            base, held = self.base.get(name), here.held.get(name)
            if (
                base is not None
                and held is not None
                and look == base[:8]
                and not base.flags
                and self._stays(held, base)
            ):
                self._keep(name, base)
            else:
                self._decide(name, Attributes._make(look), work)
        links = [item for item in work if item[2].action is Action.LINK]
        here.links_expected = len(links)

        def act(mine: Here, item: tuple[str, Attributes, Decision]) -> None:
            mine.bench.flag.check()
            carry_out(mine, *item, self.base.get(item[0]))
            if time.monotonic() - began > _SHARE_SECONDS:
                raise _Share

        # The kernel lets one thread at a time make or remove names in a directory; to link is nothing else.
        for item in links:
            act(here, item)
        for_each_name(here, [item for item in work if item[2].action is not Action.LINK], act)
        here.outcome.scanned += len(found)
        here.outcome.scanned_bytes += sum(look[3] for look in found.values() if is_regular(look[0]))

    def _stays(self, held: tuple[int, ...], base: Record) -> bool:
        rule = self.here.bench.trees.rule
        return (
            rule.same_file_system
            and held[KEPT_FIELDS] == base.bino
            and held[:KEPT_FIELDS] == base[:KEPT_FIELDS]
            and base.bino not in rule.damaged
            and not (self._fill and not base.checksum and is_regular(base.mode))
        )

    def _keep(self, name: str, record: Record) -> None:
        self.here.records[name] = record
        self.here.count_kept(name, record)
        if record.flags & XATTRS:
            self.here.outcome.not_kept.append((self.here.shown(name), "extended attributes"))
        if record.nlink > 1:
            self._sight(record.ino, name, settled=True, bino=record.bino)

    def _sight(self, ino: int, name: str, settled: bool, bino: int) -> None:
        self.here.outcome.sightings.append(
            Sighting(ino, self.task.path, name, self.bucket, self.buckets, settled, bino)
        )

    def _decide(self, name: str, entry: Attributes, work: list[tuple[str, Attributes, Decision]]) -> None:
        """Decide one name: into `work`, or, if it is one of several names of an inode, left to its group."""
        rule = self.here.bench.trees.rule
        decision = self.decision(name, entry)
        record = decision.record
        self.note_tool(name, decision)
        alone = entry.nlink <= 1 and (record is None or may_share(entry, record, rule))
        if alone:
            work.append((name, entry, decision))
        elif entry.nlink <= 1 and rule.same_file_system:
            work.append(
                (name, entry, Decision(Action.COPY, "its inode in the base belongs to another file of the source"))
            )
        elif decision.action is Action.KEEP and record is not None and may_share(entry, record, rule):
            self._keep(name, Record(*entry, record.bino, record.flags, record.checksum, record.detail))
        else:
            may_be_its = record is not None and (may_share(entry, record, rule) or not rule.same_file_system)
            self._sight(entry.ino, name, settled=False, bino=record.bino if record and may_be_its else 0)

    def note_tool(self, name: str, decision: Decision) -> None:
        """Note that it was fpsync, in this run, who put under the name what the decision rests on."""
        file = self._copied.get(name)
        if decision.record is not None and decision.record is self._by_tool and not (file and file.earlier):
            self.here.by_tool.add(name)

    def decision(self, name: str, entry: Attributes) -> Decision:
        """Return what is to be done for one name of the source, as if it were the only name of its inode."""
        rule = self.here.bench.trees.rule
        return filled_in(decide(entry, self.base.get(name), self._held(name, entry), rule), self._fill)

    def _held(self, name: str, entry: Attributes) -> Record | None:
        """Return the record of what staging has under a name, if any of those who should know does."""
        self._by_tool = None
        held = self.here.held.get(name)
        if held is None:
            return None
        image, rule = Image._make(held), self.here.bench.trees.rule
        self._by_tool = self._tool_record(name, entry, image)
        near = held_record(image, (self.here.records.get(name), self.known.get(name), self.base.get(name)), rule)
        return near or held_record(image, (self.spare(name), self._by_tool), rule)

    def _tool_record(self, name: str, entry: Attributes, image: Image) -> Record | None:
        """Return the record of what fpsync put under a name: what it read, if the source has held still since."""
        bench = self.here.bench
        if bench.tool_copied is None:
            return None
        file = self._copied.get(name)
        if image[:KEPT_FIELDS] != entry[:KEPT_FIELDS]:
            if file is not None and not file.earlier:
                self.here.outcome.changed.append(self.here.shown(name))
            return None
        if not is_regular(entry.mode):
            made = Attributes._make((*image[:KEPT_FIELDS], 0, image.ino, 1))
            detail = read_detail(self.here.staging, name, made)
            return copied_record(entry, image.ino, b"", held_still=False)._replace(detail=detail)
        if file is None or file.size != entry.size:
            return None
        held_still = entry.ctime_ns < bench.copied_since_ns - SETTLED_NS
        flags = XATTRS if entry_has_xattrs(self.here.source, name) else 0
        return copied_record(entry, image.ino, file.checksum, held_still)._replace(flags=flags)

    def finish(self, directories: list[str]) -> None:
        """Note the block of this part, and give the directory its attributes if it is all of it."""
        here = self.here
        if here.unlinked:
            free_of_silly_renames(here, self.wanted, self.bucket, self.buckets)
        block = Block(self.directory, here.records, directories, here.absent, self.buckets)
        here.outcome.blocks.append(block_result(self.task.path, self.bucket, block))
        here.outcome.checksums_missing += any(is_regular(r.mode) and not r.checksum for r in here.records.values())
        if self.directory.flags & DIRECTORY_XATTRS:
            here.outcome.not_kept.append((self.task.path, "extended attributes"))
        if self.buckets == 1:
            _apply_attributes(here, self.directory)

    def _partial(self) -> BlockResult:
        """Return what is known of this part when it is left before its end."""
        files = {**self.known, **self.here.records}
        directory = replace(self.directory, flags=self.directory.flags | DIRECTORY_PARTIAL)
        return block_result(self.task.path, self.bucket, Block(directory, files, [], [], self.buckets))
