"""Finds a snapshot by number or id and holds it: a rotation meanwhile changes nothing for who reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from efs_backup.effects import tree
from efs_backup.effects.files import exists
from efs_backup.effects.store import Store, Survey
from efs_backup.pure.catalog import Snapshot
from efs_backup.pure.errors import BackupError, UsageError
from efs_backup.pure.layout import PROGRESS, SPARE

_ATTEMPTS = 5


class Held(NamedTuple):
    """A snapshot that is being read: its number when it was looked up, its root, and the path of its manifest.

    `path` is what a person calls it. A rotation may move the tree at any moment, so it is reached by the descriptor
    `root` only: `within` is a path that leads there in this process and those it forks; `find` says where it is now.
    """

    number: int
    snapshot: Snapshot
    root: int
    path: str
    manifest: str | None
    find: Callable[[], str]

    def within(self, path: str) -> str:
        """Return a path to something in the snapshot that no rotation can lead astray."""
        return f"/proc/self/fd/{self.root}/{path}".rstrip("/")


def checked_number(text: str) -> int:
    """Return the number of a snapshot."""
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"number {text!r} must be a whole number: 0 is the newest snapshot (see efs-backup list)")
    return int(text)


@contextmanager
def held(store: Store, number: int | None, snapshot_id: str | None) -> Iterator[Held]:
    """Hold a snapshot, by its id or else its number, while the block runs.

    The number is resolved once. Its tree is held by a descriptor, and by a lock that keeps it from being recycled.
    """
    for _ in range(_ATTEMPTS):
        survey = store.survey()
        now, snapshot, path = _find(store, survey, number, snapshot_id)
        # Whatever the number stands for in a moment, it is this snapshot that was asked for.
        number, snapshot_id = None, snapshot.id
        with store.reading(snapshot):
            root = _open(store, path, snapshot)
            if root is None:
                continue
            try:
                manifest = _manifest(store, survey, snapshot)
                yield Held(now, snapshot, root, store.shown(path), manifest, partial(_where, store, snapshot))
            finally:
                os.close(root)
            return
    raise BackupError(f"snapshot {snapshot_id} keeps moving: is a rotation going on? run again")


def _find(store: Store, survey: Survey, number: int | None, snapshot_id: str | None) -> tuple[int, Snapshot, str]:
    for at, standing in survey.numbered:
        if standing.snapshot.id == snapshot_id or (snapshot_id is None and at == (number or 0)):
            return at, standing.snapshot, standing.path
    there = ", ".join(str(at) for at, _ in survey.numbered) or "none"
    wanted = snapshot_id if snapshot_id is not None else store.names.snapshot(number or 0)
    raise BackupError(f"there is no snapshot {wanted} under {store.path} (numbers there: {there}): see efs-backup list")


def _where(store: Store, snapshot: Snapshot) -> str:
    """Return the path of a snapshot's tree at this moment; it may have expired since it was looked up."""
    names = store.names
    published = [standing.path for standing in store.survey().standings]
    for path in (*published, names.own(SPARE), names.trash(snapshot.id)):
        if store.inode(path) == snapshot.inode:
            return store.shown(path)
    raise BackupError(f"snapshot {snapshot.id} is gone from {store.path}: was it removed by hand?")


def _open(store: Store, path: str, snapshot: Snapshot) -> int | None:
    """Return a descriptor of a snapshot's root, None if it has moved since it was looked up."""
    try:
        root = tree.open_directory(store.root, path)
    except OSError as error:
        if error.errno in tree.GONE:
            return None
        raise
    if os.fstat(root).st_ino == snapshot.inode:
        return root
    os.close(root)
    return None


def _manifest(store: Store, survey: Survey, snapshot: Snapshot) -> str | None:
    """Return the path of a snapshot's manifest; before its rotation has ended it still lies at `progress`."""
    path = store.shown(store.names.manifest(snapshot.id))
    if exists(path):
        return path
    if survey.journal is not None and survey.journal.manifest == snapshot.id:
        return store.shown(store.names.own(PROGRESS))
    return None
