"""Small files of the engine's own: written whole or not at all."""

from __future__ import annotations

import os

from efs_backup.effects.tree import retried
from efs_backup.pure.errors import explain


def write_durably(directory: int, path: str, text: str, shown: str) -> None:
    """Put text into a file at a path relative to a directory; a reader sees the old or the new file, never half of one.

    `shown` is what a person calls the file; errors of the file system end the run.
    """
    temporary = f"{path}.new"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        replace_durably(directory, temporary, path)
    except OSError as error:
        raise explain(error, shown) from error


def replace_durably(directory: int, old: str, new: str) -> None:
    """Rename a file over another, and make that durable. A lost reply to a rename that was done is no error."""
    moved = os.stat(old, dir_fd=directory).st_ino
    try:
        os.replace(old, new, src_dir_fd=directory, dst_dir_fd=directory)
    except FileNotFoundError:
        if os.stat(new, dir_fd=directory).st_ino != moved:
            raise
    sync_directory(directory, os.path.dirname(new))


def sync_directory(directory: int, path: str) -> None:
    """Make the names in a directory (at a path relative to another) durable."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exists(path: str) -> bool:
    """Tell whether something has this path; raise OSError where that cannot be looked up, for then nobody knows."""
    try:
        retried(lambda: os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_text(directory: int, path: str) -> str | None:
    """Return what a file at a path relative to a directory holds, None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
