"""What a caller asked for, checked before anything is written."""

from __future__ import annotations

import os
from typing import NamedTuple

from efs_backup.effects import tree
from efs_backup.effects.mounts import is_on_network
from efs_backup.pure.errors import BackupError, UsageError, one_line

_NETWORK_WORKERS = 64
_MOST_PROCESSES = 4


class BackupOptions(NamedTuple):
    """The options of `efs-backup backup`."""

    source: str
    backup: str
    label: str
    interval: str
    retain: int
    workers: int | None
    allow_empty: bool
    accept_source: bool
    source_id: str | None
    log_directory: str | None
    progress_file: str | None


class Workers(NamedTuple):
    """How many processes work, with how many threads each; and how many jobs fpsync runs."""

    processes: int
    threads: int
    jobs: int


def demand_root() -> None:
    """Raise UsageError unless this process may give files to any owner."""
    if os.geteuid() != 0:
        raise UsageError("efs-backup must run as root: only root can read every file and give it back to its owner")


def demand_directory(path: str, option: str) -> str:
    """Return the path if it is a directory; raise UsageError if not, BackupError if nobody knows."""
    try:
        status = tree.retried(lambda: os.stat(path))
    except OSError as error:
        if error.errno in tree.RETRIED:
            raise BackupError(one_line(f"{option} {path!r} cannot be looked at: {error.strerror}")) from error
        status = None
    if status is None or not tree.is_directory(status.st_mode):
        raise UsageError(f"{option} {path!r} is not a directory: give one that exists (is the file system mounted?)")
    return path


def demand_apart(source: str, backup: str) -> None:
    """Raise UsageError if one of two directories lies in the other."""
    one, other = os.path.realpath(source), os.path.realpath(backup)
    if one == other or os.path.samefile(one, other):
        raise UsageError(f"source and backup are the same directory, {one}: give two that are apart")
    if f"{other}/".startswith(f"{one.rstrip('/')}/"):
        raise UsageError(
            f"the backup {backup!r} lies inside the source {source!r}: it would back up itself, give another"
        )
    demand_outside(source, backup)


def demand_outside(path: str, backup: str) -> None:
    """Raise UsageError if a path, which need not exist, lies in the backup."""
    one, other = os.path.realpath(path), os.path.realpath(backup)
    if f"{one}/".startswith(f"{other.rstrip('/')}/"):
        raise UsageError(f"{path!r} lies inside the backup {backup!r}: give a directory that lies elsewhere")


def checked_workers(text: str) -> int:
    """Return a number of workers."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise UsageError(
            f"workers {text!r} must be a whole number from 1 to 1024: it is how many files are worked on at once"
        )
    return int(text)


def workers_for(asked: int | None, paths: list[str]) -> Workers:
    """Return how to divide the work: as asked, or by whether a path lies on a network file system.

    A network answers in milliseconds, so many threads wait at once; a local disk keeps as many processes busy as there
    are processors, and more threads only get in each other's way (docs/performance.md).
    """
    processors = min(_MOST_PROCESSES, len(os.sched_getaffinity(0)))
    if asked is not None:
        processes = min(processors, asked)
        return Workers(processes, -(-asked // processes), asked)
    if any(is_on_network(path) for path in paths):
        return Workers(processors, _NETWORK_WORKERS // processors, 4 * processors)
    return Workers(processors, 1, processors)
