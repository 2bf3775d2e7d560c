"""Large trees of small files, and a night's changes in them."""

from __future__ import annotations

import os

PER_DIRECTORY = 200
OLD_NS = 1_600_000_000 * 10**9


def directory_of(root: str, number: int) -> str:
    """The directory of the numbered file."""
    leaf = number // PER_DIRECTORY
    return os.path.join(root, f"{leaf // 100:04d}", f"{leaf % 100:02d}")


def fill(root: str, files: int, *, size: int = 64, every: int = 1, names: int = 1, flat: bool = False) -> None:
    """``files`` files; every ``every``-th has ``size`` bytes, the others none; each with one or two names."""
    block = os.urandom(size).replace(b"\0", b"\1")
    here = root if flat else ""
    for number in range(files):
        if not flat and number % PER_DIRECTORY == 0:
            here = directory_of(root, number)
            os.makedirs(here)
        path = f"{here}/file-{number:07d}"
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        if number % every == 0:
            os.write(descriptor, b"%08d" % number + block[8:])
        os.utime(descriptor, ns=(OLD_NS, OLD_NS + number))
        os.close(descriptor)
        if names == 2:
            os.link(path, f"{here}/name-{number:07d}")


def change(root: str, files: int, night: int, share: float = 0.001) -> int:
    """Rewrite a share of the files, others each night, spread over the tree; return how many."""
    step = max(1, int(1 / share))
    count = 0
    for number in range(night % step, files, step):
        with open(f"{directory_of(root, number)}/file-{number:07d}", "wb") as file:
            file.write(b"night %06d" % night)
        count += 1
    return count
