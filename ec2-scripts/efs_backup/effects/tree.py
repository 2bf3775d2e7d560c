"""Directories and their entries, always reached from a directory descriptor and never through a symbolic link.

Users own the source and may swap a directory for a symbolic link while it is read. So no path is ever given to the
kernel as a whole: each component is opened from its parent with O_NOFOLLOW, which also has no limit of length or depth.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from efs_backup.pure.records import Attributes, attributes, attributes_of

PASS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Opens a directory that names are looked up in; over NFS that needs no look at the directory itself."""
READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

RETRIED = frozenset(
    {errno.EIO, errno.ESTALE, errno.EACCES, errno.EAGAIN, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EINTR}
)
"""Errors of a network file system that may pass."""
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What opening a name says when it is no longer the directory or file that was listed."""
LOST = GONE | {errno.ESTALE}
"""The same, and what a look into a directory says that another client of a network file system has removed."""
_PAUSES = (0.02, 0.1)

_T = TypeVar("_T")


def retried(attempt: Callable[[], _T]) -> _T:
    """Return what attempt returns; errors that may pass are tried again twice, then go up."""
    for pause in _PAUSES:
        try:
            return attempt()
        except OSError as error:
            if error.errno not in RETRIED:
                raise
            time.sleep(pause)
    return attempt()


def open_root(path: str) -> int:
    """Return a descriptor of a directory given by a caller (here, and only here, symbolic links are followed)."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_directory(root: int, path: str, flags: int = READ) -> int:
    """Return a descriptor of the directory at a path relative to root; the empty path is root itself."""
    parts = path.split("/") if path else ["."]
    at = root
    try:
        for part in parts[:-1]:
            step = os.open(part, PASS, dir_fd=at)
            if at != root:
                os.close(at)
            at = step
        return os.open(parts[-1], flags, dir_fd=at)
    finally:
        if at != root:
            os.close(at)


@contextmanager
def directory(root: int, path: str, flags: int = READ) -> Iterator[int]:
    """Open the directory at a path relative to root while the block runs; with PASS only to reach what is in it."""
    descriptor = open_directory(root, path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Listing:
    """What a directory holds. `failed` are names whose attributes could not be read, with the error number."""

    files: dict[str, tuple[int, ...]] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    whole: bool = True
    """False where the listing was given up because the directory has more than `limit` entries."""


def list_directory(
    descriptor: int, look: Callable[[os.stat_result], tuple[int, ...]] = attributes_of, limit: int | None = None
) -> Listing:
    """Return the names in a directory with `look` of each non-directory's lstat; raise OSError if it cannot be listed.

    A name that vanishes between listing and lstat is left out.
    """
    listing = Listing()
    files, directories = listing.files, listing.directories
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if limit is not None and len(files) >= limit:
                listing.whole = False
                break
            try:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                else:
                    files[entry.name] = look(entry.stat(follow_symlinks=False))
            except OSError as error:
                if error.errno != errno.ENOENT:
                    listing.failed[entry.name] = error.errno or errno.EIO
    return listing


def list_retried(
    descriptor: int, look: Callable[[os.stat_result], tuple[int, ...]] = attributes_of, limit: int | None = None
) -> Listing:
    """Return the same, after errors that may pass were tried again, for the whole and for each name."""
    listing = retried(lambda: list_directory(descriptor, look, limit))
    for name in list(listing.failed):
        look_again(descriptor, name, listing, look)
    return listing


def look_again(
    descriptor: int, name: str, listing: Listing, look: Callable[[os.stat_result], tuple[int, ...]] = attributes_of
) -> None:
    """Try again, with pauses, for a name that a listing has failed to look at; what is there joins the listing."""
    try:
        entry = status_again(descriptor, name)
    except FileNotFoundError:
        del listing.failed[name]
    except OSError as error:
        listing.failed[name] = error.errno or errno.EIO
    else:
        del listing.failed[name]
        if is_directory(entry.st_mode):
            listing.directories.append(name)
        else:
            listing.files[name] = look(entry)


def list_names(descriptor: int) -> tuple[list[str], list[str]]:
    """Return (names of non-directories, names of directories) of a huge directory, without their attributes."""
    files: list[str] = []
    directories: list[str] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            (directories if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
    return files, directories


def look_at(descriptor: int, name: str) -> Attributes | None:
    """Return the attributes of a name in a directory, None if there is no such name."""
    try:
        return attributes(os.stat(name, dir_fd=descriptor, follow_symlinks=False))
    except FileNotFoundError:
        return None


def status(descriptor: int, name: str) -> os.stat_result:
    """Return the lstat of a name in a directory."""
    return os.stat(name, dir_fd=descriptor, follow_symlinks=False)


def status_again(descriptor: int, name: str) -> os.stat_result:
    """Return the lstat of a name in a directory; errors that may pass are tried again."""
    return retried(lambda: status(descriptor, name))


def is_directory(mode: int) -> bool:
    """Tell whether a mode is that of a directory."""
    return stat.S_ISDIR(mode)


def stands(root: int, path: str) -> bool:
    """Tell whether a path leads to a directory; one that cannot be opened for another reason than that stands too."""
    try:
        os.close(open_directory(root, path))
    except OSError as error:
        return error.errno not in LOST
    return True


def same_directory(root: int, path: str, descriptor: int) -> bool:
    """Tell whether the path still leads to the directory that the descriptor is open on, which may be gone."""

    def look() -> bool:
        with directory(root, path) as again:
            return os.path.samestat(os.fstat(again), os.fstat(descriptor))

    try:
        return retried(look)
    except OSError as error:
        if error.errno in LOST:
            return False
        raise


def unlink(descriptor: int, name: str) -> None:
    """Remove a name that is no directory. That it is gone already is no error: a reply may have been lost."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=descriptor)


def make_directory(descriptor: int, name: str) -> None:
    """Make a directory only root can enter until it is finished. EEXIST is believed only if no directory is there."""
    try:
        os.mkdir(name, 0o700, dir_fd=descriptor)
    except FileExistsError:
        there = look_at(descriptor, name)
        if there is None or not is_directory(there.mode):
            raise


def rename(source: int, name: str, target: int, new: str, inode: int | None = None) -> None:
    """Rename what has this name (and `inode`, if that is known) to an absent name.

    When the reply says otherwise the inode decides.
    """
    moved = os.stat(name, dir_fd=source, follow_symlinks=False).st_ino if inode is None else inode
    try:
        os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        there = look_at(target, new)
        if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY) or there is None or there.ino != moved:
            raise


def link(source: int, name: str, target: int, new: str, wanted: int) -> None:
    """Link the inode `wanted`, which `name` in source is, as `new` in target.

    After a reconnect the reply may say EEXIST or ENOENT though the link was made (AWS: EFS keeps no reply cache), so
    the inode decides. What else stands under that name in staging is replaced.
    """
    for attempt in range(2):
        try:
            os.link(name, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOENT):
                raise
            there = look_at(target, new)
            if there is not None and there.ino == wanted:
                return
            if attempt or error.errno == errno.ENOENT:
                raise
            unlink(target, new)
        else:
            return


def apply_directory(
    descriptor: int, was: os.stat_result, mode: int, uid: int, gid: int, mtime_ns: int, touched: bool
) -> None:
    """Give a directory of staging its attributes; what it already has is not set again.

    `was` is what fstat said before names were made or removed in it, which `touched` tells: its mtime is not that any
    more, and asking again is a call to the server.
    """
    if (was.st_uid, was.st_gid) != (uid, gid):
        os.fchown(descriptor, uid, gid)
    if stat.S_IMODE(was.st_mode) != stat.S_IMODE(mode):
        os.fchmod(descriptor, stat.S_IMODE(mode))
    if touched or was.st_mtime_ns != mtime_ns:
        os.utime(descriptor, ns=(mtime_ns, mtime_ns))
