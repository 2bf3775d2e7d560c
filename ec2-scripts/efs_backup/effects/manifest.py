"""Reads manifests (and what a dead run left of one) by directory."""

from __future__ import annotations

import os
from pathlib import Path

from efs_backup.effects.frames import FrameReader, FrameWriter, unsealed_frames
from efs_backup.pure.block import PackedBlock, bucket_of
from efs_backup.pure.errors import FormatError
from efs_backup.pure.layout import join
from efs_backup.pure.records import Record


class Manifest:
    """What a tree holds, directory by directory. Closed by `close`."""

    def __init__(self, path: str, shown: str) -> None:
        """Open the sealed manifest at a path; `shown` is what a person calls it. FormatError if it is damaged."""
        self._frames = FrameReader(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), shown)
        self.summary = self._frames.summary

    def raw(self, path: str, bucket: int = 0) -> bytes | None:
        """Return the compressed block of a directory's bucket, None if the tree has no such directory."""
        return self._frames.get(path, bucket)

    def packed(self, path: str, bucket: int = 0) -> PackedBlock | None:
        """Return the block of a directory's bucket."""
        raw = self.raw(path, bucket)
        return PackedBlock(raw) if raw is not None else None

    def records(self, path: str, bucket: int, buckets: int) -> dict[str, Record]:
        """Return name -> record for one bucket of `buckets` of a directory, however the manifest itself divides it."""
        head = self.packed(path)
        if head is None:
            return {}
        if head.buckets == buckets:
            block = head if bucket == 0 else self._bucket(path, bucket)
            return block.records()
        found: dict[str, Record] = {}
        for number in range(head.buckets):
            if number % min(buckets, head.buckets) == bucket % min(buckets, head.buckets):
                found.update(self._bucket(path, number).records())
        return {name: record for name, record in found.items() if bucket_of(name, buckets) == bucket}

    def _bucket(self, path: str, bucket: int) -> PackedBlock:
        block = self.packed(path, bucket)
        if block is None:
            raise FormatError(f"the manifest lacks part {bucket} of directory {path!r}")
        return block

    def close(self) -> None:
        """Close the file."""
        self._frames.close()


def recover_progress(descriptor: int, target: Path) -> FrameWriter:
    """Return a writer that goes on after the last whole frame of a dead run's progress.

    What stands in it is put, sealed, into the file `target` on this machine, so that workers can look it up. It is
    knowledge, not part of the manifest that is being written: the source may have changed since.
    """
    copy = FrameWriter(os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    end = 0
    for offset, length, frame in unsealed_frames(descriptor):
        copy.append(frame.path, frame.bucket, frame.payload)
        end = offset + length
    copy.seal({})
    copy.close()
    os.ftruncate(descriptor, end)
    return FrameWriter(descriptor)


def reachable(writer: FrameWriter) -> set[str]:
    """Return the directories that the newest blocks lead to from the root; others were noted and then put away."""
    found: set[str] = set()
    level = {""}
    while level:
        found |= level
        heads = [(frame.path, PackedBlock(frame.payload)) for frame in writer.latest_of([(path, 0) for path in level])]
        level = {join(path, name) for path, head in heads for name in head.directories} - found
    return found
