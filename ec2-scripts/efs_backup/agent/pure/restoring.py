"""What came of a restore, and the words for its engine's command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from efs_backup.agent.pure.outcome import INCOMPLETE, SUCCESS, UNSUCCESSFUL, EngineRun, counted, last_words, sentence
from efs_backup.agent.pure.settings import RestoreSettings
from efs_backup.pure.errors import CALLERS_MISTAKE, UsageError

_STAYS = "What it had restored by then stays; launch it again to restore the rest."
_STOPPED = f"It was stopped before its end. {_STAYS}"
_KILLED = f"Its process was killed by signal {{}}. {_STAYS}"
_FAILED = "{} could not be restored: the log names them."
_BEFORE_WRITING = ("there is no snapshot", "nothing was restored")
"""What the engine says of mistakes that it sees before it writes anything."""


@dataclass(frozen=True, slots=True)
class RestoreOutcome:
    """The status of a restore, a sentence or two about a failure, and the engine's report if there is one.

    Unsuccessful means that nothing was changed on the source.
    """

    status: str
    reason: str = ""
    report: Mapping[str, Any] | None = None


def restore_outcome(run: EngineRun) -> RestoreOutcome:
    """Given how the engine ended, return what the mail says."""
    if run.report is not None:
        failed = len(run.report["failed"])
        return RestoreOutcome(
            INCOMPLETE if failed else SUCCESS, _FAILED.format(counted(failed)) if failed else "", run.report
        )
    if run.stopped:
        return RestoreOutcome(INCOMPLETE, _STOPPED)
    if run.status < 0:
        return RestoreOutcome(INCOMPLETE, _KILLED.format(-run.status))
    said = last_words(run)
    if run.status == CALLERS_MISTAKE or any(words in said for words in _BEFORE_WRITING):
        return RestoreOutcome(UNSUCCESSFUL, sentence(said))
    return RestoreOutcome(INCOMPLETE, f"{sentence(said)} {_STAYS}")


def restore_words(settings: RestoreSettings, source: str, backup: str) -> list[str]:
    """Return the engine's command for a restore, given where source and backup are mounted."""
    which = ["--snapshot", settings.snapshot_id] if settings.snapshot_id else ["--number", str(settings.number)]
    return [
        "restore", "--source", source, "--backup", backup, "--source-id", settings.source_efs,
        "--folder-label", settings.label, "--interval", settings.interval, *which,
        "--subdir", settings.subdirectory,
        *(["--to", restore_target(settings.to, source)] if settings.to else []),
        *(["--delete"] if settings.exact else []), *(["--dry-run"] if settings.preview else []),
    ]  # fmt: skip


def restore_target(to: str, source: str) -> str:
    """Return the directory to restore into; raise UsageError if its path leads out of the source."""
    parts = [part for part in to.split("/") if part]
    if not to.startswith("/") or not parts or any(part in (".", "..") for part in parts):
        raise UsageError(f"Restore To {to!r} must be a directory of the source, such as /restored, without '..'")
    return "/".join([source, *parts])


def what_was_done(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each entry that was, or in a preview would be, touched."""
    would = "would " if report["dry_run"] else ""
    for verb, paths in (("create", report["created"]), ("replace", report["replaced"]), ("delete", report["deleted"])):
        yield from (f"{would}{verb} {path}" for path in paths)
    yield from (f"could not restore {path or '/'} ({why})" for path, why in report["failed"].items())
    yield from (f"set aside {old} as {new}" for old, new in report["set_aside"].items())
    yield from (f"note: {note}" for note in report["notes"])
