"""The oracle: every attribute of every entry of a tree, read with plain system calls, and what differs between two.

Nothing here comes from the engine, so that a mistake in the engine cannot hide behind the same mistake in its test.
Paths are bytes, relative to the root; the root itself is ``b"."``.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

ROOT = b"."
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}
# A file counts as sparse when it occupies at least this much less than its size.
HOLE = 64 * 1024


@dataclass(frozen=True)
class Entry:
    """One name of a tree with all that a backup has to keep of it."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int | None = None  # regular files
    sha256: str | None = None  # regular files
    target: bytes | None = None  # symbolic links
    rdev: int | None = None  # devices
    links: frozenset[bytes] = frozenset()  # the other names of the same inode in this tree
    occupied: int | None = None  # regular files: bytes on disk

    @property
    def sparse(self) -> bool:
        """Whether the file has holes worth keeping."""
        return self.size is not None and self.occupied is not None and self.occupied + HOLE <= self.size


Tree = dict[bytes, Entry]


def snapshot_of(root: str | bytes, *, content: bool = True) -> Tree:
    """Read the whole tree below ``root``. ``content=False`` leaves the files unread (their hash is then None)."""
    names: dict[tuple[int, int], set[bytes]] = {}
    found: dict[bytes, tuple[Entry, tuple[int, int]]] = {}
    for path, info, handle in _walk(os.fsencode(root)):
        entry = _entry(path, info, handle, content)
        inode = (info.st_dev, info.st_ino)
        if entry.kind != "directory":
            names.setdefault(inode, set()).add(path)
        found[path] = (entry, inode)
    tree: Tree = {}
    for path, (entry, inode) in found.items():
        group = names.get(inode, set())
        others = frozenset(group - {path})
        tree[path] = Entry(**{**{f.name: getattr(entry, f.name) for f in fields(entry)}, "links": others})
    return tree


def _walk(root: bytes) -> Iterator[tuple[bytes, os.stat_result, int]]:
    """Yield (path, lstat, descriptor of the parent directory) of everything, by descriptors: no path is too long."""
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield ROOT, os.fstat(top), top
        yield from _walk_below(top, b"")
    finally:
        os.close(top)


def _walk_below(parent: int, prefix: bytes) -> Iterator[tuple[bytes, os.stat_result, int]]:
    with os.scandir(parent) as listing:
        names = sorted(os.fsencode(item.name) for item in listing)
    for name in names:
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
        path = prefix + name
        yield path, info, parent
        if stat.S_ISDIR(info.st_mode):
            child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                yield from _walk_below(child, path + b"/")
            finally:
                os.close(child)


def _entry(path: bytes, info: os.stat_result, parent: int, content: bool) -> Entry:
    name = path.rsplit(b"/", 1)[-1]
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    size = sha256 = target = rdev = occupied = None
    if kind == "file":
        size, occupied = info.st_size, info.st_blocks * 512
        sha256 = _hash(name, parent) if content else None
    elif kind == "symlink":
        target = os.readlink(name, dir_fd=parent)
    elif kind.endswith("device"):
        rdev = info.st_rdev
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
        mtime_ns=info.st_mtime_ns,
        size=size,
        sha256=sha256,
        target=target,
        rdev=rdev,
        occupied=occupied,
    )


def _hash(name: bytes, parent: int) -> str:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(expected: Tree, actual: Tree, *, ignore: Iterable[str] = ()) -> list[str]:
    """Say in a line each what ``actual`` has otherwise than ``expected``; an empty list means that they are the same.

    ``ignore`` names attributes of :class:`Entry` that are not compared. Holes are compared one way only: what is
    sparse in ``expected`` must be so in ``actual``, but zeros may become holes.
    """
    skipped = set(ignore) | {"occupied"}
    compared = [f.name for f in fields(Entry) if f.name not in skipped]
    lines = [f"{path!r} is missing" for path in sorted(expected.keys() - actual.keys())]
    lines += [f"{path!r} is extra ({actual[path].kind})" for path in sorted(actual.keys() - expected.keys())]
    for path in sorted(expected.keys() & actual.keys()):
        wanted, got = expected[path], actual[path]
        for name in compared:
            if getattr(wanted, name) != getattr(got, name):
                lines.append(f"{path!r} {name}: {_show(getattr(wanted, name))} became {_show(getattr(got, name))}")
        if "occupied" not in ignore and wanted.sparse and not got.sparse:
            lines.append(f"{path!r} is not sparse any more: {wanted.occupied} bytes on disk became {got.occupied}")
    return lines


def _show(value: object) -> str:
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    return repr(value)


def assert_same(expected: Tree, actual: Tree, *, ignore: Iterable[str] = (), what: str = "the tree") -> None:
    """Fail with a readable list unless both trees are the same in every attribute that is not ignored."""
    lines = differences(expected, actual, ignore=ignore)
    shown = "\n  ".join(lines[:40])
    more = f"\n  and {len(lines) - 40} more" if len(lines) > 40 else ""
    assert not lines, f"{what} differs in {len(lines)} points:\n  {shown}{more}"


def below(tree: Tree, directory: bytes) -> Tree:
    """The part of ``tree`` below ``directory``, which becomes its root; links to outside names are left out."""
    if directory in (b"", ROOT):
        return tree
    prefix = directory.rstrip(b"/") + b"/"
    part: Tree = {ROOT: tree[directory.rstrip(b"/")]}
    for path, entry in tree.items():
        if path.startswith(prefix):
            inside = frozenset(link[len(prefix) :] for link in entry.links if link.startswith(prefix))
            values = {f.name: getattr(entry, f.name) for f in fields(entry)}
            part[path[len(prefix) :]] = Entry(**{**values, "links": inside})
    return part


def inodes_of(root: str | bytes) -> dict[bytes, int]:
    """The inode number of every name that is no directory."""
    return {path: info.st_ino for path, info, _ in _walk(os.fsencode(root)) if not stat.S_ISDIR(info.st_mode)}
