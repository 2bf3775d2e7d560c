"""The block: one directory (or one part of a huge one) of a manifest, as bytes.

Numbers are little-endian. Columns, not rows: names, then each attribute of all entries, so that reading a block of
a hundred entries is a dozen calls, and zlib finds what repeats. `docs/format.md` describes it for other readers.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from efs_backup.pure.errors import FormatError
from efs_backup.pure.records import NO_CHECKSUM, Record, is_regular

BUCKET_ENTRIES = 4096
"""A directory with more names is kept as several blocks, each of about this many entries at the most."""

_HEAD = struct.Struct("<3Q2q4Q6I")
_CHECKSUM_BYTES = 16
_ZERO_CHECKSUM = bytes(_CHECKSUM_BYTES)
_COLUMN_TYPES = "QQQQqqQQQQ"
"""One letter a numeric field of Record, as module array has them: times are signed, the rest is not."""
_COMPRESSION = 1
"""zlib's fastest level: what is gained above it is less than what it costs on a full night."""


@dataclass(slots=True)
class DirectoryAttributes:
    """A directory of the source."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    ino: int
    flags: int = 0


@dataclass(slots=True)
class Block:
    """One directory, or bucket number `bucket` of `buckets` of a huge one.

    `directories` (names of subdirectories) and `absent` (names that could neither be read nor carried over) stand in
    bucket 0 only.
    """

    directory: DirectoryAttributes
    files: dict[str, Record]
    directories: list[str]
    absent: list[str] = field(default_factory=list)
    buckets: int = 1


def bucket_of(name: str, buckets: int) -> int:
    """Return which of `buckets` (a power of two) blocks of its directory a name belongs to."""
    return zlib.crc32(os.fsencode(name)) & (buckets - 1)


def buckets_for(entries: int) -> int:
    """Return into how many blocks a directory of so many entries is divided: a power of two."""
    buckets = 1
    while entries > buckets * BUCKET_ENTRIES:
        buckets *= 2
    return buckets


def encode(block: Block) -> bytes:
    """Return the block as compressed bytes."""
    records = list(block.files.values())
    names = _join(list(block.files))
    directories = _join(block.directories)
    absent = _join(block.absent)
    details = b"".join(struct.pack("<I", len(r.detail)) + r.detail for r in records if r.detail)
    d = block.directory
    head = _HEAD.pack(
        d.mode, d.uid, d.gid, d.mtime_ns, d.ctime_ns, d.ino, d.flags, block.buckets,
        sum(r.size for r in records if is_regular(r.mode)),
        len(records), len(block.directories), len(names), len(directories), len(absent), len(details),
    )  # fmt: skip
    rows = zip(*(r[: len(_COLUMN_TYPES)] for r in records), strict=True)
    columns = [_to_little(array(kind, column)) for kind, column in zip(_COLUMN_TYPES, rows, strict=bool(records))]
    has_detail = bytes(1 if r.detail else 0 for r in records)
    has_checksum = bytes(1 if r.checksum else 0 for r in records)
    checksums = b"".join(r.checksum or _ZERO_CHECKSUM for r in records)
    parts = (head, names, directories, absent, *columns, has_detail, has_checksum, checksums, details)
    return zlib.compress(b"".join(parts), _COMPRESSION)


class PackedBlock:
    """A block just decompressed: columns are at hand, records are made only when somebody asks for them."""

    __slots__ = (
        "_columns",
        "_payload",
        "_rest",
        "absent",
        "buckets",
        "directories",
        "directory",
        "names",
        "size",
        "total_bytes",
    )

    def __init__(self, compressed: bytes) -> None:
        """Open the bytes that `encode` made; raise FormatError for anything else."""
        try:
            self._payload = zlib.decompress(compressed)
            head = _HEAD.unpack_from(self._payload)
        except (zlib.error, struct.error) as error:
            raise FormatError(f"a block of a manifest is damaged ({error})") from error
        self.directory = DirectoryAttributes(*head[:7])
        self.buckets, self.total_bytes, self.size = head[7], head[8], head[9]
        at = _HEAD.size
        blobs = []
        for length in head[11:14]:
            blobs.append(self._payload[at : at + length])
            at += length
        self.names = _split(blobs[0])
        self.directories = _split(blobs[1])
        self.absent = _split(blobs[2])
        self._columns = []
        for kind in _COLUMN_TYPES:
            self._columns.append(_from_little(kind, self._payload[at : at + 8 * self.size]))
            at += 8 * self.size
        self._rest = at
        if len(self.names) != self.size or len(self._payload) != at + (2 + _CHECKSUM_BYTES) * self.size + head[14]:
            raise FormatError("a block of a manifest is damaged (its parts do not fit together)")

    def sources(self) -> dict[str, tuple[int, ...]]:
        """Return name -> the source's attributes, as a listing of an unchanged source gives them."""
        return dict(zip(self.names, zip(*self._columns[:8], strict=True), strict=True))

    def images(self) -> dict[str, tuple[int, ...]]:
        """Return name -> (mode, uid, gid, size, mtime_ns, inode), as a listing of the snapshot gives them."""
        return dict(zip(self.names, zip(*self._columns[:5], self._columns[8], strict=True), strict=True))

    def column(self, number: int) -> array[int]:
        """Return one numeric field of all entries, by its position in Record."""
        return self._columns[number]

    def lacks_checksums(self) -> bool:
        """Tell whether a regular file here has no checksum yet."""
        at = self._rest + self.size
        has = self._payload[at : at + self.size]
        return 0 in has and any(is_regular(m) and not h for m, h in zip(self._columns[0], has, strict=True))

    def records(self) -> dict[str, Record]:
        """Return name -> record."""
        return dict(zip(self.names, self._records(), strict=True))

    def _records(self) -> Iterator[Record]:
        n, at = self.size, self._rest
        has_detail, has_checksum = self._payload[at : at + n], self._payload[at + n : at + 2 * n]
        checksum_at = at + 2 * n
        detail_at = checksum_at + _CHECKSUM_BYTES * n
        for i, numbers in enumerate(zip(*self._columns, strict=True)):
            checksum = NO_CHECKSUM
            if has_checksum[i]:
                start = checksum_at + _CHECKSUM_BYTES * i
                checksum = self._payload[start : start + _CHECKSUM_BYTES]
            detail = b""
            if has_detail[i]:
                (length,) = struct.unpack_from("<I", self._payload, detail_at)
                detail = self._payload[detail_at + 4 : detail_at + 4 + length]
                detail_at += 4 + length
            yield Record._make((*numbers, checksum, detail))

    def unpack(self) -> Block:
        """Return the block as `encode` was given it."""
        return Block(self.directory, self.records(), self.directories, self.absent, self.buckets)


def decode(compressed: bytes) -> Block:
    """Return the block that `encode` made these bytes from; raise FormatError for anything else."""
    return PackedBlock(compressed).unpack()


def _join(names: list[str]) -> bytes:
    """Names cannot hold a NUL, so one separates them; each ends with one, so that none and an empty one differ."""
    return os.fsencode("\0".join(names) + "\0") if names else b""


def _split(blob: bytes) -> list[str]:
    return os.fsdecode(blob[:-1]).split("\0") if blob else []


def _to_little(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _from_little(kind: str, raw: bytes) -> array[int]:
    column = array(kind)
    try:
        column.frombytes(raw)
    except ValueError as error:
        raise FormatError("a block of a manifest is damaged (a column is cut off)") from error
    if sys.byteorder == "big":
        column.byteswap()
    return column
