"""What came of the engine's run: the status of the table, the reason for the mail, and the item's numbers."""

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
_REMOVAL = "what has expired could not be removed"
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
    """How the engine's process ended: its exit status (negative: a signal), its report, and its last words.

    ``stopped`` says that the agent told it to stop.
    """

    status: int
    report: Mapping[str, Any] | None
    error: str
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status of a backup, a sentence or two about a failure, and the attributes that its item gets."""

    status: str
    reason: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def outcome_of(run: EngineRun) -> Outcome:
    """Given how the engine ended, return what the backup's record says."""
    if run.report is not None:
        status, reason = _of_report(run.report)
        return Outcome(status, reason, attributes_of(run.report))
    if run.stopped:
        return Outcome(INCOMPLETE)
    if run.status < 0:
        return Outcome(INCOMPLETE, f"The backup process was killed by signal {-run.status}.")
    said = run.error.removeprefix("efs-backup: ").strip() or f"The backup process ended with status {run.status}."
    status = FPSYNC_FAILED if _TOOL.match(said) else UNSUCCESSFUL
    return Outcome(status, sentence(said))


def _of_report(report: Mapping[str, Any]) -> tuple[str, str]:
    if not report.get("complete"):
        return INCOMPLETE, _unreadable(list(report.get("unreadable", [])))
    for note in report.get("notes", []):
        if str(note).startswith(_REMOVAL):
            return DELETE_INCOMPLETE, sentence(f"The snapshot itself is complete; {note}")
    return SUCCESS, ""


def _unreadable(paths: list[str]) -> str:
    shown = ", ".join(f"/{path}" for path in paths[:_NAMED])
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    text = f"{len(paths)} entries of the source could not be read and were carried over from the last snapshot: "
    return (text + shown + more)[:_LONGEST_REASON] + "."


def sentence(text: str) -> str:
    """Return a text as a sentence: a capital first, a full stop last, not too long."""
    text = text.strip()[:_LONGEST_REASON]
    text = text[:1].upper() + text[1:] if not text.startswith(("fpsync", "fpart", "rsync")) else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


def attributes_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Given the engine's report, return the attributes of the backup's item: counts, sizes, times of the steps."""
    return {
        "NumberOfFiles": report["files"],
        "NumberOfFilesTransferred": report["files_transferred"],
        "TotalFileSize": report["bytes"],
        "TotalTransferredFileSize": report["bytes_transferred"],
        **_step_times(report.get("phases", {})),
    }


def _step_times(phases: Mapping[str, list[str]]) -> dict[str, str]:
    times = {}
    for step, (first, last) in _PHASES.items():
        if len(phases.get(first, [])) == 2 and len(phases.get(last, [])) == 2:
            times[f"{step}StartTime"] = phases[first][0].removesuffix("Z")
            times[f"{step}StopTime"] = phases[last][1].removesuffix("Z")
    return times
