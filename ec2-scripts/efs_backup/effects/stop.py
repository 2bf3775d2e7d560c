"""The flag that stops all workers, shared by the processes of a run; and the signals that raise it."""

from __future__ import annotations

import mmap
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from efs_backup.pure.errors import DrainedError


class StopFlag:
    """One byte of memory that forked processes share. Reading it costs nothing, so it is read between any two steps."""

    def __init__(self) -> None:
        """Start as one that asks nobody to stop."""
        self._shared = mmap.mmap(-1, 1)

    def raise_drain(self) -> None:
        """Ask everybody to stop in good order."""
        self._shared[0] = 1

    def check(self) -> None:
        """Raise DrainedError if the run is to stop."""
        if self._shared[0]:
            raise DrainedError("stopped before the end: what is done stays, and the next run carries on from it")


@contextmanager
def draining_signals(flag: StopFlag) -> Iterator[None]:
    """Let SIGTERM and SIGINT raise the flag while the block runs."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        flag.raise_drain()

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
