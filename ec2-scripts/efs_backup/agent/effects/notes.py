"""What the agent notes on the instance, so that another process can end what it began: who it is, what it runs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DIRECTORY = "/var/lib/efs-backup"


class Notes:
    """The agent's own directory on the instance: a lock that it holds, its run, and whether that has ended."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        """Make the directory if need be."""
        self._directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the agent's lock while the block runs; False if another process has it."""
        descriptor = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield True
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """Return the process that holds the lock, None if none does."""
        with self.held() as free:
            if free:
                return None
            with open(self._path("lock"), encoding="ascii") as lock:
                written = lock.read()
        return int(written) if written.isdigit() else None

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Keep a note; it is there whole or not at all."""
        path = self._path(f"{name}.json")
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(f"{path}.new", path)

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a note, None if there is none."""
        try:
            with open(self._path(f"{name}.json"), encoding="utf-8") as file:
                return dict(json.load(file))
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)
