"""The folder label on the backup file system: what is published, what is under way, and the readers' locks."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from efs_backup.effects import tree
from efs_backup.effects.files import read_text, replace_durably
from efs_backup.pure.catalog import Catalog, Journal, Move, Snapshot, parse_catalog, parse_journal
from efs_backup.pure.errors import BackupError, UsageError, explain
from efs_backup.pure.layout import CATALOG, JOURNAL, MANIFESTS, PRIVATE, PROGRESS, SPARE, STAGING, TRASH, Names
from efs_backup.pure.rotation import Standing


class Survey(NamedTuple):
    """What stands under a folder label: snapshots newest first, each with its number and where its tree is now.

    `journal` is that of a rotation that was cut off: its snapshots are counted as published already.
    """

    numbered: tuple[tuple[int, Standing], ...]
    catalog: Catalog
    journal: Journal | None

    @property
    def standings(self) -> list[Standing]:
        """Return the snapshots, newest first."""
        return [standing for _, standing in self.numbered]


class Store:
    """One interval under one folder label, opened by descriptor; all paths are relative to the label's directory."""

    def __init__(self, backup: str, label: str, interval: str) -> None:
        """Open the folder label `label` in the directory `backup`; raise UsageError if there is none."""
        self.path = f"{backup.rstrip('/')}/{label}"
        self.names = Names(interval)
        try:
            self.root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(
                f"there are no backups at {self.path} ({error.strerror}): check --backup and --folder-label"
            ) from error

    def close(self) -> None:
        """Close the directory."""
        os.close(self.root)

    def shown(self, path: str) -> str:
        """Return a path as a person calls it."""
        return f"{self.path}/{path}"

    def prepare(self) -> None:
        """Make the directories for the engine's own files."""
        for path in (PRIVATE, self.names.private, self.names.own(MANIFESTS), self.names.own(TRASH)):
            with suppress(FileExistsError):
                os.mkdir(path, 0o700, dir_fd=self.root)

    def inode(self, path: str) -> int | None:
        """Return the inode of the directory at a path, None if there is no directory."""
        try:
            status = os.stat(path, dir_fd=self.root, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return status.st_ino if tree.is_directory(status.st_mode) else None

    def survey(self) -> Survey:
        """Return what is published, also in the middle of a rotation; nothing is changed."""
        text = read_text(self.root, self.names.own(JOURNAL))
        numbers = self._numbered_directories()
        if text is not None:
            journal = parse_journal(text, self.shown(self.names.own(JOURNAL)))
            return Survey(tuple(self._rotated(journal, numbers)), journal.after, journal)
        text = read_text(self.root, self.names.own(CATALOG))
        catalog = parse_catalog(text, self.shown(self.names.own(CATALOG))) if text is not None else Catalog()
        known = catalog.by_inode()
        numbered = [
            (number, Standing(known.get(inode) or _taken_over(inode), self.names.snapshot(number)))
            for number, inode in sorted(numbers.items())
        ]
        return Survey(tuple(numbered), catalog, None)

    def _numbered_directories(self) -> dict[int, int]:
        """Return number -> inode of the directories named INTERVAL.N."""
        found = {}
        with os.scandir(self.root) as entries:
            for entry in entries:
                number = self.names.number_of(entry.name)
                if number is not None and entry.is_dir(follow_symlinks=False):
                    found[number] = entry.stat(follow_symlinks=False).st_ino
        return found

    def _rotated(self, journal: Journal, numbers: dict[int, int]) -> Iterator[tuple[int, Standing]]:
        """Yield the snapshots as the journal's rotation leaves them, with where each tree stands right now."""
        places = {inode: self.names.snapshot(number) for number, inode in numbers.items()}
        for move in journal.moves:
            if self.inode(move.source) == move.inode:
                places[move.inode] = move.source
        for number, snapshot in enumerate(journal.after.snapshots):
            if snapshot.inode in places:
                yield number, Standing(snapshot, places[snapshot.inode])

    def move(self, move: Move) -> None:
        """Carry out one move of a journal. One that was done already, by whomever, is no error."""
        if self.inode(move.source) != move.inode:
            if self.inode(move.target) == move.inode or move.target.startswith(self.names.own(TRASH)):
                return
            raise BackupError(f"{self.shown(move.source)} is no longer the tree it was: a rotation cannot be finished")
        if tree.look_at(self.root, move.target) is not None:
            raise BackupError(f"{self.shown(move.target)} is in the way of a rotation: move it away and run again")
        try:
            tree.rename(self.root, move.source, self.root, move.target, move.inode)
        except OSError as error:
            raise explain(error, self.shown(move.target)) from error

    def adopt_manifest(self, snapshot_id: str) -> None:
        """Give the sealed progress its name as the manifest of a snapshot, unless that was done already."""
        progress, manifest = self.names.own(PROGRESS), self.names.manifest(snapshot_id)
        if tree.look_at(self.root, manifest) is None:
            try:
                tree.rename(self.root, progress, self.root, manifest)
            except OSError as error:
                raise explain(error, self.shown(manifest)) from error

    def close_journal(self) -> None:
        """Make the journal the catalog, which ends a rotation."""
        try:
            os.fsync(self.root)
            replace_durably(self.root, self.names.own(JOURNAL), self.names.own(CATALOG))
        except OSError as error:
            raise explain(error, self.shown(self.names.own(CATALOG))) from error

    def trash(self, path: str, name: str) -> None:
        """Put a directory away under a name in the trash."""
        tree.rename(self.root, path, self.root, self.names.trash(name))

    def trash_names(self) -> list[str]:
        """Return the names of what waits in the trash."""
        with tree.directory(self.root, self.names.own(TRASH)) as descriptor:
            return os.listdir(descriptor)

    @contextmanager
    def reading(self, snapshot: Snapshot) -> Iterator[None]:
        """Hold the shared lock of a snapshot, so that no backup recycles or removes its tree while it is read."""
        descriptor = self._lock_file(snapshot.id, os.O_RDONLY)
        try:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def is_free(self, snapshot_id: str) -> bool:
        """Tell whether nobody reads a snapshot's tree (held for no longer than it takes to ask)."""
        descriptor = self._lock_file(snapshot_id, os.O_RDWR)
        if descriptor is None:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        finally:
            os.close(descriptor)
        return True

    def _lock_file(self, snapshot_id: str, access: int) -> int | None:
        try:
            return os.open(self.names.manifest(snapshot_id), access | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.root)
        except FileNotFoundError:
            return None

    def staging_or_spare(self) -> tuple[int | None, int | None]:
        """Return the inodes of staging and of the spare, None for what is not there."""
        return self.inode(self.names.own(STAGING)), self.inode(self.names.own(SPARE))


def _taken_over(inode: int) -> Snapshot:
    """Return a snapshot nobody has recorded: made by other means, or its catalog was lost."""
    return Snapshot(f"taken-over-{inode}", inode, complete=True, has_manifest=False, checksums_complete=False)


def rotate(store: Store, journal: Journal, demand: Callable[[], None]) -> None:
    """Do what a journal says is still to be done, and close it; `demand` does not return if the lock is lost."""
    for move in journal.moves:
        demand()
        store.move(move)
    demand()
    if journal.manifest:
        store.adopt_manifest(journal.manifest)
    store.close_journal()
