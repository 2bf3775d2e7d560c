"""Ready trees: one with every kind of entry that a file system can hold, and plain ones of a given size."""

from __future__ import annotations

import os
import stat

from tests.support.changes import content, overwrite
from tests.support.strategies import ODD_NAMES

DAY_NS = 86_400 * 10**9
OLD_NS = 1_600_000_000 * 10**9


def write(
    path: str | bytes | os.PathLike[str], data: bytes = b"", mode: int = 0o644, mtime_ns: int | None = None
) -> None:
    """Write a file with its attributes; missing directories are made."""
    path = os.fsencode(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))


def make_zoo(root: str) -> None:
    """Every kind of entry, attribute and name, in a small tree."""
    top = os.fsencode(root)
    _attributes(top + b"/attributes")
    _links(top + b"/links")
    _kinds(top + b"/kinds")
    for number, name in enumerate(ODD_NAMES):
        write(top + b"/names/" + name, b"content of " + name, mtime_ns=OLD_NS + number)
        write(top + b"/directories/" + name + b"/" + name, b"below " + name)
        os.makedirs(top + b"/empty/" + name)
        os.symlink(name, top + b"/names/to " + name[:250])
    os.chmod(top, 0o1775)
    os.chown(top, 12, 34)
    for number, directory in enumerate(sorted(os.fsencode(found) for found, _, _ in os.walk(root))):
        os.utime(directory, ns=(OLD_NS, OLD_NS + number * 1_000_000_007))


def _attributes(top: bytes) -> None:
    for number, mode in enumerate((0o644, 0o000, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777, 0o400)):
        path = top + b"/mode-%o" % mode
        write(path, content(number, 1000 + number), mtime_ns=OLD_NS + number)
        os.chown(path, 1000 + number, 2000 + number)
        os.chmod(path, mode)  # a chown takes setuid away
        os.utime(path, ns=(OLD_NS, OLD_NS + number))
        os.makedirs(top + b"/directory-%o" % mode)
        os.chown(top + b"/directory-%o" % mode, 3000 + number, 0)
        os.chmod(top + b"/directory-%o" % mode, mode)
    for mtime_ns in (0, 1, 999_999_999, OLD_NS + 123_456_789, 2**31 * 10**9 + 7, 2**32 * 10**9 + 999_999_999):
        write(top + b"/time-%d" % mtime_ns, b"time", mtime_ns=mtime_ns)
    write(top + b"/empty")
    write(top + b"/page", content(1, 4096))
    write(top + b"/large", content(2, 700_001))
    write(top + b"/owner", b"nobody's")
    os.chown(top + b"/owner", 2**32 - 2, 2**32 - 2)


def _links(top: bytes) -> None:
    write(top + b"/a/one", content(3, 5000), mtime_ns=OLD_NS)
    os.makedirs(top + b"/b/c")
    for name in (b"/a/two", b"/b/three", b"/b/c/four"):
        os.link(top + b"/a/one", top + name)
    os.symlink(b"nowhere/at all", top + b"/dangling")
    os.symlink(b"/etc/passwd", top + b"/absolute")
    os.symlink(b"..", top + b"/up")
    os.symlink(b"a\nb \xff", top + b"/odd")
    os.symlink((b"t" * 254 + b"/") * 15, top + b"/long")
    os.lchown(top + b"/dangling", 77, 78)
    os.utime(top + b"/dangling", ns=(OLD_NS, OLD_NS + 5), follow_symlinks=False)
    os.link(top + b"/dangling", top + b"/b/dangling too", follow_symlinks=False)


def _kinds(top: bytes) -> None:
    os.makedirs(top)
    os.mkfifo(top + b"/fifo", 0o640)
    os.utime(top + b"/fifo", ns=(OLD_NS, OLD_NS + 9))
    os.link(top + b"/fifo", top + b"/fifo again")
    os.mknod(top + b"/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top + b"/block", 0o660 | stat.S_IFBLK, os.makedev(7, 9))
    with open(top + b"/sparse", "wb") as file:
        file.write(content(4, 10_000))
        file.seek(3 << 20)
        file.write(b"middle")
        file.truncate(8 << 20)
    with open(top + b"/only a hole", "wb") as file:
        file.truncate(5 << 20)


def make_plain(root: str, files: int, *, per_directory: int = 50, size: int = 300, old: bool = True) -> None:
    """``files`` small files, ``per_directory`` in each directory; ``old`` sets them back a day, as if long finished."""
    block = content(5, size + 16)
    for first in range(0, files, per_directory):
        directory = os.path.join(root, f"{first // (per_directory * 100):03d}", f"{first // per_directory:06d}")
        os.makedirs(directory, exist_ok=True)
        for number in range(first, min(files, first + per_directory)):
            path = os.path.join(directory, f"file-{number:07d}")
            with open(path, "wb", buffering=0) as file:
                file.write(b"%016d" % number + block[:size])
            if old:
                os.utime(path, ns=(OLD_NS, OLD_NS + number))


def plain_file(root: str, number: int, *, per_directory: int = 50) -> str:
    """The path of the numbered file that :func:`make_plain` made."""
    first = number - number % per_directory
    return os.path.join(
        root, f"{first // (per_directory * 100):03d}", f"{first // per_directory:06d}", f"file-{number:07d}"
    )


def make_flat(source: str) -> None:
    """A directory of 200 files, some of which have second names in it and outside of it."""
    os.mkdir(f"{source}/flat")
    for number in range(200):
        write(f"{source}/flat/{number:03}", content(number, number), mtime_ns=OLD_NS + number)
    os.link(f"{source}/flat/000", f"{source}/flat/second name")
    os.link(f"{source}/flat/008", f"{source}/outside")
    os.utime(f"{source}/flat", ns=(OLD_NS, OLD_NS))


def spoil_flat(source: str) -> None:
    """Change that directory in most ways: gone, overwritten, another mode, a directory or a link in a file's place."""
    directory = f"{source}/flat"
    for number in range(0, 200, 2):
        name = f"{directory}/{number:03}"
        if number % 10 == 0:
            overwrite(name, number)
        elif number % 10 == 2:
            os.chmod(name, 0o604)
        else:
            os.unlink(name)
        if number % 10 == 4:
            os.mkdir(name)
        elif number % 10 == 6:
            os.symlink("nowhere", name)
    write(f"{directory}/004/only here", b"kept or deleted")
    write(f"{directory}/surplus", b"kept or deleted")
    os.unlink(f"{directory}/second name")
