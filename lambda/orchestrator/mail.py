"""The mails. Pure: plain text, subjects below 100 characters as Amazon SNS wants them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import readable
from orchestrator.config import Settings
from orchestrator.state import SKIPPED, SUCCESS, UNSUCCESSFUL, Item, moment_of
from orchestrator.words import FPSYNC_FAILED, INCOMPLETE, MESSAGES, what_happened, what_to_do

LONGEST_SUBJECT = 99
LONGEST_MESSAGE = 60_000
"""Characters, at most four bytes each: below the 256 KiB that Amazon SNS takes."""
LONGEST_REASON = 2_000


@dataclass(frozen=True)
class Mail:
    """A mail, ready to be published."""

    subject: str
    message: str


def final_mail(settings: Settings, item: Item) -> Mail:
    """Given a backup's last item, return the mail that says how it ended."""
    status, reason = item["BackupStatus"], item.get("Reason", "")[:LONGEST_REASON]
    sections = [
        what_happened(status, reason) + _what_there_is(settings, item),
        _facts(settings, item),
        f"What to do: {what_to_do(status, reason)}",
        _logs(settings, item),
        _restore(settings, item),
        _record(item, MESSAGES.get(status, f"The EFS backup ended with the status {status}.")),
    ]
    text = "\n\n".join(section for section in sections if section)
    return Mail(_subject(settings, status, item["BackupId"]), text[:LONGEST_MESSAGE])


def skipped_mail(settings: Settings, item: Item) -> Mail:
    """Given the item of a start that was refused, with the reason, return the mail that says so."""
    sections = [
        what_happened(SKIPPED, item["Reason"][:LONGEST_REASON]),
        _facts(settings, item),
        f"What to do: {what_to_do(SKIPPED, item['Reason'])}",
        _record(item, MESSAGES[SKIPPED]),
    ]
    return Mail(_subject(settings, SKIPPED, item["BackupId"]), "\n\n".join(sections)[:LONGEST_MESSAGE])


def restore_launch_mail(stack: str, cause: str) -> Mail:
    """Return the mail that says that a restore's instance cannot be launched."""
    sections = [
        "The EFS restore was unsuccessful: its instance could not be launched. Nothing was changed on the source.",
        f"Amazon EC2 gave this reason: {cause[:LONGEST_REASON]}",
        "What to do: delete this stack, and launch it again later, with another Instance Type, or in other Subnets.",
    ]
    return Mail(_plain_subject(f"EFS restore {UNSUCCESSFUL}: {stack}"), "\n\n".join(sections)[:LONGEST_MESSAGE])


def _what_there_is(settings: Settings, item: Item) -> str:
    """Return, as the sentence that follows, what the backup left, if that is known and its own words do not say it."""
    status, published = item["BackupStatus"], "SnapshotId" in item or "NumberOfFiles" in item
    if status == SUCCESS:
        return f" The new snapshot is {settings.folder_label}/{settings.interval}.0 on {settings.backup_efs}."
    if status in (INCOMPLETE, UNSUCCESSFUL, FPSYNC_FAILED) and not published:
        return " No snapshot was published, and none was changed."
    return ""


def _facts(settings: Settings, item: Item) -> str:
    facts = [
        ("Stack", settings.stack),
        ("Backup", item["BackupId"]),
        ("Status", item["BackupStatus"]),
        ("Source", f"{settings.source_efs} {settings.prefix}"),
        ("Backups on", f"{settings.backup_efs} {settings.folder_label}/{settings.interval}.N"),
        ("Snapshot", item.get("SnapshotId", "")),
        ("Started", _utc(item.get("BackupStartTime"))),
        ("Ended", _utc(item.get("BackupStopTime"))),
        ("Took", _span(item.get("BackupStartTime"), item.get("BackupStopTime"))),
        ("Files", _if_known(readable.count, item.get("NumberOfFiles"))),
        ("Files transferred", _if_known(readable.count, item.get("NumberOfFilesTransferred"))),
        ("Size", _if_known(readable.size, item.get("TotalFileSize"))),
        ("Size transferred", _if_known(readable.size, item.get("TotalTransferredFileSize"))),
        ("Estimated cost", item.get("EstimatedCost", "")),
    ]
    return "\n".join(f"{name + ':':<19}{value}" for name, value in facts if value)


def _logs(settings: Settings, item: Item) -> str:
    console, bucket = settings.restore.console, settings.log_bucket
    address = urlsplit(item.get("EC2Logs", ""))
    uploaded = address.scheme == "https"
    log = console.log(bucket, unquote(address.path[1:])) if uploaded else console.logs(bucket, "ec2-logs/")
    return f"Log:               {log}\nLogs of the copy:  {console.logs(bucket, 'efs-backup-log/')}"


def _restore(settings: Settings, item: Item) -> str:
    snapshot = item.get("SnapshotId")
    if not snapshot:
        return ""
    link = settings.restore.to(snapshot)
    return f"To restore this snapshot, or a part of it, open the form of a restore stack:\n{link}"


def _record(item: Item, message: str) -> str:
    """Return the item as the published solution sent it, with the message of its status."""
    return "The backup's record:\n" + json.dumps(item | {"Message": message}, indent=2, sort_keys=True)


def _utc(time: str | None) -> str:
    return f"{moment_of(time):%Y-%m-%d %H:%M:%S} UTC" if time else ""


def _span(start: str | None, stop: str | None) -> str:
    if not start or not stop or start == stop:
        return ""
    return readable.duration((moment_of(stop) - moment_of(start)).total_seconds())


def _if_known(say: Callable[[int], str], value: int | None) -> str:
    return "" if value is None else say(value)


def _subject(settings: Settings, status: str, backup_id: str) -> str:
    """The status comes first and the stack last: what a long stack name cuts off is its own end."""
    return _plain_subject(f"EFS backup {status}: {backup_id} of {settings.stack}")


def _plain_subject(text: str) -> str:
    """SNS takes printable ASCII, below 100 characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:LONGEST_SUBJECT]
