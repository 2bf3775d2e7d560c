"""Names on the backup file system: where snapshots are, and where everything else is.

FOLDER_LABEL/
  INTERVAL.N/              snapshots, exact images of the source
  .efs-backup/
    lock                   one per label
    INTERVAL/              staging, spare, trash/, manifests/, journal, catalog, progress
"""

from __future__ import annotations

import re
from typing import NamedTuple

from efs_backup.pure.errors import UsageError

PRIVATE = ".efs-backup"
LOCK = "lock"
STAGING, SPARE, TRASH = "staging", "spare", "trash"
MANIFESTS, JOURNAL, CATALOG = "manifests", "journal", "catalog"
PROGRESS, COPIED = "progress", "progress.fpsync"

_INTERVAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LABEL_LIMIT = 255


class Names(NamedTuple):
    """The paths of one interval under one folder label, relative to the folder label's directory."""

    interval: str

    @property
    def private(self) -> str:
        """The directory of the interval's own files."""
        return f"{PRIVATE}/{self.interval}"

    def own(self, name: str) -> str:
        """Return the path of one of the interval's own files."""
        return f"{self.private}/{name}"

    def snapshot(self, number: int) -> str:
        """Return the path of snapshot `number`."""
        return f"{self.interval}.{number}"

    def manifest(self, snapshot_id: str) -> str:
        """Return the path of the manifest of a snapshot."""
        return self.own(f"{MANIFESTS}/{snapshot_id}")

    def verdict(self, snapshot_id: str) -> str:
        """Return the path of what the last verify of a snapshot found."""
        return self.own(f"{MANIFESTS}/{snapshot_id}.verified")

    def trash(self, name: str) -> str:
        """Return the path of something that waits to be removed."""
        return self.own(f"{TRASH}/{name}")

    def number_of(self, name: str) -> int | None:
        """Return the number in a snapshot's name, None for any other name."""
        match = re.fullmatch(re.escape(self.interval) + r"\.(0|[1-9][0-9]{0,8})", name)
        return int(match.group(1)) if match else None


def checked_interval(text: str) -> str:
    """Return an interval label fit to be part of directory names."""
    if not _INTERVAL.fullmatch(text):
        raise UsageError(f"interval {text!r} cannot name snapshots: use letters, digits, '-' and '_', such as daily")
    return text


def checked_label(text: str) -> str:
    """Return a folder label fit to be one directory name."""
    if (
        not text
        or "/" in text
        or "\0" in text
        or text.startswith(".")
        or len(text.encode("utf-8", "surrogateescape")) > _LABEL_LIMIT
    ):
        raise UsageError(
            f"folder label {text!r} must be one directory name that has no '/' and does not start with a dot"
        )
    return text


def join(directory: str, name: str) -> str:
    """Return the path of a name in a directory; both relative to the same root, the root being the empty string."""
    return f"{directory}/{name}" if directory else name


def ancestors(path: str) -> list[str]:
    """Return the directories a path lies in, the root (the empty string) first; none for the root itself."""
    parts = path.split("/") if path else []
    return ["/".join(parts[:depth]) for depth in range(len(parts))]
