"""What came of a backup: the status of the table, the reason for the mail, and the item's numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SUCCESS = "Success"
INCOMPLETE = "Incomplete"
UNSUCCESSFUL = "Unsuccessful"
FPSYNC_FAILED = "fpsync failed"
DELETE_INCOMPLETE = "Rsync Delete Incomplete"

_TOOL = re.compile(r"(fpsync|fpart|rsync) (is not installed|failed)|cannot run ")
_NOT_REMOVED = "what has expired could not be removed"
_NAMED = 5
_LONGEST_REASON = 1000

_PHASES = {
    "CreateHardlinks": ("compare", "link"),
    "RsyncDelete": ("compare", "compare"),
    "RemoveSnapshot": ("prune", "prune"),
}
"""The published steps, and the engine's phases that do them: the first one's start, the last one's stop. Unchanged
files are linked, and files that are gone removed, in one walk."""


@dataclass(frozen=True, slots=True)
class EngineRun:
    """How the engine's process ended: its exit status (negative: a signal), its report, its last words, how far it was.

    ``stopped`` says that the agent told it to stop.
    """

    status: int
    report: Mapping[str, Any] | None
    error: str
    progress: Mapping[str, Any] | None = None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status of a backup, a sentence or two about a failure, and the attributes that its item gets."""

    status: str
    reason: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None


def outcome_of(run: EngineRun) -> Outcome:
    """Given how the engine ended, return what the backup's record says."""
    if run.report is not None:
        return _of_report(run.report)
    seen = _seen_so_far(run.progress)
    if run.stopped:
        # The message of the status says it all: the window, or another end, came first.
        return Outcome(INCOMPLETE, attributes=seen)
    if run.status < 0:
        return Outcome(INCOMPLETE, f"The backup process was killed by signal {-run.status}.", seen)
    said = last_words(run)
    return Outcome(FPSYNC_FAILED if _TOOL.match(said) else UNSUCCESSFUL, sentence(said), seen)


def last_words(run: EngineRun) -> str:
    """Return why the engine failed, as it said itself."""
    return run.error.removeprefix("efs-backup: ").strip() or f"the process ended with status {run.status}"


def _of_report(report: Mapping[str, Any]) -> Outcome:
    attributes = {
        "SnapshotId": report["id"],
        "NumberOfFiles": report["files"],
        "NumberOfFilesTransferred": report["files_transferred"],
        "TotalFileSize": report["bytes"],
        "TotalTransferredFileSize": report["bytes_transferred"],
        **_step_times(report["phases"]),
    }
    if not report["complete"]:
        return Outcome(INCOMPLETE, _unreadable(report["unreadable"]), attributes, report)
    for note in report["notes"]:
        if note.startswith(_NOT_REMOVED):
            return Outcome(DELETE_INCOMPLETE, sentence(f"The snapshot itself is complete; {note}"), attributes, report)
    return Outcome(SUCCESS, "", attributes, report)


def _unreadable(paths: list[str]) -> str:
    shown = ", ".join(f"/{path}" for path in paths[:_NAMED])
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return sentence(
        f"{counted(len(paths))} of the source could not be read, and taken from the last snapshot: {shown}{more}"
    )


def _step_times(phases: Mapping[str, list[str]]) -> dict[str, str]:
    times = {}
    for step, (first, last) in _PHASES.items():
        if first in phases and last in phases:
            times[f"{step}StartTime"] = phases[first][0].removesuffix("Z")
            times[f"{step}StopTime"] = phases[last][1].removesuffix("Z")
    return times


def _seen_so_far(progress: Mapping[str, Any] | None) -> dict[str, Any]:
    """Given the progress of a run that did not come to its end, return what can be counted all the same."""
    phase = progress["phase"] if progress else ""
    if progress and phase in ("scan", "compare"):
        return {"NumberOfFiles": progress["files"], "TotalFileSize": progress["bytes"]}
    if progress and phase == "transfer":
        return {
            "NumberOfFiles": progress["files_expected"],
            "TotalFileSize": progress["bytes_expected"],
            "NumberOfFilesTransferred": progress["files"],
            "TotalTransferredFileSize": progress["bytes"],
        }
    return {}


def counted(entries: int) -> str:
    """Return a number of entries in words."""
    return "1 entry" if entries == 1 else f"{entries:,} entries"


def sentence(text: str) -> str:
    """Return a text as a sentence: a capital first unless a program's name is, a full stop last, not too long."""
    text = text.strip()
    if len(text) > _LONGEST_REASON:
        text = f"{text[:_LONGEST_REASON]} …"
    if not text.startswith(("fpsync", "fpart", "rsync")):
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def in_terms_of(text: str, names: Mapping[str, str]) -> str:
    """Return a text in which directories of the instance have the names that the reader knows."""
    for directory, name in names.items():
        text = text.replace(directory, name)
    return text
