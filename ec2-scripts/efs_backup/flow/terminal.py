"""What only a terminal sees: the progress bar and the table in colour. Imported only where one is there to see it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from efs_backup.pure.report import size


class TerminalBar:
    """One line per phase: files, bytes, rate, time left."""

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
        self._began = 0.0

    def show(self, phase: str, files: int, count: int, total: int, total_bytes: int) -> None:
        """Show how far a phase is; `total` and `total_bytes` are 0 where nobody knows."""
        if phase != self._phase or self._task is None:
            self._phase, self._began = phase, time.monotonic()
            self._task = self._progress.add_task(phase, total=total or None, done="")
        of_all = f" of {total:,}" if total else ""
        of_bytes = f" of {size(total_bytes)}" if total_bytes else ""
        self._progress.update(
            self._task,
            completed=files,
            done=f"{files:,}{of_all} files, {size(count)}{of_bytes}{self._rate(files, count)}",
            refresh=True,
        )

    def _rate(self, files: int, count: int) -> str:
        """Return how fast the phase is; nothing in its first second, which says little."""
        elapsed = time.monotonic() - self._began
        if elapsed < 1.0:
            return ""
        return f", {files / elapsed:,.0f} files/s, {size(count / elapsed)}/s"

    def close(self) -> None:
        """Take the display away."""
        self._progress.stop()


_COLOURS = {"complete": "green", "incomplete": "yellow", "yes": "green", "DAMAGED": "bold red"}


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to the terminal, good and bad words in colour (not where NO_COLOR is set, which rich minds)."""
    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, ""), no_wrap=True) for cell in row))
    Console(highlight=False, soft_wrap=True).print(table)
