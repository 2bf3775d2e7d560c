"""The engine's process: ``efs-backup`` with ``--json``, its words relayed and kept, stopped by a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

from efs_backup.agent.pure.outcome import EngineRun
from efs_backup.effects.processes import start

LOG_DIRECTORY = "/var/log/efs-backup"
_WORK_DIRECTORY = "/var/tmp/efs-backup"  # noqa: S108  on the disk: on Amazon Linux /tmp is memory
_LAST_WORDS = 4096


class Engine:
    """One run of the engine. Its files are in the log directory."""

    def __init__(self, arguments: list[str], directory: str = LOG_DIRECTORY) -> None:
        """Start it; it is killed when this process dies."""
        self._directory = directory
        self._relayed = 0
        self._stopped = False
        os.makedirs(directory, mode=0o755, exist_ok=True)
        os.makedirs(_WORK_DIRECTORY, mode=0o700, exist_ok=True)
        command = [
            sys.executable, "-s", "-m", "efs_backup", *arguments, "--json",
            "--log-dir", f"{directory}/fpsync", "--progress-file", self._path("progress.json"),
        ]  # fmt: skip
        environment = {**os.environ, "TMPDIR": _WORK_DIRECTORY}
        with open(self._path("report.json"), "wb") as report, open(self._path("engine.log"), "wb") as log:
            self._process: subprocess.Popen[bytes] = start(command, report, log, environment)

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    def ended(self, seconds: float) -> bool:
        """Wait for the end, at most so long; say whether it has come."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._relay()
        return self._process.returncode is not None

    def stop(self) -> None:
        """Ask it to stop in good order."""
        self._stopped = True
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def result(self) -> EngineRun:
        """Return how it ended."""
        return EngineRun(self._process.returncode, self._report(), self._last_line(), self._stopped)

    def progress(self) -> dict[str, Any] | None:
        """Return what it last wrote about its progress, None before it has."""
        try:
            with open(self._path("progress.json"), encoding="ascii") as file:
                return dict(json.load(file))
        except (FileNotFoundError, ValueError):
            return None

    def fpsync_said(self) -> str:
        """Return the log of fpsync; it is empty where fpsync was not needed."""
        try:
            with open(f"{self._directory}/fpsync/fpsync.log", encoding="utf-8", errors="backslashreplace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def _report(self) -> dict[str, Any] | None:
        try:
            with open(self._path("report.json"), encoding="utf-8") as file:
                return dict(json.load(file))
        except ValueError:
            return None

    def _last_line(self) -> str:
        with open(self._path("engine.log"), "rb") as file:
            file.seek(max(0, os.path.getsize(file.name) - _LAST_WORDS))
            lines = file.read().decode("utf-8", "backslashreplace").strip().splitlines()
        return lines[-1] if lines else ""

    def _relay(self) -> None:
        """Pass on to the instance's log what it has written since the last look."""
        with open(self._path("engine.log"), "rb") as file:
            file.seek(self._relayed)
            said = file.read()
        self._relayed += len(said)
        sys.stdout.buffer.write(said)
        sys.stdout.buffer.flush()

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)
