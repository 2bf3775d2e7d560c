"""A file of frames: pieces of bytes, each under a path, appended as they come and found again by an index.

    magic | frame … | index | summary | trailer
    frame = header (length of path, bucket, length of payload, CRC-32) | path | payload

The manifest of a snapshot is such a file. Without index, summary and trailer it is the progress of a run: whatever
whole frames a dead run left are read back in order, and a torn one at the end is dropped. Of several frames under one
path and bucket the last counts.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Collection, Iterator
from typing import IO, Any, NamedTuple

from efs_backup.pure.errors import FormatError

MAGIC = b"efs-backup frames 1\n"
_HEADER = struct.Struct("<IIII")
_TRAILER = struct.Struct("<QQQII8s")
_END = b"efsb-end"
_BUFFER = 1 << 20
_WHOLE = 4 << 20
"""A file up to this size is fetched as a whole: over NFS a few large READs instead of one for every few pages."""


def key_of(path: str, bucket: int) -> int:
    """Return the 64-bit number under which the index knows a path and bucket."""
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8, salt=bucket.to_bytes(4, "little"))
    return int.from_bytes(digest.digest(), "little")


class Frame(NamedTuple):
    """One piece: the path (of a directory of the tree) and bucket it belongs to, and its bytes."""

    path: str
    bucket: int
    payload: bytes


class FrameWriter:
    """Appends frames to a file; `seal` adds what makes them findable."""

    def __init__(self, descriptor: int) -> None:
        """Append to an open file (whose descriptor this takes over) that is empty or ends with a whole frame."""
        self._file: IO[bytes] = os.fdopen(descriptor, "ab", buffering=_BUFFER)
        self._at = os.fstat(descriptor).st_size
        self._keys, self._offsets, self._lengths = array("Q"), array("Q"), array("I")
        self._files, self._sizes = array("Q"), array("Q")
        self._synced_at = self._at
        if self._at == 0:
            self._file.write(MAGIC)
            self._at = len(MAGIC)

    def __len__(self) -> int:
        """Return how many frames were appended, superseded ones included."""
        return len(self._keys)

    def append(self, path: str, bucket: int, payload: bytes, files: int = 0, size: int = 0) -> None:
        """Append one frame; `files` and `size` are what it adds to the totals as long as nothing supersedes it."""
        name = os.fsencode(path)
        crc = zlib.crc32(payload, zlib.crc32(name))
        self._file.write(_HEADER.pack(len(name), bucket, len(payload), crc) + name)
        self._file.write(payload)
        length = _HEADER.size + len(name) + len(payload)
        self._keys.append(key_of(path, bucket))
        self._offsets.append(self._at)
        self._lengths.append(length)
        self._files.append(files)
        self._sizes.append(size)
        self._at += length

    def flush(self) -> None:
        """Hand what is buffered to the kernel."""
        self._file.flush()

    def sync(self) -> None:
        """Make everything appended so far durable."""
        if self._at != self._synced_at:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._synced_at = self._at

    def totals(self) -> tuple[int, int, int]:
        """Return (frames, files, bytes) of all frames that count."""
        order = self._last_of_each_key()
        return len(order), sum(self._files[i] for i in order), sum(self._sizes[i] for i in order)

    def garbage(self) -> float:
        """Return the share of the file that nobody will read: frames of earlier runs, and superseded ones."""
        useful = sum(self._lengths[i] for i in self._last_of_each_key())
        return 1 - useful / max(1, self._at)

    def copy_to(self, other: FrameWriter, leave_out: Callable[[str], bool]) -> None:
        """Append to another file each frame of this writer that counts, except those under paths to be left out."""
        self.flush()
        reader = os.open(f"/proc/self/fd/{self._file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for i in sorted(self._last_of_each_key()):
                frame = self._read(reader, i)
                if not leave_out(frame.path):
                    other.append(frame.path, frame.bucket, frame.payload, self._files[i], self._sizes[i])
        finally:
            os.close(reader)

    def latest_of(self, places: Collection[tuple[str, int]]) -> Iterator[Frame]:
        """Yield the newest frame of each of some paths and buckets."""
        wanted = {key_of(path, bucket) for path, bucket in places}
        newest = {key: i for i, key in enumerate(self._keys) if key in wanted}
        self.flush()
        reader = os.open(f"/proc/self/fd/{self._file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for i in newest.values():
                yield self._read(reader, i)
        finally:
            os.close(reader)

    def _read(self, reader: int, i: int) -> Frame:
        frame = _parse(os.pread(reader, self._lengths[i], self._offsets[i]))
        if frame is None:
            raise FormatError(
                f"the progress file is damaged at byte {self._offsets[i]}: it was not read as it was written"
            )
        return frame

    def seal(self, summary: dict[str, Any]) -> None:
        """Add index, summary and trailer, and make the file durable. Nothing is appended after that."""
        order = self._last_of_each_key()
        keys = array("Q", (self._keys[i] for i in order))
        offsets = array("Q", (self._offsets[i] for i in order))
        lengths = array("I", (self._lengths[i] for i in order))
        text = zlib.compress(json.dumps(summary).encode("ascii"))
        index = b"".join(_little(column) for column in (keys, offsets, lengths))
        crc = zlib.crc32(text, zlib.crc32(index))
        self._file.write(index + text + _TRAILER.pack(self._at, len(keys), len(text), crc, 0, _END))
        self._at += len(index) + len(text) + _TRAILER.size
        self.sync()

    def _last_of_each_key(self) -> list[int]:
        order = sorted(range(len(self._keys)), key=self._keys.__getitem__)
        following = [*order[1:], -1][: len(order)]
        return [i for i, j in zip(order, following, strict=True) if j < 0 or self._keys[i] != self._keys[j]]

    def close(self) -> None:
        """Close the file; what is buffered is written first."""
        self._file.close()


class FrameReader:
    """Finds frames in a sealed file. Only the keys of the index are held in memory, 8 bytes each."""

    def __init__(self, descriptor: int, path: str) -> None:
        """Open a sealed file by its descriptor (taken over); `path` is what a person calls it."""
        self._descriptor, self._path = descriptor, path
        size = os.fstat(descriptor).st_size
        if size < len(MAGIC) + _TRAILER.size:
            raise self._damaged("it is too short")
        if size <= _WHOLE:
            os.posix_fadvise(descriptor, 0, size, os.POSIX_FADV_WILLNEED)
        self._index_at, self._count, text_length, crc, _, end = _TRAILER.unpack(
            os.pread(descriptor, _TRAILER.size, size - _TRAILER.size)
        )
        index_length = 20 * self._count
        if end != _END or self._index_at + index_length + text_length + _TRAILER.size != size:
            raise self._damaged("it does not end as it should")
        tail = os.pread(descriptor, index_length + text_length, self._index_at)
        if zlib.crc32(tail) != crc:
            raise self._damaged("its index does not match its checksum")
        self._keys = array("Q")
        self._keys.frombytes(tail[: 8 * self._count])
        if sys.byteorder == "big":
            self._keys.byteswap()
        self.summary: dict[str, Any] = json.loads(zlib.decompress(tail[index_length:]))

    def get(self, path: str, bucket: int = 0) -> bytes | None:
        """Return the payload under a path and bucket, None if there is none; raise FormatError if it is damaged."""
        key = key_of(path, bucket)
        at = bisect.bisect_left(self._keys, key)
        while at < self._count and self._keys[at] == key:
            frame = self._frame(at)
            if frame.path == path and frame.bucket == bucket:
                return frame.payload
            at += 1
        return None

    def __iter__(self) -> Iterator[Frame]:
        """Yield all frames that count, in the order of the index."""
        for at in range(self._count):
            yield self._frame(at)

    def _frame(self, at: int) -> Frame:
        offsets = self._index_at + 8 * self._count
        (offset,) = struct.unpack("<Q", os.pread(self._descriptor, 8, offsets + 8 * at))
        (length,) = struct.unpack("<I", os.pread(self._descriptor, 4, offsets + 8 * self._count + 4 * at))
        frame = _parse(os.pread(self._descriptor, length, offset))
        if frame is None:
            raise self._damaged(f"the frame at byte {offset} does not match its checksum")
        return frame

    def _damaged(self, why: str) -> FormatError:
        return FormatError(f"{self._path} is damaged: {why}")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def unsealed_frames(descriptor: int) -> Iterator[tuple[int, int, Frame]]:
    """Yield (offset, length, frame) for each whole frame of a file that was not sealed; stop at the first torn one."""
    with os.fdopen(os.dup(descriptor), "rb", buffering=_BUFFER) as file:
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            return
        at = len(MAGIC)
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            name_length, _, payload_length, _ = _HEADER.unpack(header)
            body = file.read(name_length + payload_length)
            frame = _parse(header + body)
            if frame is None:
                return
            length = len(header) + len(body)
            yield at, length, frame
            at += length


def _parse(raw: bytes) -> Frame | None:
    """Return the frame in these bytes, None if they are not exactly one whole frame."""
    if len(raw) < _HEADER.size:
        return None
    name_length, bucket, payload_length, crc = _HEADER.unpack_from(raw)
    body = raw[_HEADER.size :]
    if len(body) != name_length + payload_length or zlib.crc32(body) != crc:
        return None
    return Frame(os.fsdecode(body[:name_length]), bucket, body[name_length:])


def _little(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return column.tobytes()
