"""Tells how far a run is: a bar on a terminal, lines in a log, a file for other programs."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol

from efs_backup.pure.report import duration, size

_LINE_SECONDS = 3.0
_FILE_SECONDS = 2.0
_SAVE_SECONDS = 5.0


class Bar(Protocol):
    """What a terminal shows."""

    def show(self, phase: str, files: int, count: int, total: int, total_bytes: int) -> None:
        """Show how far a phase is."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Progress:
    """The progress of one run. `begin` starts a phase, `update` says how far it is; a context manager."""

    def __init__(self, file: str | None = None, quiet: bool = False) -> None:
        """Show progress on standard error; and in a file, rewritten every few seconds, if one is named."""
        self._file, self._quiet = file, quiet
        self._bar: Bar | None = None
        self._phase = ""
        self._began = self._lined = self._written = self._saved = 0.0
        self._expected = (0, 0)
        self.seconds: dict[str, float] = {}
        self.times: dict[str, list[str]] = {}

    def __enter__(self) -> Progress:
        """Open a bar if a terminal is there to see it."""
        if not self._quiet and sys.stderr.isatty():
            from efs_backup.flow.terminal import TerminalBar  # rich takes a tenth of a second to import

            self._bar = TerminalBar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the phase and the bar."""
        self.end()
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar:
            self._bar.close()

    def begin(self, phase: str, files: int = 0, count: int = 0) -> None:
        """Start a phase, of which so many files and bytes are expected (0 where nobody knows)."""
        self.end()
        self._phase, self._expected = phase, (files, count)
        self._began = self._lined = time.monotonic()
        self.times[phase] = [now_iso()]
        self.update(0, 0)

    def end(self) -> None:
        """End the phase, if one has begun."""
        if self._phase:
            self.seconds[self._phase] = round(self.seconds.get(self._phase, 0.0) + time.monotonic() - self._began, 3)
            self.times[self._phase].append(now_iso())
            self._phase = ""

    def update(self, files: int, count: int) -> None:
        """Say how many files and bytes of the phase are done."""
        now = time.monotonic()
        if self._bar:
            self._bar.show(self._phase, files, count, *self._expected)
        elif not self._quiet and now - self._lined >= _LINE_SECONDS:
            self._lined = now
            print(self._line(files, count, now - self._began), file=sys.stderr, flush=True)  # noqa: T201
        if self._file and now - self._written >= _FILE_SECONDS:
            self._written = now
            self._write(files, count)

    def save_is_due(self) -> bool:
        """Tell, every few seconds once, that it is time to make what was done durable."""
        now = time.monotonic()
        if now - self._saved < _SAVE_SECONDS:
            return False
        self._saved = now
        return True

    def _line(self, files: int, count: int, elapsed: float) -> str:
        rate = count / elapsed if elapsed else 0.0
        line = f"{now_iso()} {self._phase}: {files:,} files, {size(count)} in {duration(elapsed)} ({size(rate)}/s)"
        expected, _ = self._expected
        if expected and 0 < files < expected:
            line += f", about {duration(elapsed / files * (expected - files))} left"
        return line

    def _write(self, files: int, count: int) -> None:
        """Rewrite the progress file; that it cannot be written is no reason to stop a backup."""
        assert self._file is not None
        state: dict[str, Any] = {
            "phase": self._phase, "files": files, "bytes": count,
            "files_expected": self._expected[0], "bytes_expected": self._expected[1], "time": now_iso(),
        }  # fmt: skip
        temporary = f"{self._file}.new"
        try:
            with open(temporary, "w", encoding="ascii") as file:
                json.dump(state, file)
            os.replace(temporary, self._file)
        except OSError as error:
            print(f"efs-backup: cannot write {self._file}: {error.strerror}", file=sys.stderr)  # noqa: T201
            self._file = None


def now_iso() -> str:
    """Return the time of now in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
