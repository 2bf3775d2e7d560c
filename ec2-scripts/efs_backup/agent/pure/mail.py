"""The mails that the instance itself sends. Plain text, subjects below 100 characters as Amazon SNS wants them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from efs_backup.agent.pure.outcome import (
    DELETE_INCOMPLETE,
    FPSYNC_FAILED,
    INCOMPLETE,
    SUCCESS,
    UNSUCCESSFUL,
    Outcome,
)
from efs_backup.agent.pure.restoring import RestoreOutcome, what_was_done
from efs_backup.agent.pure.settings import BackupSettings, RestoreSettings
from efs_backup.pure.errors import one_line
from efs_backup.pure.report import size

MESSAGES = {
    SUCCESS: "The EFS backup was successful.",
    INCOMPLETE: (
        "The EFS backup was incomplete. Either backup window expired before full backup or fpsync process was not"
        " completed."
    ),
    UNSUCCESSFUL: (
        "The EFS backup was unsuccessful. The mount address of a file system was not found, or it could not be mounted."
    ),
    FPSYNC_FAILED: "The EFS backup failed: fpsync did not start, or ended with an error.",
    DELETE_INCOMPLETE: (
        "The EFS backup was incomplete. Files that are gone from the source could not all be removed from it."
    ),
}
"""The messages of the statuses. The orchestrator, which sends all other mails, has the same; a test compares them."""

_RESTORE_MESSAGES = {
    SUCCESS: "The EFS restore was successful.",
    INCOMPLETE: "The EFS restore was incomplete.",
    UNSUCCESSFUL: "The EFS restore was unsuccessful. Nothing was changed on the source.",
}
_RESTORE_ADVICE = {
    SUCCESS: "Look at the files, then delete this stack: it is not needed any more.",
    INCOMPLETE: "Look at the log, then launch the restore again: what is right already is left alone.",
    UNSUCCESSFUL: "Correct the parameters, then delete this stack and launch it again.",
}
_PREVIEW_MESSAGE = "This was a preview of an EFS restore. Nothing was changed on the source."
_PREVIEW_ADVICE = "To do it, launch a restore stack with the same parameters and Preview No."
_PREVIEWED = 500
"""How many lines of a preview a mail has; the log has all."""

_LONGEST_SUBJECT = 99
_LONGEST_MESSAGE = 60_000
"""Characters, at most four bytes each: below the 256 KiB that Amazon SNS takes."""

Mail = tuple[str, str]


def unrecorded_mail(settings: BackupSettings, backup_id: str, outcome: Outcome, why: str, log: str) -> Mail:
    """Return subject and message about a backup that could not be recorded in the table."""
    facts = {
        "Stack": settings.stack,
        "Backup": backup_id,
        "Status": outcome.status,
        "Source": f"{settings.source_efs} {settings.prefix}",
        "Backups on": settings.backup_efs,
        **outcome.attributes,
        "Log": log,
    }
    lines = [
        " ".join(part for part in (MESSAGES[outcome.status], outcome.reason) if part),
        f"The instance could not record this in the table: {why}.",
        "",
        *_table(facts),
        "",
        "What to do: look at the table and at the instance's rights on it. The snapshots do not depend on it.",
    ]
    return _mail(f"EFS backup {outcome.status}: {backup_id} of {settings.stack}", lines)


def restore_mail(settings: RestoreSettings, outcome: RestoreOutcome, log: str) -> Mail:
    """Return subject and message about a restore that has ended."""
    previewed = settings.preview and outcome.status == SUCCESS
    message = _PREVIEW_MESSAGE if previewed else _RESTORE_MESSAGES[outcome.status]
    lines = [
        " ".join(part for part in (message, outcome.reason) if part),
        "",
        *_table(_restore_facts(settings, outcome.report, log)),
        "",
        f"What to do: {_PREVIEW_ADVICE if previewed else _RESTORE_ADVICE[outcome.status]}",
    ]
    if previewed and outcome.report:
        lines += ["", "What would be done:", *_some(what_was_done(outcome.report))]
    what = "preview" if settings.preview else "restore"
    return _mail(f"EFS {what} {outcome.status}: {settings.stack}", lines)


def _restore_facts(settings: RestoreSettings, report: Mapping[str, Any] | None, log: str) -> dict[str, Any]:
    wanted = settings.snapshot_id or f"{settings.interval}.{settings.number}"
    wanted += settings.subdirectory
    facts: dict[str, Any] = {
        "Stack": settings.stack,
        "Snapshot": f"{settings.label}/{wanted} on {settings.backup_efs}",
        "Restored to": f"{settings.source_efs} {_place(settings)}",
    }
    if report is not None:
        facts |= {
            "Snapshot id": report["id"],
            "Created": len(report["created"]),
            "Replaced": len(report["replaced"]),
            "Deleted": len(report["deleted"]),
            "Left as they were": report["unchanged"],
            "Not restored": len(report["failed"]),
            "Size transferred": size(report["bytes_transferred"]),
        }
    return {**facts, "Log": log}


def _place(settings: RestoreSettings) -> str:
    """Return the directory of the source that is restored to."""
    parts = [part for path in (settings.prefix, settings.to, settings.subdirectory) for part in path.split("/") if part]
    return "/" + "/".join(parts)


def _some(lines: Iterable[str]) -> list[str]:
    shown = [one_line(line) for line in islice(lines, _PREVIEWED + 1)]
    return shown if len(shown) <= _PREVIEWED else [*shown[:_PREVIEWED], "… and more: the log has all"]


def _table(facts: Mapping[str, Any]) -> list[str]:
    width = max(map(len, facts)) + 2
    return [
        f"{name + ':':<{width}}{f'{value:,}' if isinstance(value, int) else value}" for name, value in facts.items()
    ]


def _mail(subject: str, lines: list[str]) -> Mail:
    """Amazon SNS takes printable ASCII as a subject, below 100 characters."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in subject)[:_LONGEST_SUBJECT]
    return plain, "\n".join(lines)[:_LONGEST_MESSAGE]
