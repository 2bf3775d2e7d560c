"""What is known of one entry of a tree: the attributes a listing gives, and the record a manifest keeps.

The first eight fields of both are the same and in the same order, so that a whole directory is compared by
comparing dictionaries of tuples.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from operator import attrgetter
from os import stat_result
from typing import NamedTuple

UNKNOWN = 0
"""Stands for an inode of the source that nobody recorded (a snapshot taken over without a manifest); the ctime of
such a record is that of the backup's inode."""

SUSPICIOUS = -1
"""Stands for the ctime of a file that may have changed while a tool copied it: no ctime of a source equals it."""

NO_CHECKSUM = b""

# Flags of a record.
CARRIED = 1
"""The source could not be read; what the base had was carried over."""
XATTRS = 2
"""The source file has extended attributes, which are not kept."""
RESTLESS = 4
"""The file changed each time it was read; what was read last is kept."""

# Flags of a directory.
DIRECTORY_UNREADABLE = 1
"""The source directory could not be listed; its content was carried over."""
DIRECTORY_OTHER_MOUNT = 2
"""Another file system is mounted here on the source; it was not entered."""
DIRECTORY_XATTRS = 4
"""The source directory has extended attributes, which are not kept."""
DIRECTORY_PARTIAL = 8
"""The run was cut off inside this directory: a step of progress, never part of a sealed manifest."""


class Attributes(NamedTuple):
    """One entry as lstat shows it; times in nanoseconds since the epoch, size in bytes."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    ino: int
    nlink: int


class Image(NamedTuple):
    """One entry of the backup as lstat shows it: what a snapshot keeps, and the inode that holds it."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ino: int


class Record(NamedTuple):
    """One non-directory of a snapshot: the source's attributes, and what the backup holds for it.

    `bino` is the inode in the backup, `checksum` the MD5 of what was read (16 bytes, or empty), `detail` the target of
    a symbolic link or `major:minor` of a device.
    """

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    ino: int
    nlink: int
    bino: int
    flags: int
    checksum: bytes
    detail: bytes


KEPT_FIELDS = 5
"""mode, uid, gid, size, mtime: what a snapshot keeps of an entry, the leading fields of both tuples."""

attributes_of: Callable[[stat_result], tuple[int, ...]] = attrgetter(
    "st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_nlink"
)
"""Returns the fields of Attributes as a plain tuple (the loop over every entry of a tree is made of this)."""


image_of: Callable[[stat_result], tuple[int, ...]] = attrgetter(
    "st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ino"
)
"""Returns the fields of Image as a plain tuple."""


def attributes(status: stat_result) -> Attributes:
    """Return the attributes that lstat or fstat gave."""
    return Attributes._make(attributes_of(status))


def record_of(entry: Attributes, bino: int, checksum: bytes, detail: bytes = b"", flags: int = 0) -> Record:
    """Return the record of a source entry that the backup holds under inode bino."""
    return Record(*entry, bino, flags, checksum, detail)


def adopted_record(entry: Attributes, nlink: int) -> Record:
    """Return the record of an entry of a snapshot without a manifest: nothing is known of the source it came from.

    `nlink` is how many names the inode has within the snapshot; its own link count is that of all snapshots together.
    """
    return Record._make((*entry[:KEPT_FIELDS], entry.ctime_ns, UNKNOWN, nlink, entry.ino, 0, NO_CHECKSUM, b""))


def copied_record(entry: Attributes, bino: int, checksum: bytes, held_still: bool) -> Record:
    """Return the record of a file that a tool copied; one that may have changed meanwhile will be read again."""
    ctime_ns = entry.ctime_ns if held_still else SUSPICIOUS
    return record_of(entry._replace(ctime_ns=ctime_ns), bino, checksum)


def is_regular(mode: int) -> bool:
    """Tell whether a mode is that of a regular file."""
    return stat.S_ISREG(mode)


def device_detail(rdev_major: int, rdev_minor: int) -> bytes:
    """Return the detail of a device."""
    return b"%d:%d" % (rdev_major, rdev_minor)
