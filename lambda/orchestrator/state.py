"""What is known of a backup: its lease, its item in the table, and the group. Pure.

The table's items are plain dictionaries of strings, whole numbers and booleans here; :mod:`orchestrator.table` turns
them into DynamoDB's notation and back. Attribute names are the published ones; times are UTC like 2026-11-23T02:00:00.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.config import Settings
from orchestrator.schedule import KEEP_ITEM, lease_end, stop_time

Item = dict[str, Any]

RUNNING = "@running"
"""The key of the lease, the one item that is not a backup's."""

SUCCESS = "Success"
UNSUCCESSFUL = "Unsuccessful"
UNKNOWN = "Unknown"
SKIPPED = "Skipped"


@dataclass(frozen=True)
class Lease:
    """The item ``@running``: which backup runs, until when it may, and what is known of its end.

    ``started`` is set once the group has been told to launch. ``instance_id`` is the claim of the instance that does
    the work, ``reason`` what that instance says of a failure. ``end_claimed_at`` is when an invocation began to end
    the backup. ``owed_mail`` is the id of an earlier backup that this one took the lease from, and whose mail is still
    to be sent.
    """

    backup_id: str
    end: datetime
    stop_time: datetime
    started: bool = False
    instance_id: str | None = None
    stop_requested: bool = False
    launch_failed_since: datetime | None = None
    launch_failed_last: datetime | None = None
    launch_failure: str | None = None
    reason: str | None = None
    end_claimed_at: datetime | None = None
    mail_sent: bool = False
    owed_mail: str | None = None

    @property
    def launched(self) -> bool:
        """Whether the group has been told to launch, as far as is known."""
        return self.started or self.instance_id is not None

    @classmethod
    def from_item(cls, item: Item | None) -> Lease | None:
        """Given the item ``@running`` or None, return the lease or None."""
        if item is None:
            return None
        return cls(
            backup_id=item["RunningBackupId"],
            end=_moment(item["LeaseEnd"]),
            stop_time=_moment(item["StopTime"]),
            started=item.get("Started", False),
            instance_id=item.get("InstanceId"),
            stop_requested=item.get("StopRequested", False),
            launch_failed_since=_optional_moment(item.get("LaunchFailedSince")),
            launch_failed_last=_optional_moment(item.get("LaunchFailedLast")),
            launch_failure=item.get("LaunchFailure"),
            reason=item.get("Reason"),
            end_claimed_at=_optional_moment(item.get("EndClaimedAt")),
            mail_sent=item.get("MailSent", False),
            owed_mail=item.get("OwedMail"),
        )


@dataclass(frozen=True)
class Group:
    """The Auto Scaling group: its desired capacity, and the instances it has, those that are on their way out too.

    ``created`` is when it was made, None if it is gone: the group is as old as the stack.
    """

    desired: int
    instances: tuple[str, ...]
    created: datetime | None = None

    @property
    def empty(self) -> bool:
        """Whether the group has no instance, not even one that drains."""
        return not self.instances


@dataclass(frozen=True)
class History:
    """When the last complete snapshot was finished, and which skipped backups' mails are still to be sent."""

    last_success: datetime | None
    untold: tuple[str, ...]

    @classmethod
    def from_items(cls, items: list[Item]) -> History:
        """Given the items of successes, and those with a claim on their mail, return what they say together."""
        ends = [moment_of(item["BackupStopTime"]) for item in items if status_of(item) == SUCCESS]
        untold = tuple(item["BackupId"] for item in items if status_of(item) == SKIPPED)
        return cls(max(ends, default=None), untold)


def new_item(settings: Settings, backup_id: str, now: datetime) -> Item:
    """Return the item of a backup that starts now, with what is known before it has run."""
    return {
        "BackupId": backup_id,
        "BackupStartTime": timestamp(now),
        "BackupWindow": settings.window,
        "IntervalTag": settings.interval,
        "RetainPeriod": settings.retain,
        "BackupPrefix": settings.prefix,
        "ExpireItem": int((now + KEEP_ITEM).timestamp()),
        "InstanceType": settings.instance_type,
        "SourceEfsId": settings.source_efs,
        "DestinationEfsId": settings.backup_efs,
    }


def new_lease(settings: Settings, backup_id: str, now: datetime) -> Item:
    """Return the item ``@running`` of a backup that starts now. It never expires: there is no ExpireItem."""
    return {
        "BackupId": RUNNING,
        "RunningBackupId": backup_id,
        "LeaseStart": int(now.timestamp()),
        "WindowEnd": int(now.timestamp()) + settings.window * 60,
        "StopTime": int(stop_time(now, settings.window, settings.drain).timestamp()),
        "LeaseEnd": int(lease_end(now, settings.window, settings.drain).timestamp()),
    }


def status_of(item: Item | None) -> str | None:
    """Return the status of a backup, None as long as it has none."""
    return item.get("BackupStatus") if item else None


def last_status(lease: Lease, item: Item | None) -> str:
    """Return the status a backup ends with: its own, else what is known from outside."""
    if status := status_of(item):
        return status
    return UNSUCCESSFUL if _never_launched(lease) else UNKNOWN


def last_reason(lease: Lease, item: Item | None) -> str | None:
    """Return why a backup ended as it did, in a sentence or two, None if nobody knows or it was a success."""
    status = last_status(lease, item)
    if status == SUCCESS:
        return None
    if status == UNSUCCESSFUL and _never_launched(lease):
        return f"The instance could not be launched: {lease.launch_failure}"
    return lease.reason


def _never_launched(lease: Lease) -> bool:
    return bool(lease.launch_failure) and not lease.instance_id


def timestamp(time: datetime) -> str:
    """Return a time as the table has it, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def moment_of(text: str) -> datetime:
    """Return the time that the table has."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)


def _moment(epoch: int) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)


def _optional_moment(epoch: int | None) -> datetime | None:
    return None if epoch is None else _moment(epoch)
