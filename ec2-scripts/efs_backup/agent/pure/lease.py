"""Which backup the instance is to run, and until when: read from the lease, the item ``@running`` of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from efs_backup.agent.pure.outcome import INCOMPLETE

RUNNING = "@running"
"""The key of the lease, the one item that is not a backup's."""

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease as far as an instance reads it; times are seconds since the epoch."""

    backup_id: str
    window_end: float
    stop_requested: bool = False
    instance_id: str | None = None

    @classmethod
    def from_item(cls, item: Item | None) -> Lease | None:
        """Given the item ``@running`` or None, return the lease or None."""
        if item is None:
            return None
        return cls(
            str(item["RunningBackupId"]),
            float(item["WindowEnd"]),
            bool(item.get("StopRequested", False)),
            item.get("InstanceId"),
        )


@dataclass(frozen=True, slots=True)
class Work:
    """A backup to run: its id, and when the work must end."""

    backup_id: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing is to be done, and why; ``status`` is recorded for the backup if it has none.

    ``others``: another instance is at work, and the group's capacity is its matter.
    """

    reason: str
    backup_id: str | None = None
    status: str | None = None
    others: bool = False


def work_for(lease: Lease | None, item: Item | None, drain_minutes: int, now: float) -> Work | Nothing:
    """Decide what an instance that has just come up does, given the lease and the item of the backup it names."""
    if lease is None:
        return Nothing("no backup is to run")
    status = (item or {}).get("BackupStatus")
    if status:
        return Nothing(f"backup {lease.backup_id} has the status {status} already", lease.backup_id)
    deadline = lease.window_end - drain_minutes * 60
    if lease.stop_requested:
        return Nothing(f"backup {lease.backup_id} is being stopped", lease.backup_id, INCOMPLETE)
    if now >= deadline:
        return Nothing(f"the window of backup {lease.backup_id} is over", lease.backup_id, INCOMPLETE)
    return Work(lease.backup_id, deadline)


def work_without_table(interval: str, window_minutes: int, drain_minutes: int, now: float, instance_id: str) -> Work:
    """Return the work of an instance that cannot read the table: an id of its own, and the window from now on."""
    return Work(f"{interval}-{instance_id}-{int(now)}", now + (window_minutes - drain_minutes) * 60)
