"""How the items of the table are changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_STATUS = "attribute_exists(BackupId) AND attribute_not_exists(BackupStatus)"
"""The condition that a backup has an item, and has not ended."""

PROGRESS = ("ProgressPhase", "ProgressFiles", "ProgressFilesExpected", "ProgressBytes", "ProgressTime")
"""The attributes that say how far a run is, as long as it runs."""


def changes(put: Mapping[str, Any], remove: tuple[str, ...] = ()) -> tuple[str, dict[str, Any]]:
    """Given attributes to set and to remove, return the update expression and its values."""
    values = {f":v{number}": value for number, value in enumerate(put.values())}
    expression = "SET " + ", ".join(f"{name} = {value}" for name, value in zip(put, values, strict=True))
    if remove:
        expression += " REMOVE " + ", ".join(remove)
    return expression, values
