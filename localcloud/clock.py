"""The clock of the cloud: it runs with the machine's, and can be moved forward.

Every process of the cloud sees it as its wall clock (``clock.c``). Moving it stops at each moment at which
something is due (a schedule, a hook's time-out, an alarm's period), so nothing is skipped or late.
"""

import mmap
import os
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

OFFSET_FILE = "clock"
LIBRARY = "libclock.so"
TICK_SECONDS = 0.2


class ClockError(Exception):
    """The clock cannot be built or moved as asked."""


class Timed(Protocol):
    """Something that has work at certain moments (seconds since the epoch, on the cloud's clock)."""

    def next_due(self, now: float) -> float | None:
        """Return the next moment at which there is work, or None."""

    def fire(self, now: float) -> None:
        """Do what is due at ``now`` or before."""


def prepare(directory: Path) -> dict[str, str]:
    """Build the clock in ``directory`` and return the environment that makes a process use it.

    Raises:
        ClockError: there is no C compiler, or it fails.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ClockError("the local cloud's clock needs a C compiler: apt-get install gcc libc6-dev")
    library, source = directory / LIBRARY, Path(__file__).with_name("clock.c")
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise ClockError(f"the local cloud's clock does not compile: {built.stderr.strip()}")
    (directory / OFFSET_FILE).write_bytes(struct.pack("q", 0))
    return environment(directory)


def environment(directory: Path) -> dict[str, str]:
    """Return the variables that make a process live on the clock in ``directory``."""
    return {"LD_PRELOAD": str(directory / LIBRARY), "LOCALCLOUD_CLOCK": str(directory / OFFSET_FILE)}


class Clock:
    """Reads and moves the clock of the process it runs in, and of all others that share the directory."""

    def __init__(self, directory: Path, settle: Callable[[], None]) -> None:
        """Take the offset file in ``directory``; ``settle`` waits until what was fired has been delivered."""
        descriptor = os.open(directory / OFFSET_FILE, os.O_RDWR | os.O_CLOEXEC)
        self._page = mmap.mmap(descriptor, 8)
        os.close(descriptor)
        self._settle = settle
        self._timed: list[Timed] = []
        self._moving = threading.Lock()
        self._firing = threading.Lock()

    def add(self, timed: Timed) -> None:
        """Have ``timed`` asked when it has work, and told when that moment has come."""
        self._timed.append(timed)

    def now(self) -> float:
        """Return the cloud's time in seconds since the epoch."""
        return time.time()

    def advance(self, seconds: float, settle: Callable[[], None] | None = None) -> None:
        """Move the clock forward, stopping wherever something is due; ``settle`` in place of the cloud's own.

        Raises:
            ClockError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ClockError(f"the clock only moves forward, not by {seconds} seconds")
        settle = settle or self._settle
        with self._moving:
            target = self.now() + seconds
            while (due := self._earliest()) is not None and due <= target:
                self._jump(due)
                self.fire_due()
                settle()
            self._jump(target)
            self.fire_due()
            settle()

    def fire_due(self) -> None:
        """Let everything do what is due now."""
        with self._firing:
            for timed in self._timed:
                timed.fire(self.now())

    def start(self) -> None:
        """Fire what becomes due as real time passes, in a thread, until the process ends."""
        threading.Thread(target=self._tick, name="clock", daemon=True).start()

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            self.fire_due()

    def _earliest(self) -> float | None:
        now = self.now()
        moments = [moment for timed in self._timed if (moment := timed.next_due(now)) is not None]
        return min(moments, default=None)

    def _jump(self, moment: float) -> None:
        forward = int((moment - self.now()) * 1e9)
        if forward > 0:
            (offset,) = struct.unpack("q", self._page[:8])
            self._page[:8] = struct.pack("q", offset + forward)


def iso(moment: float) -> str:
    """Return ``moment`` as AWS writes times in events: ``2026-11-23T02:00:00Z``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
