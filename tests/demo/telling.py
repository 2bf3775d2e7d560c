"""The voice of the demonstrations: steps, what was found to be so, and the end when it is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text


class NotAsToldError(Exception):
    """Something is not as the demonstration says."""


def expect(is_so: bool, what: str) -> None:
    """Stop the demonstration unless it is so."""
    if not is_so:
        raise NotAsToldError(what)


@dataclass
class Voice:
    """Tells a story step by step on a terminal, or into a log."""

    console: Console
    step: int = 0

    def tell(self, text: str) -> None:
        """Begin the next step with what happens and why."""
        self.step += 1
        self.console.print(Text(f"\n{self.step}. {text}", style="bold"))

    def note(self, text: str) -> None:
        """Say what was found to be so."""
        self.console.print(Text(f"   ✓ {text}", style="green"), soft_wrap=True)

    def command(self, text: str) -> None:
        """Print a command as it would be typed."""
        self.console.print(Text(f"   $ {text}", style="cyan"), soft_wrap=True)

    def aside(self, text: str) -> None:
        """Say something in passing."""
        self.console.print(Text(f"   {text}", style="dim"), soft_wrap=True)

    def said(self, text: str, lines: int = 12) -> None:
        """Print what a command or a mail said, its end if it is long."""
        shown = text.splitlines()
        if len(shown) > lines:
            self.console.print(Text(f"     … {len(shown) - lines} lines more", style="dim"))
        for line in shown[-lines:]:
            self.console.print(Text(f"     {line}"), soft_wrap=True)

    def table(self, names: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Print a table."""
        grid = Table(*names, box=None, padding=(0, 2, 0, 0), header_style="dim")
        for row in rows:
            grid.add_row(*map(str, row))
        for line in self._lines(grid):
            self.console.print(Text(f"     {line}"), soft_wrap=True)

    def _lines(self, grid: Table) -> list[str]:
        with self.console.capture() as captured:
            self.console.print(grid)
        return [line.rstrip() for line in Text.from_ansi(captured.get()).plain.splitlines() if line.strip()]
