"""Tries out the file system that backups are written to, before anything else is."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from efs_backup.effects.tree import link, unlink
from efs_backup.pure.errors import SPACE_ERRNOS, BackupError, UsageError, explain

_OWNER = 54321
_MODE = 0o4751
_MTIME_NS = 1_000_000_000_123_456_789


def probe(directory: int, name: str, path: str) -> None:
    """Make a file in a directory, give it an owner, setuid, a time in nanoseconds and a second link, and look.

    Raises UsageError that says what the file system lacks. `path` is what a person calls the directory.
    """
    second = f"{name}.link"
    try:
        _try_out(directory, name, second, path)
    except OSError as error:
        raise unfit(error, path) from error
    finally:
        for made in (name, second):
            with suppress(OSError):
                unlink(directory, made)


def unfit(error: OSError, path: str) -> BackupError:
    """Given what a file system said to the first things a backup does, return an error that says what it lacks."""
    if error.errno in SPACE_ERRNOS:
        return explain(error, path)
    return UsageError(
        f"{path} refuses what a backup needs ({error.strerror}): mount it read-write, without root squash, "
        "and on EFS with ClientWrite and ClientRootAccess"
    )


def _links(directory: int, name: str, second: str, inode: int) -> bool:
    """Make a second link; tell whether there is one. That there are too many is no lack: each file is copied then."""
    try:
        link(directory, name, directory, second, inode)
    except OSError as error:
        if error.errno == errno.EMLINK:
            return False
        raise
    return True


def _made_anew(directory: int, name: str) -> int:
    """Make and open a file; what a probe that was cut off left goes first."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(name, flags, 0o600, dir_fd=directory)
    except FileExistsError:
        unlink(directory, name)
        return os.open(name, flags, 0o600, dir_fd=directory)


def _try_out(directory: int, name: str, second: str, path: str) -> None:
    descriptor = _made_anew(directory, name)
    try:
        os.fchown(descriptor, _OWNER, _OWNER)
        os.fchmod(descriptor, _MODE)
        os.utime(descriptor, ns=(_MTIME_NS, _MTIME_NS))
        linked = _links(directory, name, second, os.fstat(descriptor).st_ino)
        made = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    lacking = [
        what
        for what, fits in (
            ("owners (is root squashed?)", (made.st_uid, made.st_gid) == (_OWNER, _OWNER)),
            ("the setuid bit", stat.S_IMODE(made.st_mode) == _MODE),
            ("times in nanoseconds", made.st_mtime_ns == _MTIME_NS),
            ("hard links", not linked or made.st_nlink == 2),
        )
        if not fits
    ]
    if lacking:
        raise UsageError(f"{path} does not keep {', '.join(lacking)}: a backup there would not be exact")
