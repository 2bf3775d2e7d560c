"""The rotation: which directory is renamed to what when a snapshot is published, in an order that never collides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from efs_backup.pure.catalog import Catalog, Journal, Move, Snapshot
from efs_backup.pure.layout import SPARE, STAGING, Names
from efs_backup.pure.retention import retention


class Standing(NamedTuple):
    """A snapshot and the path, relative to the folder label, where its tree stands now."""

    snapshot: Snapshot
    path: str


def rotation(
    names: Names, published: Sequence[Standing], sealed: Snapshot, retain: int, spare_is_free: bool
) -> Journal:
    """Return the journal that makes `sealed` (in staging) number 0 and retires what expires.

    `published` are today's snapshots, newest first. The newest expired tree becomes the spare if that name is free;
    all others go to the trash. Trees are moved oldest first, so that each target is free when its turn comes.
    """
    everything = [Standing(sealed, names.own(STAGING)), *published]
    keep = {v.id: v.keep for v in retention([(s.snapshot.id, s.snapshot.complete) for s in everything], retain)}
    moves: list[Move] = []
    spare: Snapshot | None = None
    for standing in everything:
        if keep[standing.snapshot.id]:
            continue
        target = names.trash(standing.snapshot.id)
        if spare_is_free and spare is None:
            spare, target = standing.snapshot, names.own(SPARE)
        moves.append(Move(standing.snapshot.inode, standing.path, target))
    kept = [s for s in everything if keep[s.snapshot.id]]
    for number, standing in reversed(list(enumerate(kept))):
        if standing.path != names.snapshot(number):
            moves.append(Move(standing.snapshot.inode, standing.path, names.snapshot(number)))
    return Journal(tuple(_ordered(moves)), sealed.id, Catalog(tuple(s.snapshot for s in kept), spare))


def _ordered(moves: list[Move]) -> list[Move]:
    """Return the moves so that no target is the source of a later one (numbers may have had gaps)."""
    waiting = list(moves)
    done: list[Move] = []
    while waiting:
        sources = {m.source for m in waiting}
        ready = [m for m in waiting if m.target not in sources]
        assert ready, "a rotation only moves trees to higher numbers or to lower free ones"
        done.extend(ready)
        waiting = [m for m in waiting if m not in ready]
    return done
