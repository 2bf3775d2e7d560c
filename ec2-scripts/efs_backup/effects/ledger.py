"""An index on this machine's disk for what may be too much to hold in memory: the names of files that have several."""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from efs_backup.pure.links import Sighting
from efs_backup.pure.records import Record

_CACHE_KIB = 8192


class Ledger:
    """Sightings by source inode, and what came of each, by directory. SQLite in a private directory, not synced."""

    def __init__(self, path: Path) -> None:
        """Make the index at a path that does not exist."""
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.executescript(
            f"""
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
            PRAGMA cache_size = -{_CACHE_KIB}; PRAGMA temp_store = FILE;
            CREATE TABLE sighting (
                ino BLOB, directory BLOB, name BLOB, bucket INT, buckets INT, settled INT, bino BLOB,
                PRIMARY KEY (directory, name)
            ) WITHOUT ROWID;
            CREATE TABLE claim (bino BLOB PRIMARY KEY, ino BLOB) WITHOUT ROWID;
            CREATE TABLE member (
                directory BLOB, bucket INT, name BLOB, record BLOB, PRIMARY KEY (directory, bucket, name)
            ) WITHOUT ROWID;
            BEGIN;
            """
        )

    def close(self) -> None:
        """Close the index."""
        self._base.close()

    def sight(self, sightings: Iterable[Sighting]) -> None:
        """Note names of inodes that have several; a name noted before is replaced."""
        rows = (
            (
                _number(s.ino),
                os.fsencode(s.directory),
                os.fsencode(s.name),
                s.bucket,
                s.buckets,
                s.settled,
                _number(s.bino),
            )
            for s in sightings
        )
        self._base.executemany("INSERT OR REPLACE INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def groups(self) -> Iterator[list[Sighting]]:
        """Yield the names of each source inode, in the order of their paths."""
        self._base.execute("CREATE INDEX IF NOT EXISTS by_inode ON sighting (ino, directory, name)")
        rows = self._base.execute(
            "SELECT ino, directory, name, bucket, buckets, settled, bino FROM sighting ORDER BY ino, directory, name"
        )
        for _, group in groupby(rows, key=lambda row: row[0]):
            yield [_sighting(row) for row in group]

    def claim_settled(self) -> None:
        """Let every source inode that is settled claim the inode of the backup it has."""
        self._base.execute(
            "INSERT OR IGNORE INTO claim SELECT bino, min(ino) FROM sighting WHERE settled GROUP BY bino"
        )

    def claim(self, bino: int, ino: int) -> bool:
        """Claim an inode of the backup for a source inode; tell whether it is its own (then, or already)."""
        self._base.execute("INSERT OR IGNORE INTO claim VALUES (?, ?)", (_number(bino), _number(ino)))
        row = self._base.execute("SELECT ino FROM claim WHERE bino = ?", (_number(bino),)).fetchone()
        return bool(row[0] == _number(ino))

    def note(self, members: Iterable[tuple[Sighting, Record | None]]) -> None:
        """Note what came of names; the last word on a name counts."""
        rows = (
            (os.fsencode(s.directory), s.bucket, os.fsencode(s.name), pickle.dumps(tuple(record) if record else None))
            for s, record in members
        )
        self._base.executemany("INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?)", rows)

    def by_directory(self) -> Iterator[tuple[str, int, dict[str, Record | None]]]:
        """Yield (directory, bucket, name -> record) for all that was noted."""
        rows = self._base.execute("SELECT directory, bucket, name, record FROM member ORDER BY directory, bucket")
        for (directory, bucket), group in groupby(rows, key=lambda row: (row[0], row[1])):
            yield os.fsdecode(directory), bucket, {os.fsdecode(row[2]): _record(row[3]) for row in group}


def _record(pickled: bytes) -> Record | None:
    fields = pickle.loads(pickled)  # noqa: S301  this process wrote it, into its own private directory
    return Record(*fields) if fields is not None else None


def _number(value: int) -> bytes:
    """Inode numbers have 64 bits without a sign, SQLite's integers have one."""
    return value.to_bytes(8, "big")


def _sighting(row: tuple[bytes, bytes, bytes, int, int, int, bytes]) -> Sighting:
    ino, directory, name, bucket, buckets, settled, bino = row
    return Sighting(
        int.from_bytes(ino, "big"), os.fsdecode(directory), os.fsdecode(name), bucket, buckets, bool(settled),
        int.from_bytes(bino, "big"),
    )  # fmt: skip
