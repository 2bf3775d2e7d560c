"""Holds one directory of a snapshot against its manifest: entries, attributes, content."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence

from efs_backup.effects import tree
from efs_backup.effects.copy import SourceReadError, VanishedError, read_detail
from efs_backup.effects.manifest import Manifest
from efs_backup.effects.stop import StopFlag
from efs_backup.effects.tree import Listing, directory, list_retried
from efs_backup.flow.entry import checksum_of
from efs_backup.flow.helpers import Helpers
from efs_backup.flow.task import Checking, CheckTask, Outcome
from efs_backup.pure.block import PackedBlock
from efs_backup.pure.errors import BackupError, FormatError
from efs_backup.pure.layout import join
from efs_backup.pure.records import DIRECTORY_UNREADABLE, KEPT_FIELDS, Attributes, Record, is_regular

_NAMES = ("mode", "owner", "group", "size", "mtime")


class CheckBench:
    """What a worker of a verify has open."""

    def __init__(self, trees: Checking, flag: StopFlag, threads: int) -> None:
        """Open the snapshot and the manifests."""
        self.trees, self.flag, self.helpers = trees, flag, Helpers(threads)
        self.snapshot = tree.open_root(trees.snapshot)
        if os.fstat(self.snapshot).st_ino != trees.inode:
            raise BackupError(f"{trees.snapshot} was rotated away while it was opened: run again")
        self.manifest = Manifest(trees.manifest, trees.manifest)
        self.newer = Manifest(trees.newer, trees.newer) if trees.newer else None
        self.source = tree.open_root(trees.source) if trees.source else -1


def check_directory(bench: CheckBench, task: CheckTask, outcome: Outcome) -> None:
    """Check one directory; its subdirectories follow. What is wrong is named in `outcome.mismatches`."""
    bench.flag.check()
    head = _head(bench, task.path)
    outcome.directories += 1
    try:
        descriptor = tree.open_directory(bench.snapshot, task.path)
    except OSError as error:
        outcome.mismatches.append((task.path, f"the directory cannot be opened: {error.strerror}"))
        return
    try:
        listing = list_retried(descriptor)
        _check_directory_itself(descriptor, head, task.path, outcome)
        recorded: set[str] = set()
        for block in _blocks(bench, task.path, head):
            records = block.records()
            recorded.update(records)
            read_before = _read_before(bench, task.path, records)
            _check_entries(bench, descriptor, task.path, listing, records, read_before, outcome)
            if bench.source >= 0:
                _compare_with_source(bench, task.path, records, outcome)
        for name in sorted({*listing.files, *listing.directories, *listing.failed} - recorded - set(head.directories)):
            outcome.mismatches.append((join(task.path, name), "it is not in the manifest"))
        for name in head.directories:
            if name in listing.directories:
                outcome.tasks.append(CheckTask(join(task.path, name)))
            else:
                outcome.mismatches.append((join(task.path, name), "the directory is missing"))
    finally:
        os.close(descriptor)


def _check_entries(
    bench: CheckBench,
    descriptor: int,
    path: str,
    listing: Listing,
    records: dict[str, Record],
    read_before: set[str],
    outcome: Outcome,
) -> None:
    """Check the names of one block, many of them side by side."""
    beside: list[Outcome] = []

    def begin() -> Callable[[str], None]:
        mine = Outcome()
        beside.append(mine)

        def check(name: str) -> None:
            bench.flag.check()
            if name in listing.failed:
                why = f"it cannot be looked at: {os.strerror(listing.failed[name])}"
                mine.mismatches.append((join(path, name), why))
                return
            there = listing.files.get(name)
            _check_entry(bench, descriptor, path, name, records[name], there, name in read_before, mine)

        return check

    bench.helpers.for_each(records, begin)
    for mine in beside:
        outcome.add(mine)


def _head(bench: CheckBench, path: str) -> PackedBlock:
    block = bench.manifest.packed(path)
    if block is None:
        raise FormatError(f"{bench.trees.manifest} is damaged: it lacks the directory {path!r}")
    return block


def _blocks(bench: CheckBench, path: str, head: PackedBlock) -> Iterator[PackedBlock]:
    yield head
    for bucket in range(1, head.buckets):
        block = bench.manifest.packed(path, bucket)
        if block is None:
            raise FormatError(f"{bench.trees.manifest} is damaged: it lacks part {bucket} of {path!r}")
        yield block


def _check_directory_itself(descriptor: int, head: PackedBlock, path: str, outcome: Outcome) -> None:
    now, wanted = os.fstat(descriptor), head.directory
    if wanted.flags & DIRECTORY_UNREADABLE and not wanted.mtime_ns:
        return
    there = (now.st_mode, now.st_uid, now.st_gid, 0, now.st_mtime_ns)
    _name_differences(path, there, (wanted.mode, wanted.uid, wanted.gid, 0, wanted.mtime_ns), outcome)


def _name_differences(path: str, there: Sequence[object], wanted: Sequence[object], outcome: Outcome) -> bool:
    differing = [name for name, a, b in zip(_NAMES, there, wanted, strict=True) if a != b]
    if differing:
        outcome.mismatches.append((path, f"{', '.join(differing)} not as recorded"))
    return bool(differing)


def _read_before(bench: CheckBench, path: str, records: dict[str, Record]) -> set[str]:
    """Return the names whose inode and checksum the newer snapshot has too, so that they were read a moment ago."""
    if bench.newer is None:
        return set()
    newer: dict[str, Record] = {}
    head = bench.newer.packed(path)
    for bucket in range(head.buckets if head else 0):
        newer.update(bench.newer.records(path, bucket, head.buckets if head else 1))
    return {n for n, r in records.items() if n in newer and newer[n].bino == r.bino and newer[n].checksum == r.checksum}


def _check_entry(
    bench: CheckBench,
    descriptor: int,
    path: str,
    name: str,
    record: Record,
    there: tuple[int, ...] | None,
    read_before: bool,
    outcome: Outcome,
) -> None:
    shown = join(path, name)
    outcome.checked += 1
    outcome.scanned += 1
    outcome.scanned_bytes += record.size if is_regular(record.mode) else 0
    if there is None:
        outcome.mismatches.append((shown, "it is missing"))
        return
    if _name_differences(shown, there[:KEPT_FIELDS], record[:KEPT_FIELDS], outcome):
        outcome.damaged.append(record.bino)
        return
    if there[6] != record.bino:
        outcome.mismatches.append((shown, "it is another inode than the one that was published"))
        outcome.damaged.append(there[6])
        return
    wrong = _wrong_content(bench, descriptor, name, record, Attributes._make(there), read_before, outcome)
    if wrong:
        outcome.mismatches.append((shown, wrong))
        outcome.damaged.append(there[6])


def _wrong_content(
    bench: CheckBench,
    descriptor: int,
    name: str,
    record: Record,
    there: Attributes,
    read_before: bool,
    outcome: Outcome,
) -> str | None:
    """Return what is wrong with an entry's content, None if nothing is (or nobody knows what it should be)."""
    if not is_regular(record.mode):
        try:
            return None if read_detail(descriptor, name, there) == record.detail else "its target is not as recorded"
        except (SourceReadError, VanishedError):
            return "it cannot be read"
    if not record.checksum:
        outcome.unverified += 1
        return None
    if read_before:
        return "its content does not match its checksum" if there.ino in bench.trees.damaged else None
    try:
        matches = checksum_of(descriptor, name, bench.flag.check) == record.checksum
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None if matches else "its content does not match its checksum"


def _compare_with_source(bench: CheckBench, path: str, records: dict[str, Record], outcome: Outcome) -> None:
    """Name what on the source is not as the snapshot has it: it was asked to be held against it."""
    try:
        with directory(bench.source, path) as descriptor:
            for name, record in records.items():
                now = tree.look_at(descriptor, name)
                if now is None:
                    outcome.mismatches.append((join(path, name), "it is gone from the source"))
                elif now[:KEPT_FIELDS] != record[:KEPT_FIELDS]:
                    outcome.mismatches.append((join(path, name), "it has changed on the source"))
                elif _content_differs(bench, descriptor, name, now, record):
                    outcome.mismatches.append(
                        (join(path, name), "its content on the source is another, with the same size and mtime")
                    )
    except OSError as error:
        outcome.mismatches.append((path, f"the source cannot be read: {error.strerror}"))


def _content_differs(bench: CheckBench, descriptor: int, name: str, now: Attributes, record: Record) -> bool:
    if not stat.S_ISREG(now.mode) or not record.checksum:
        return False
    return checksum_of(descriptor, name, bench.flag.check) != record.checksum
