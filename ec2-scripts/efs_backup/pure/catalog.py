"""The catalog: which snapshots an interval has; and the journal: what a rotation is about to do.

A snapshot is known by its id and found by the inode of its root directory; its number is only where it stands.
The journal is the next catalog together with the moves that lead to it; renaming it over the catalog closes it.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from efs_backup.pure.errors import FormatError

VERSION = 1


class Snapshot(NamedTuple):
    """One published snapshot. Times are ISO 8601 in UTC; counts are None where nobody counted (taken over)."""

    id: str
    inode: int
    complete: bool
    started: str | None = None
    finished: str | None = None
    files: int | None = None
    bytes: int | None = None
    has_manifest: bool = True
    checksums_complete: bool = True


class Catalog(NamedTuple):
    """The snapshots of an interval, newest first, and the spare, the expired tree kept to be recycled."""

    snapshots: tuple[Snapshot, ...] = ()
    spare: Snapshot | None = None

    def to_json(self) -> str:
        """Return the catalog as a JSON text."""
        return json.dumps(self._plain(), indent=1) + "\n"

    def _plain(self) -> dict[str, Any]:
        spare = self.spare._asdict() if self.spare else None
        return {"version": VERSION, "snapshots": [s._asdict() for s in self.snapshots], "spare": spare}

    def by_inode(self) -> dict[int, Snapshot]:
        """Return inode of the root directory -> snapshot, the spare included."""
        known = (*self.snapshots, *([self.spare] if self.spare else []))
        return {s.inode: s for s in known}


class Move(NamedTuple):
    """A directory that must end at `target` (both paths relative to the folder label), known by its inode."""

    inode: int
    source: str
    target: str


class Journal(NamedTuple):
    """What a rotation does: the directories it moves, in order, and the catalog that is true once all are done."""

    moves: tuple[Move, ...]
    manifest: str
    """Id of the snapshot whose sealed manifest still lies at `progress`; empty when none does."""
    after: Catalog

    def to_json(self) -> str:
        """Return the journal as a JSON text, which is also a valid catalog text."""
        plain = self.after._plain()
        plain["moves"] = [m._asdict() for m in self.moves]
        plain["manifest"] = self.manifest
        return json.dumps(plain, indent=1) + "\n"


def parse_catalog(text: str, path: str) -> Catalog:
    """Return the catalog in a text; raise FormatError naming path if it is not one."""
    plain = _load(text, path)
    try:
        spare = Snapshot(**plain["spare"]) if plain["spare"] else None
        return Catalog(tuple(Snapshot(**s) for s in plain["snapshots"]), spare)
    except (KeyError, TypeError) as error:
        raise FormatError(
            f"{path} is damaged ({error}): move it away and run backup again to take the snapshots over"
        ) from error


def parse_journal(text: str, path: str) -> Journal:
    """Return the journal in a text; raise FormatError naming path if it is not one."""
    plain = _load(text, path)
    try:
        moves = tuple(Move(**m) for m in plain["moves"])
        return Journal(moves, str(plain["manifest"]), parse_catalog(text, path))
    except (KeyError, TypeError) as error:
        raise FormatError(f"{path} is damaged ({error})") from error


def without_spare(catalog: Catalog) -> Catalog:
    """Return the catalog after its spare has been taken or given up."""
    return catalog._replace(spare=None)


def _load(text: str, path: str) -> dict[str, Any]:
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{path} is damaged ({error})") from error
    if not isinstance(plain, dict) or plain.get("version") != VERSION:
        raise FormatError(
            f"{path} is of a version this program does not know: use the program that wrote it, or a newer one"
        )
    return plain
