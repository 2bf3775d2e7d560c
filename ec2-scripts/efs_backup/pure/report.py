"""What a run says of itself: the report of a backup as JSON and as lines for a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SUCCESS, INCOMPLETE = "Success", "Incomplete"
_NAMED = 10


@dataclass(slots=True)
class BackupReport:
    """The result of a backup that published a snapshot. Paths are relative to the source, sizes in bytes."""

    outcome: str
    snapshot: str
    id: str
    complete: bool
    started: str
    finished: str
    files: int
    directories: int
    bytes: int
    files_transferred: int
    bytes_transferred: int
    files_linked: int
    files_kept: int
    files_deleted: int
    link_limit_copies: int
    split_groups: list[str]
    """Names at which a file with more names than the file system allows links was divided."""
    changed_during_backup: list[str]
    unreadable: list[str]
    other_mounts: list[str]
    not_kept: dict[str, str]
    notes: list[str]
    expired: list[str]
    seconds: dict[str, float] = field(default_factory=dict)
    phases: dict[str, list[str]] = field(default_factory=dict)
    """Phase -> [start, stop] in UTC."""

    def to_plain(self) -> dict[str, Any]:
        """Return the report as what JSON has words for."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report as a person reads it."""
        total = sum(self.seconds.values())
        text = [
            f"{self.outcome}: {self.snapshot} ({self.id})",
            f"  {self.files:,} files, {size(self.bytes)} in all; {self.files_transferred:,} files, "
            f"{size(self.bytes_transferred)} copied; {self.files_deleted:,} gone; {total:.1f} s",
        ]
        text += [f"  note: {note}" for note in self.notes]
        text += named("could not be read and was carried over", self.unreadable)
        text += named("changed while it was read", self.changed_during_backup)
        text += named("is another file system and was not entered", self.other_mounts)
        text += named("has more names than the file system allows links, and was divided", self.split_groups)
        text += named("is not kept", [f"{path} ({reason})" for path, reason in self.not_kept.items()])
        return text


def named(what: str, paths: list[str]) -> list[str]:
    """Return a line for each of the first few paths, and how many more there are."""
    lines = [f"  {what}: {path or '/'}" for path in paths[:_NAMED]]
    if len(paths) > _NAMED:
        lines.append(f"  … and {len(paths) - _NAMED:,} more")
    return lines


def size(count: float) -> str:
    """Return a number of bytes for a person."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Return a number of seconds for a person."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(whole, 3600)
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
