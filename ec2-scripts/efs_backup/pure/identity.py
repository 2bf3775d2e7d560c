"""Which file system and directory a source is, and whether it still is the one a snapshot was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Identity(NamedTuple):
    """`file_system` names the file system across mounts and boots, `root` is the inode of the source directory."""

    file_system: str
    root: int


def same_file_system(recorded: Identity | None, now: Identity) -> bool:
    """Tell whether ctime and inode numbers of the base mean something on the source of now."""
    return recorded is None or recorded.file_system == now.file_system


def is_another_source(
    recorded: Identity | None, now: Identity, base: Mapping[str, tuple[int, ...]], source: Mapping[str, tuple[int, ...]]
) -> bool:
    """Tell whether the source is a different tree than the base was made from, not just the same one elsewhere.

    `base` and `source` hold, for each name in the root directory, what stays the same when a tree is moved or
    restored: type, owner, and for files size and mtime. A tree that was moved still has most of what it had.
    """
    if recorded is None or recorded == now or not base:
        return False
    alike = sum(1 for name, look in base.items() if source.get(name) == look)
    return alike * 2 < len(base)
