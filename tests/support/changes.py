"""What users do to a tree between two nights: each change is a value that can be applied to a real directory.

A change names entries by position in the sorted list of those that are there, so that any list of changes fits any
tree: what a change cannot do (a name that is taken, no file left) it does not do.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Change(Protocol):
    """Something that happens to the tree at ``root``."""

    def apply(self, root: bytes) -> None:
        """Do it."""


def content(seed: int, size: int) -> bytes:
    """Bytes without a zero among them, so that no hole can be made of them; the same for the same seed and size."""
    return random.Random(seed).randbytes(size).replace(b"\0", b"\1")


def entries(root: bytes, *kinds: str) -> list[bytes]:
    """Paths of the tree in a fixed order, without the root: of these kinds (file, directory, symlink, other)."""
    found: list[bytes] = []
    for directory, subdirectories, files in os.walk(root):
        subdirectories.sort()
        for name in sorted(subdirectories + files):
            path = os.path.join(directory, name)
            if not kinds or _kind(path) in kinds:
                found.append(path)
    return found


def _kind(path: bytes) -> str:
    mode = os.lstat(path).st_mode
    for test, kind in ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "symlink")):
        if test(mode):
            return kind
    return "other"


def pick(items: list[bytes], position: int) -> bytes | None:
    """The item at ``position``, counted round and round; None when there is none."""
    return items[position % len(items)] if items else None


def directories(root: bytes) -> list[bytes]:
    """All directories, the root first."""
    return [root, *entries(root, "directory")]


def place(root: bytes, parent: int, name: bytes) -> bytes | None:
    """A path for a new entry; None when it is taken or would be too long for a system call."""
    directory = pick(directories(root), parent)
    assert directory is not None
    path = os.path.join(directory, name)
    return None if os.path.lexists(path) or len(path) > 3000 else path


@dataclass(frozen=True)
class Make:
    """A new entry of any kind."""

    kind: str  # file, directory, symlink, fifo, sparse
    parent: int
    name: bytes
    seed: int = 0
    size: int = 0
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    mtime_ns: int | None = None

    def apply(self, root: bytes) -> None:
        """Create it with its attributes."""
        path = place(root, self.parent, self.name)
        if path is None:
            return
        create(path, self.kind, self.seed, self.size)
        os.chown(path, *self.owner, follow_symlinks=False)
        if self.kind != "symlink":
            os.chmod(path, self.mode)
        if self.mtime_ns is not None:
            os.utime(path, ns=(self.mtime_ns, self.mtime_ns), follow_symlinks=False)


def create(path: bytes, kind: str, seed: int, size: int) -> None:
    """Create an entry of ``kind`` with a content that follows from ``seed``."""
    if kind == "directory":
        os.mkdir(path)
    elif kind == "symlink":
        os.symlink(content(seed, 1 + seed % 60).replace(b"/", b"_"), path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with open(path, "wb") as file:
            file.write(content(seed, size))
            if kind == "sparse":
                file.seek(1 << 20, os.SEEK_CUR)
                file.write(b"end")
                file.truncate(file.tell() + (1 << 20))


@dataclass(frozen=True)
class Remove:
    """An entry, with all below it, goes."""

    entry: int

    def apply(self, root: bytes) -> None:
        """Remove it."""
        path = pick(entries(root), self.entry)
        if path is not None:
            remove(path)


def remove(path: bytes) -> None:
    """Remove whatever is at ``path``."""
    if _kind(path) == "directory":
        shutil.rmtree(path)
    else:
        os.unlink(path)


@dataclass(frozen=True)
class Turn:
    """An entry becomes another kind under the same name: file to directory, directory to file and the others."""

    entry: int
    kind: str
    seed: int

    def apply(self, root: bytes) -> None:
        """Remove it and put the other in its place."""
        path = pick(entries(root), self.entry)
        if path is not None:
            remove(path)
            create(path, self.kind, self.seed, self.seed % 5000)


@dataclass(frozen=True)
class Rename:
    """An entry gets another name, in another directory perhaps; hard links move with it."""

    entry: int
    parent: int
    name: bytes

    def apply(self, root: bytes) -> None:
        """Rename it, unless the new name is taken or inside itself."""
        old, new = pick(entries(root), self.entry), place(root, self.parent, self.name)
        if old is None or new is None or (new + b"/").startswith(old + b"/"):
            return
        os.rename(old, new)


@dataclass(frozen=True)
class Chmod:
    """Another mode, for the root too."""

    entry: int
    mode: int

    def apply(self, root: bytes) -> None:
        """Set it; symbolic links have none."""
        path = pick([root, *entries(root, "file", "directory", "other")], self.entry)
        if path is not None:
            os.chmod(path, self.mode)


@dataclass(frozen=True)
class Chown:
    """Another owner and group; a setuid bit of a file may go with it, as the kernel does it."""

    entry: int
    uid: int
    gid: int

    def apply(self, root: bytes) -> None:
        """Set both."""
        path = pick([root, *entries(root)], self.entry)
        if path is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True)
class Touch:
    """The time of the last change moves by some nanoseconds; one is enough to count."""

    entry: int
    by_ns: int

    def apply(self, root: bytes) -> None:
        """Move it."""
        path = pick([root, *entries(root)], self.entry)
        if path is not None:
            info = os.lstat(path)
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + self.by_ns), follow_symlinks=False)


@dataclass(frozen=True)
class Overwrite:
    """Another content of the same size, and the time put back: only ctime tells."""

    entry: int
    seed: int

    def apply(self, root: bytes) -> None:
        """Write in place, so that all names of the inode get it."""
        path = pick(entries(root, "file"), self.entry)
        if path is not None:
            overwrite(path, self.seed)


def overwrite(path: str | bytes, seed: int) -> None:
    """Write other bytes over the first kilobytes of a file; size and mtime stay."""
    info = os.stat(path)
    with open(path, "r+b") as file:
        old = file.read(4096)
        new = content(seed, len(old))
        if new == old:
            new = bytes(255 - byte or 1 for byte in old)
        file.seek(0)
        file.write(new)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


@dataclass(frozen=True)
class Append:
    """A file grows."""

    entry: int
    seed: int
    size: int

    def apply(self, root: bytes) -> None:
        """Write at its end."""
        path = pick(entries(root, "file"), self.entry)
        if path is not None:
            with open(path, "ab") as file:
                file.write(content(self.seed, self.size))


@dataclass(frozen=True)
class Truncate:
    """A file shrinks."""

    entry: int
    size: int

    def apply(self, root: bytes) -> None:
        """Cut it."""
        path = pick(entries(root, "file"), self.entry)
        if path is not None:
            os.truncate(path, min(self.size, os.stat(path).st_size))


@dataclass(frozen=True)
class Link:
    """Another name for a file, a symbolic link or a FIFO, in any directory."""

    entry: int
    parent: int
    name: bytes

    def apply(self, root: bytes) -> None:
        """Link it."""
        old, new = pick(entries(root, "file", "symlink", "other"), self.entry), place(root, self.parent, self.name)
        if old is not None and new is not None:
            os.link(old, new, follow_symlinks=False)


@dataclass(frozen=True)
class Unshare:
    """A name leaves its hard-link group and keeps its content and attributes in an inode of its own."""

    entry: int

    def apply(self, root: bytes) -> None:
        """Copy it and put the copy in its place."""
        path = pick([path for path in entries(root, "file") if os.lstat(path).st_nlink > 1], self.entry)
        if path is None:
            return
        info, aside = os.lstat(path), os.path.join(root, b".aside")
        shutil.copy2(path, aside)
        os.chown(aside, info.st_uid, info.st_gid)
        os.chmod(aside, stat.S_IMODE(info.st_mode))
        os.utime(aside, ns=(info.st_atime_ns, info.st_mtime_ns))
        os.rename(aside, path)


@dataclass(frozen=True)
class Retarget:
    """A symbolic link points elsewhere and keeps its time."""

    entry: int
    target: bytes

    def apply(self, root: bytes) -> None:
        """Replace it."""
        path = pick(entries(root, "symlink"), self.entry)
        if path is not None:
            info = os.lstat(path)
            os.unlink(path)
            os.symlink(self.target, path)
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


@dataclass(frozen=True)
class Deepen:
    """A chain of directories with a file at its end."""

    parent: int
    name: bytes
    depth: int

    def apply(self, root: bytes) -> None:
        """Create it as deep as the length of a path allows."""
        path = place(root, self.parent, self.name)
        if path is None:
            return
        for _ in range(self.depth):
            if len(path) + len(self.name) + 10 > 3000:
                break
            os.mkdir(path)
            path = os.path.join(path, self.name)
        with open(path, "wb") as file:
            file.write(self.name)


def apply_all(changes: Iterable[Change], root: str | bytes) -> None:
    """Apply the changes one after the other; what the file system itself refuses (too long, no such thing) is left."""
    for change in changes:
        try:
            change.apply(os.fsencode(root))
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EMLINK, errno.EOVERFLOW):
                raise
