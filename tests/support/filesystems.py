"""Small file systems made for a test: tmpfs of a given size, ext4 on an image, bind mounts.

The process that runs the tests first gets a mount namespace of its own, so whatever happens to it, nothing stays
mounted on the machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator

CLONE_NEWNS = 0x00020000
MS_REC, MS_SLAVE = 0x4000, 1 << 19
_libc = ctypes.CDLL(None, use_errno=True)
_state = {"private": False}


def is_root() -> bool:
    """Whether this process may mount, change owners and the like."""
    return os.geteuid() == 0


def make_mounts_private() -> None:
    """Move this process to a mount namespace of its own, once; mounts of the machine still arrive in it."""
    if _state["private"]:
        return
    if _libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare of the mount namespace")
    if _libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None) != 0:
        raise OSError(ctypes.get_errno(), "mount --make-rslave /")
    _state["private"] = True


def mount(*arguments: str) -> None:
    """Run mount(8); its message is in the exception."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"mount {' '.join(arguments)}: {done.stderr.strip()}")


def unmount(where: str) -> None:
    """Unmount lazily, with all below it; what is not mounted is left."""
    subprocess.run(["umount", "--recursive", "--lazy", where], capture_output=True, check=False)


@contextlib.contextmanager
def tmpfs(where: str, options: str = "") -> Iterator[str]:
    """A tmpfs at ``where``, with options such as ``size=1m,nr_inodes=200``."""
    make_mounts_private()
    os.makedirs(where, exist_ok=True)
    mount("-t", "tmpfs", "-o", ",".join(filter(None, ["mode=755", options])), "tests", where)
    try:
        yield where
    finally:
        unmount(where)


@contextlib.contextmanager
def ext4(where: str, image: str, megabytes: int = 0, options: str = "") -> Iterator[str]:
    """An ext4 file system at ``where`` on ``image``, which is made when ``megabytes`` is given."""
    make_mounts_private()
    os.makedirs(where, exist_ok=True)
    if megabytes:
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(
            ["mke2fs", "-q", "-t", "ext4", "-F", "-b", "4096", "-N", "4096", image], check=True, capture_output=True
        )
    mount("-o", ",".join(filter(None, ["loop", options])), image, where)
    try:
        yield where
    finally:
        unmount(where)


def detach(where: str) -> None:
    """Unmount, waiting for what still works there, so that the image below is complete and free."""
    for _ in range(100):
        if subprocess.run(["umount", where], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise OSError(f"{where} stays busy")


@contextlib.contextmanager
def bound(what: str, where: str) -> Iterator[str]:
    """The directory ``what`` seen at ``where`` too."""
    make_mounts_private()
    os.makedirs(where, exist_ok=True)
    mount("--bind", what, where)
    try:
        yield where
    finally:
        unmount(where)


@contextlib.contextmanager
def two_file_systems(source_options: str = "", backup_options: str = "") -> Iterator[tuple[str, str]]:
    """A source and a backup directory, each on a tmpfs of its own."""
    top = tempfile.mkdtemp(prefix="efs-tests-")
    try:
        with tmpfs(f"{top}/source", source_options) as source, tmpfs(f"{top}/backup", backup_options) as backup:
            yield source, backup
    finally:
        with contextlib.suppress(OSError):
            for name in ("source", "backup"):
                os.rmdir(f"{top}/{name}")
            os.rmdir(top)
