"""Exchanges directories with symbolic links at full speed, as a user might who owns the tree.

``python swapper.py LIST``: LIST has a line for each pair, two paths with a tab between. Runs until it is killed.
"""

from __future__ import annotations

import ctypes
import os
import sys

AT_FDCWD, RENAME_EXCHANGE = -100, 2


def main() -> None:
    """Do what the module's first sentence says."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(sys.argv[1], "rb") as file:
        pairs = [line.split(b"\t") for line in file.read().splitlines()]
    while True:
        for one, other in pairs:
            libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE)


if __name__ == "__main__":
    os.nice(0)
    main()
