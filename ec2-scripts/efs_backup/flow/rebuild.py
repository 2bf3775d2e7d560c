"""Rebuilds a directory of staging that holds what cannot be removed.

An NFS client that unlinks a file which one of its own processes has open renames it to `.nfs` and digits, and from
then on refuses to rename or unlink it (EBUSY) until it is closed. It must not be published. So everything else moves to
a new directory, which takes the old one's place; the old one goes to the trash with what is left in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from efs_backup.effects import tree


def by_directory(paths: Iterable[str]) -> dict[str, set[str]]:
    """Given paths of busy names, return directory -> names in it, in the order of the directories."""
    found: dict[str, set[str]] = {}
    for path in sorted(paths):
        directory, _, name = path.rpartition("/")
        found.setdefault(directory, set()).add(name)
    return found


def rebuild(root: int, staging: str, directory: str, busy: set[str], trash: str) -> bool:
    """Have `directory` of the tree at `staging` hold all it holds but the `busy` names; tell whether that took work.

    Paths are relative to `root`; `trash` is a prefix of two paths that are absent, both in the trash. No worker may be
    at work in the tree. A run that dies here has lost nothing: staging is compared again, and the trash is emptied.
    """
    path = f"{staging}/{directory}" if directory else staging
    if tree.look_at(root, path) is None:
        return False  # it was put away itself
    with tree.directory(root, path) as old:
        if not any(tree.look_at(old, name) for name in busy):
            return False  # whoever had them open has closed them
        wanted = os.fstat(old)
        fresh_path, old_path = f"{trash}-fresh", f"{trash}-busy"
        tree.make_directory(root, fresh_path)
        with tree.directory(root, fresh_path) as fresh:
            for name in os.listdir(old):
                if name not in busy:
                    tree.rename(old, name, fresh, name)
            _exchange(root, path, fresh_path, old_path, inside=bool(directory))
            was = os.fstat(fresh)
            tree.apply_directory(
                fresh, was, wanted.st_mode, wanted.st_uid, wanted.st_gid, wanted.st_mtime_ns, touched=True
            )
    return True


def _exchange(root: int, path: str, fresh_path: str, old_path: str, inside: bool) -> None:
    """Put the fresh directory in the place of the old one; a parent `inside` the tree keeps its mtime."""
    with tree.directory(root, path.rpartition("/")[0]) as parent:
        before = os.fstat(parent)
        tree.rename(root, path, root, old_path)
        tree.rename(root, fresh_path, root, path)
        if inside:
            os.utime(parent, ns=(before.st_mtime_ns, before.st_mtime_ns))
