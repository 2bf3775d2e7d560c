"""What verify found of a snapshot, kept beside its manifest until the snapshot is gone."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from efs_backup.effects import tree
from efs_backup.effects.files import read_text, write_durably
from efs_backup.effects.store import Store
from efs_backup.pure.layout import MANIFESTS


class Verdict(NamedTuple):
    """The result of one verify: when, whether all was well, and the inodes of the backup that are damaged."""

    time: str
    sound: bool
    whole: bool
    damaged: tuple[int, ...]


def write_verdict(store: Store, snapshot_id: str, verdict: Verdict) -> None:
    """Keep what a verify found."""
    path = store.names.verdict(snapshot_id)
    write_durably(store.root, path, json.dumps(verdict._asdict()) + "\n", store.shown(path))


def read_verdict(store: Store, snapshot_id: str) -> Verdict | None:
    """Return what the last verify of a snapshot found, None if there was none, or what it left cannot be read."""
    text = read_text(store.root, store.names.verdict(snapshot_id))
    try:
        plain = json.loads(text) if text else None
        return Verdict(plain["time"], plain["sound"], plain["whole"], tuple(plain["damaged"])) if plain else None
    except (ValueError, KeyError, TypeError):
        return None


def damaged_inodes(store: Store) -> frozenset[int]:
    """Return the inodes that any verify found to hold something else than they should."""
    with tree.directory(store.root, store.names.own(MANIFESTS)) as manifests:
        ids = [name.removesuffix(".verified") for name in os.listdir(manifests) if name.endswith(".verified")]
    verdicts = (read_verdict(store, snapshot_id) for snapshot_id in ids)
    return frozenset(inode for verdict in verdicts if verdict for inode in verdict.damaged)
