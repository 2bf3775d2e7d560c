"""What the mails say. Pure: plain text, subjects below 100 characters as Amazon SNS wants them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from orchestrator.config import Settings
from orchestrator.state import SKIPPED, SUCCESS, UNKNOWN, UNSUCCESSFUL, Item, Lease

LONGEST_SUBJECT = 99
LONGEST_MESSAGE = 60_000
"""Characters, at most four bytes each: below the 256 KiB that Amazon SNS takes."""

MESSAGES = {
    SUCCESS: "The EFS backup was successful.",
    "Incomplete": (
        "The EFS backup was incomplete. Either backup window expired before full backup or fpsync process was not"
        " completed."
    ),
    UNSUCCESSFUL: (
        "The EFS backup was unsuccessful. The mount address of a file system was not found, or it could not be mounted."
    ),
    "fpsync failed": "The EFS backup failed: fpsync did not start, or ended with an error.",
    "Rsync Delete Incomplete": (
        "The EFS backup was incomplete. Files that are gone from the source could not all be removed from it."
    ),
    UNKNOWN: (
        "The result of the EFS backup is unknown: its instance is gone and never recorded a status. The logs in the S3"
        " bucket may say more."
    ),
    SKIPPED: "The EFS backup was skipped, because another one of this stack was still running.",
}

ADVICE = {
    SUCCESS: "Nothing is to be done.",
    "Incomplete": "The next backup carries on where this one stopped. If this repeats, choose a longer backup window.",
    UNSUCCESSFUL: (
        "Check that the source's mount targets are in the stack's subnets and let in the stack's security group by NFS"
        " (TCP 2049). No snapshot was changed."
    ),
    "fpsync failed": "The log has the error. The next backup carries on where this one stopped.",
    "Rsync Delete Incomplete": "The log names the files. The next backup tries again.",
    UNKNOWN: "Look at the instance's log. The next backup carries on where this one stopped.",
    SKIPPED: "If this repeats, choose a shorter backup window or a less frequent schedule.",
}

LAUNCH_ADVICE = (
    "Amazon EC2 gave this reason. Try again later, choose another instance type in the template's mapping, or other"
    " subnets. No snapshot was changed."
)


@dataclass(frozen=True)
class Mail:
    """A mail, ready to be published."""

    subject: str
    message: str


def final_mail(settings: Settings, item: Item, lease: Lease | None) -> Mail:
    """Given a backup's last item, and its lease if that is known, return the mail that says how it ended."""
    status = item["BackupStatus"]
    message = _message(status, lease)
    lines = [
        message,
        "",
        *_facts(settings, item),
        "",
        "What to do: " + _advice(status, lease),
        "",
        "The backup's record:",
        json.dumps(item | {"Message": message}, indent=2, sort_keys=True),
    ]
    return Mail(_subject(settings, status, item["BackupId"]), "\n".join(lines)[:LONGEST_MESSAGE])


def skipped_mail(settings: Settings, item: Item, reason: str) -> Mail:
    """Given the item of a start that was refused and why, return the mail that says so."""
    lines = [
        MESSAGES[SKIPPED],
        f"Why: {reason}.",
        "",
        *_facts(settings, item),
        "",
        "What to do: " + ADVICE[SKIPPED],
        "",
        "The backup's record:",
        json.dumps(item | {"Message": MESSAGES[SKIPPED]}, indent=2, sort_keys=True),
    ]
    return Mail(_subject(settings, SKIPPED, item["BackupId"]), "\n".join(lines))


def restore_launch_mail(stack: str, cause: str) -> Mail:
    """Return the mail that says that a restore's instance cannot be launched."""
    lines = [
        "The EFS restore was unsuccessful: its instance could not be launched. Nothing was changed on the source.",
        f"Why: {cause}",
        "",
        "What to do: "
        + LAUNCH_ADVICE.replace(" No snapshot was changed.", " Then delete this stack and launch it again."),
    ]
    return Mail(_plain_subject(f"EFS restore {UNSUCCESSFUL}: {stack}"), "\n".join(lines)[:LONGEST_MESSAGE])


def _launch_failed(status: str, lease: Lease | None) -> bool:
    return status == UNSUCCESSFUL and lease is not None and bool(lease.launch_failure) and not lease.instance_id


def _message(status: str, lease: Lease | None) -> str:
    if _launch_failed(status, lease) and lease:
        return f"The EFS backup was unsuccessful: its instance could not be launched. {lease.launch_failure}"
    if lease and lease.reason:
        # What the instance itself says of a failure is more exact than what its status says.
        return f"{MESSAGES.get(status, f'The EFS backup ended with the status {status}.')} {lease.reason}"
    return MESSAGES.get(status, f"The EFS backup ended with the status {status}.")


def _advice(status: str, lease: Lease | None) -> str:
    if _launch_failed(status, lease):
        return LAUNCH_ADVICE
    return ADVICE.get(status, "Look at the instance's log.")


def _facts(settings: Settings, item: Item) -> list[str]:
    facts = [
        ("Stack", settings.stack),
        ("Backup", item["BackupId"]),
        ("Status", item.get("BackupStatus", "")),
        ("Source", f"{settings.source_efs} {settings.prefix}"),
        ("Backups on", settings.backup_efs),
        ("Started", _utc(item.get("BackupStartTime"))),
        ("Ended", _utc(item.get("BackupStopTime"))),
        ("Files", _count(item.get("NumberOfFiles"))),
        ("Files transferred", _count(item.get("NumberOfFilesTransferred"))),
        ("Size", _size(item.get("TotalFileSize"))),
        ("Size transferred", _size(item.get("TotalTransferredFileSize"))),
        ("Log", item.get("EC2Logs", f"bucket {settings.log_bucket}, prefix ec2-logs/")),
    ]
    return [f"{name + ':':<19}{value}" for name, value in facts if value]


def _utc(time: str | None) -> str:
    return f"{time} UTC" if time else ""


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _size(size: int | None) -> str:
    """Return bytes as a person reads them, like 1.5 GiB."""
    if size is None:
        return ""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def _subject(settings: Settings, status: str, backup_id: str) -> str:
    """The status comes first and the stack last: what a long stack name cuts off is its own end."""
    return _plain_subject(f"EFS backup {status}: {backup_id} of {settings.stack}")


def _plain_subject(text: str) -> str:
    """SNS takes printable ASCII, below 100 characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:LONGEST_SUBJECT]
