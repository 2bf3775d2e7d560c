"""The progress bar. Imported only where a terminal is there to see it."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from efs_backup.pure.report import size


class TerminalBar:
    """One line per phase: files, bytes, time left."""

    def __init__(self) -> None:
        """Open the display on standard error."""
        self._progress = Progress(
            TextColumn("{task.description:>9}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True,
            # No thread of its own: workers are forked while the bar is shown.
            auto_refresh=False,
        )  # fmt: skip
        self._progress.start()
        self._phase = ""
        self._task: TaskID | None = None

    def show(self, phase: str, files: int, count: int, total: int, total_bytes: int) -> None:
        """Show how far a phase is; `total` and `total_bytes` are 0 where nobody knows."""
        if phase != self._phase or self._task is None:
            self._phase = phase
            self._task = self._progress.add_task(phase, total=total or None, done="")
        of_all = f" of {total:,}" if total else ""
        of_bytes = f" of {size(total_bytes)}" if total_bytes else ""
        self._progress.update(
            self._task, completed=files, done=f"{files:,}{of_all} files, {size(count)}{of_bytes}", refresh=True
        )

    def close(self) -> None:
        """Take the display away."""
        self._progress.stop()
