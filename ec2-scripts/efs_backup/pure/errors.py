"""The one tree of errors. Each carries the exit status of the command and says, in one line, what to do."""

from __future__ import annotations

import errno
import os

DONE, NOT_DONE, CALLERS_MISTAKE, BUSY = 0, 1, 2, 75

SPACE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


class BackupError(Exception):
    """Something that ends a run; the text is one line for a person."""

    exit_status = NOT_DONE


class UsageError(BackupError):
    """A mistake of the caller's: nothing has been written."""

    exit_status = CALLERS_MISTAKE


class LockedError(BackupError):
    """Another run holds the lock of this folder label."""

    exit_status = BUSY


class DrainedError(BackupError):
    """The run was asked to stop (SIGTERM or SIGINT); staging stays for the next run."""


class SpaceError(BackupError):
    """The file system written to has no space, inodes or quota left."""


class SourceError(BackupError):
    """The source as a whole cannot be read, or is no longer the tree that was opened."""


class ToolError(BackupError):
    """A tool (fpsync, rsync) could not do its work at all."""


class FormatError(BackupError):
    """A file of the engine's own is damaged or of another version."""


def one_line(text: str) -> str:
    """Return text with everything that would break or hide a line of a log replaced by escapes."""
    escaped = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in escaped)


def place_of(error: OSError, otherwise: str) -> str:
    """Return the path an error is about, `otherwise` where it has none or only a descriptor."""
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else otherwise


def explain(error: OSError, path: str) -> BackupError:
    """Given an error of the file system written to, return what the run ends with."""
    reason = error.strerror or str(error)
    if error.errno in SPACE_ERRNOS:
        return SpaceError(
            one_line(f"no space left on the file system written to, at {path} ({reason}): make room, then run again")
        )
    return BackupError(one_line(f"cannot write {path}: {reason}"))
