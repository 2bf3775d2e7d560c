"""The engine's process: ``efs-backup`` with ``--json``, its words relayed and kept, stopped by a signal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

from efs_backup.agent.effects.says import say
from efs_backup.agent.pure.outcome import EngineRun
from efs_backup.effects.processes import call, start

LOG_DIRECTORY = "/var/log/efs-backup"
_WORK_DIRECTORY = "/var/tmp/efs-backup"  # noqa: S108  on the disk: on Amazon Linux /tmp is memory
_COMMAND = (sys.executable, "-s", "-m", "efs_backup")
_LAST_WORDS = 4096
_LIST_SECONDS = 60.0


class Engine:
    """One run of the engine. Its files are in the log directory."""

    def __init__(self, words: list[str], directory: str = LOG_DIRECTORY) -> None:
        """Start it, with fresh logs; it is asked to stop when this process dies."""
        self._directory = directory
        self._relayed = 0
        self._stopped = False
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory, mode=0o755)
        os.makedirs(_WORK_DIRECTORY, mode=0o700, exist_ok=True)
        command = [
            *_COMMAND, *words, "--json", "--log-dir", f"{directory}/fpsync",
            "--progress-file", self._path("progress.json"),
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
        return EngineRun(self._process.returncode, self._report(), self._last_line(), self.progress(), self._stopped)

    def progress(self) -> dict[str, Any] | None:
        """Return what it last wrote about its progress, None before it has."""
        return _read_object(self._path("progress.json"))

    def fpsync_said(self) -> str:
        """Return the log of fpsync; it is empty where fpsync was not needed."""
        try:
            with open(f"{self._directory}/fpsync/fpsync.log", encoding="utf-8", errors="backslashreplace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def keep_log(self, name: str, text: str) -> None:
        """Put one more log beside its own."""
        with open(self._path(name), "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)

    def _report(self) -> dict[str, Any] | None:
        return _read_object(self._path("report.json"))

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


def listed_snapshots(backup: str, label: str, interval: str) -> list[dict[str, Any]] | None:
    """Return the snapshots as ``efs-backup list --json`` says, None if it does not."""
    words = ["list", "--backup", backup, "--folder-label", label, "--interval", interval, "--json"]
    done = call([*_COMMAND, *words], _LIST_SECONDS)
    try:
        return list(json.loads(done.said)["snapshots"])
    except (ValueError, KeyError):
        say(f"the snapshots could not be listed: {done.said.strip()}")
        return None


def _read_object(path: str) -> dict[str, Any] | None:
    """Return the JSON object in a file, None if there is none, or not all of it."""
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (FileNotFoundError, ValueError):
        return None
