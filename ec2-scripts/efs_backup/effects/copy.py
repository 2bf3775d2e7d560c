"""Copies one entry of the source into a directory of staging, under a name that is absent there."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from efs_backup.effects.tree import look_at, retried, unlink
from efs_backup.pure.records import RESTLESS, XATTRS, Attributes, Record, attributes, device_detail, record_of

CHUNK = 1 << 20
_HOLE = 4096
_ZEROS = bytes(CHUNK)
_ATTEMPTS = 3
SETTLED_NS = 1_000_000_000
"""A file whose ctime is not at least this long before its read began may have changed within one tick of the clock
that gives ctimes, or on a server whose clock is ahead: it is read a second time."""

_OPEN_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_PLAIN_XATTRS = ("security.selinux", "system.nfs4_acl")
"""Attributes that the kernel shows for every file; they hold nothing of the user's."""


class SourceReadError(Exception):
    """The source entry could not be read, after retries."""

    def __init__(self, error: OSError) -> None:
        """Keep the error of the file system."""
        super().__init__(error.strerror or str(error))
        self.errno = error.errno


class VanishedError(Exception):
    """The source entry is no longer there, or is no longer of the type it was listed as."""


class Copied(NamedTuple):
    """What was made in staging, the bytes of content that were written, and whether it changed while it was read."""

    record: Record
    bytes_written: int
    changed: bool


class Reading(NamedTuple):
    """What reading a source file gave: its attributes while it was read, and the MD5 of its content."""

    entry: Attributes
    checksum: bytes
    changed: bool
    xattrs: bool


def reads_source(attempt: Callable[[], Attributes]) -> Attributes:
    """Return what attempt returns; an error becomes SourceReadError or VanishedError."""
    try:
        return retried(attempt)
    except FileNotFoundError as error:
        raise VanishedError from error
    except OSError as error:
        raise SourceReadError(error) from error


def settled(entry: Attributes, began_ns: int) -> bool:
    """Tell whether a file was last touched long enough before its read began to be sure that it held still."""
    return entry.ctime_ns < began_ns - SETTLED_NS


def has_xattrs(descriptor: int) -> bool:
    """Tell whether what is open has extended attributes or an ACL of the user's."""
    try:
        return any(name not in _PLAIN_XATTRS for name in os.listxattr(descriptor))
    except OSError:
        # The file system has none, or does not show them.
        return False


def entry_has_xattrs(directory: int, name: str) -> bool:
    """Tell the same of a name in a directory, without opening it or following a symbolic link."""
    try:
        names = os.listxattr(f"/proc/self/fd/{directory}/{name}", follow_symlinks=False)
    except OSError:
        return False
    return any(name not in _PLAIN_XATTRS for name in names)


def read_source(source: int, name: str, check: Callable[[], None]) -> Reading:
    """Return the attributes and the MD5 of a regular source file, read again while it changes."""
    return _repeatedly(source, name, check, lambda chunk: None, lambda entry: None)


def copy_entry(
    source: int,
    target: int,
    name: str,
    entry: Attributes,
    check: Callable[[], None],
    new: str | None = None,
    exclusive: bool = False,
) -> Copied:
    """Copy one non-directory of the source into the directory `target` of staging, where the name `new` is absent.

    `entry` is what the listing said; `check` is called often and may raise to stop. `exclusive` where others can write
    in `target`. Raises SourceReadError or VanishedError for the source, OSError for staging. Whatever is raised, no
    half-made file stays.
    """
    new = name if new is None else new
    try:
        if stat.S_ISREG(entry.mode):
            return _copy_regular(source, _Writer(target, new, exclusive), name, check)
        return _copy_special(source, target, name, new)
    except BaseException:
        unlink(target, new)
        raise


def _copy_regular(source: int, writer: _Writer, name: str, check: Callable[[], None]) -> Copied:
    try:
        reading = _repeatedly(source, name, check, writer.write, writer.restart)
        flags = (XATTRS if reading.xattrs else 0) | (RESTLESS if reading.changed else 0)
        bino = writer.finish(reading.entry)
    finally:
        writer.close()
    # What was read may be longer or shorter than the last fstat said; the record says what the backup holds.
    entry = reading.entry._replace(size=writer.length)
    return Copied(record_of(entry, bino, reading.checksum, flags=flags), writer.length, reading.changed)


def _repeatedly(
    source: int,
    name: str,
    check: Callable[[], None],
    write: Callable[[bytes], None],
    restart: Callable[[Attributes], None],
) -> Reading:
    """Read a source file until two looks at it, before and after a read, agree; give up after a few attempts.

    Over NFS a file that another client removes or replaces while it is read is stale: what has its name now is read.
    """
    for attempt in range(_ATTEMPTS):
        began_ns = time.time_ns()
        try:
            before, after, checksum, xattrs = _read_once(source, name, check, write, restart)
            held_still = before[:7] == after[:7]
            if held_still and not settled(before, began_ns):
                _, again, second, _ = _read_once(source, name, check, lambda chunk: None, lambda entry: None)
                held_still = second == checksum and again[:7] == before[:7]
        except SourceReadError as error:
            if error.errno != errno.ESTALE or attempt + 1 == _ATTEMPTS:
                raise
            continue
        if held_still:
            return Reading(before, checksum, False, xattrs)
        if attempt + 1 < _ATTEMPTS:
            time.sleep(0.02)
    return Reading(before, checksum, True, xattrs)


def _read_once(
    source: int,
    name: str,
    check: Callable[[], None],
    write: Callable[[bytes], None],
    restart: Callable[[Attributes], None],
) -> tuple[Attributes, Attributes, bytes, bool]:
    """Read a source file from its start, handing each chunk on; errors of `write` pass through as they are."""
    descriptor = open_source(source, name)
    try:
        before = reads_source(lambda: attributes(os.fstat(descriptor)))
        if not stat.S_ISREG(before.mode):
            raise VanishedError
        restart(before)
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := read_chunk(descriptor):
            digest.update(chunk)
            write(chunk)
            check()
        after = reads_source(lambda: attributes(os.fstat(descriptor)))
        return before, after, digest.digest(), has_xattrs(descriptor)
    finally:
        os.close(descriptor)


def open_source(source: int, name: str) -> int:
    """Return a descriptor of a source file; a FIFO does not block it, a symbolic link is not followed."""
    try:
        return retried(lambda: _open_without_atime(source, name))
    except FileNotFoundError as error:
        raise VanishedError from error
    except OSError as error:
        with suppress(OSError):
            if look_at(source, name) is None:
                raise VanishedError from error
        raise SourceReadError(error) from error


def _open_without_atime(source: int, name: str) -> int:
    """A backup is no access of a user's, so it leaves no trace; only a file's owner and root may ask for that."""
    try:
        return os.open(name, _OPEN_SOURCE | os.O_NOATIME, dir_fd=source)
    except PermissionError:
        return os.open(name, _OPEN_SOURCE, dir_fd=source)


def read_chunk(descriptor: int) -> bytes:
    """Return the next bytes of a source file, empty at its end."""
    try:
        return retried(lambda: os.read(descriptor, CHUNK))
    except OSError as error:
        raise SourceReadError(error) from error


class _Writer:
    """A new file in staging, written from start to end, with holes where the source has nothing but zeros.

    An exclusive create costs a call more on NFS: the times that the server keeps its verifier in must be set. So in
    staging, where only root can go, what was opened is looked at instead, before anything is done to it.
    """

    def __init__(self, target: int, name: str, exclusive: bool) -> None:
        self._target, self._name, self._exclusive = target, name, exclusive
        self._descriptor = -1
        self._made: os.stat_result
        self.length = self._written = 0

    def restart(self, entry: Attributes) -> None:
        """Begin (again) with an empty file."""
        if self._descriptor < 0:
            self._create(entry)
        else:
            os.ftruncate(self._descriptor, 0)
        self.length = self._written = 0

    def _create(self, entry: Attributes) -> None:
        """Make the file, with its mode. Whatever else stands under the name, also a special file, goes first."""
        try:
            self._open(entry, self._exclusive)
            if self._is_new():
                return
            self.close()
        except OSError:
            self.close()
        unlink(self._target, self._name)
        self._open(entry, exclusive=True)

    def _open(self, entry: Attributes, exclusive: bool) -> None:
        flags, mode = _CREATE | (os.O_EXCL if exclusive else 0), stat.S_IMODE(entry.mode) & 0o777
        self._descriptor = os.open(self._name, flags, mode, dir_fd=self._target)
        self._made = os.fstat(self._descriptor)

    def _is_new(self) -> bool:
        """Tell whether this is an empty file without other links, which nobody can miss."""
        return stat.S_ISREG(self._made.st_mode) and self._made.st_nlink == 1 and self._made.st_size == 0

    def write(self, chunk: bytes) -> None:
        """Write the next bytes; whole pages of zeros become holes."""
        if _ZEROS[:_HOLE] not in chunk:
            self._write_data(chunk, self.length)
        else:
            for start, end in _data_ranges(chunk):
                self._write_data(chunk[start:end], self.length + start)
        self.length += len(chunk)

    def _write_data(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written
        self._written = offset

    def finish(self, entry: Attributes) -> int:
        """Give the file its length, owner, mode and times; return its inode."""
        made = self._made
        if self.length != self._written:
            # It ends with a hole.
            os.ftruncate(self._descriptor, self.length)
        if (made.st_uid, made.st_gid) != (entry.uid, entry.gid):
            os.fchown(self._descriptor, entry.uid, entry.gid)
        # A change of owner clears setuid, so the mode is set after it.
        if stat.S_IMODE(made.st_mode) != stat.S_IMODE(entry.mode):
            os.fchmod(self._descriptor, stat.S_IMODE(entry.mode))
        os.utime(self._descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        return made.st_ino

    def close(self) -> None:
        """Close the file; on NFS this is where a full file system may show."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _data_ranges(chunk: bytes) -> list[tuple[int, int]]:
    """Return the ranges of a chunk that are not whole pages of zeros; neighbouring pages are one range."""
    ranges: list[tuple[int, int]] = []
    for start in range(0, len(chunk), _HOLE):
        end = min(start + _HOLE, len(chunk))
        if chunk[start:end] == _ZEROS[: end - start]:
            continue
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges


def read_detail(source: int, name: str, entry: Attributes) -> bytes:
    """Return the target of a symbolic link or the numbers of a device; nothing for what has neither."""
    try:
        if stat.S_ISLNK(entry.mode):
            return os.fsencode(retried(lambda: os.readlink(name, dir_fd=source)))
        if stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode):
            rdev = os.stat(name, dir_fd=source, follow_symlinks=False).st_rdev
            return device_detail(os.major(rdev), os.minor(rdev))
    except FileNotFoundError as error:
        raise VanishedError from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # it is no symbolic link any more
            raise VanishedError from error
        raise SourceReadError(error) from error
    return b""


def _copy_special(source: int, target: int, name: str, new: str) -> Copied:
    """Copy a symbolic link, FIFO, socket or device: what it is, not what is behind it."""
    entry = reads_source(lambda: attributes(os.stat(name, dir_fd=source, follow_symlinks=False)))
    if stat.S_ISREG(entry.mode) or stat.S_ISDIR(entry.mode):
        raise VanishedError
    detail = read_detail(source, name, entry)
    make_special(target, new, entry, detail)
    made = os.stat(new, dir_fd=target, follow_symlinks=False)
    return Copied(record_of(entry, made.st_ino, b"", detail), 0, False)


def make_special(target: int, name: str, entry: Attributes, detail: bytes) -> None:
    """Make a symbolic link, FIFO, socket or device under a name, which is absent, and give it its attributes."""
    try:
        _make_node(target, name, entry, detail)
    except FileExistsError:
        unlink(target, name)
        _make_node(target, name, entry, detail)
    os.chown(name, entry.uid, entry.gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(entry.mode):
        os.chmod(name, stat.S_IMODE(entry.mode), dir_fd=target)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=target, follow_symlinks=False)


def _make_node(target: int, name: str, entry: Attributes, detail: bytes) -> None:
    if stat.S_ISLNK(entry.mode):
        os.symlink(os.fsdecode(detail), name, dir_fd=target)
        return
    major, minor = (int(part) for part in detail.split(b":")) if detail else (0, 0)
    os.mknod(name, stat.S_IFMT(entry.mode) | 0o600, os.makedev(major, minor), dir_fd=target)
