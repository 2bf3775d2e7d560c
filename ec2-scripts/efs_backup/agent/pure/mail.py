"""The mails that the instance itself sends. Plain text, subjects below 100 characters as Amazon SNS wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from efs_backup.agent.pure.outcome import (
    DELETE_INCOMPLETE,
    FPSYNC_FAILED,
    INCOMPLETE,
    SUCCESS,
    UNSUCCESSFUL,
    Outcome,
)
from efs_backup.agent.pure.settings import Settings

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

_LONGEST_SUBJECT = 99
_LONGEST_MESSAGE = 60_000


def unrecorded_mail(settings: Settings, backup_id: str, outcome: Outcome, why: str, log: str) -> tuple[str, str]:
    """Return subject and message about a backup that could not be recorded in the table."""
    lines = [
        " ".join(part for part in (MESSAGES[outcome.status], outcome.reason) if part),
        f"The instance could not record this in the table: {why}.",
        "",
        *_facts(
            {
                "Stack": settings.stack,
                "Backup": backup_id,
                "Status": outcome.status,
                "Source": f"{settings.source_efs} {settings.prefix}",
                "Backups on": settings.backup_efs,
                **{
                    name: f"{value:,}" if isinstance(value, int) else value
                    for name, value in outcome.attributes.items()
                },
                "Log": log,
            }
        ),
        "",
        "What to do: look at the table and at the instance's rights on it. The snapshots do not depend on it.",
    ]
    return _subject(f"EFS backup {outcome.status}: {backup_id} of {settings.stack}"), _message(lines)


def _facts(facts: Mapping[str, Any]) -> list[str]:
    width = max(len(name) for name in facts) + 2
    return [f"{name + ':':<{width}}{value}" for name, value in facts.items() if value != ""]


def _message(lines: list[str]) -> str:
    return "\n".join(lines)[:_LONGEST_MESSAGE]


def _subject(text: str) -> str:
    """Amazon SNS takes printable ASCII, below 100 characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:_LONGEST_SUBJECT]
