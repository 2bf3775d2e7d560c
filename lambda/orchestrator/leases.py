"""Changes to the lease, each on the condition that it still is the same backup's.

Two invocations may be at work at once: an event is delivered twice, or two events come together. A claim gives the
right to do a thing to one of them. It is void after a while, should its holder have died; the same invocation, tried
again, still has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.decide import CLAIM_STALE
from orchestrator.state import RUNNING, Lease
from orchestrator.table import RefusedError, Table, Update

NO_SUCH_ITEM = "attribute_not_exists(BackupId)"
STILL_MINE = "RunningBackupId = :backup"
END = "End"
"""The claim to end the backup."""
OWED = "Owed"
"""The claim to send the mail of the backup that the lease was taken from."""
MAIL = "Mail"
"""The claim, in a skipped backup's own item, to send its mail."""
OWED_ATTRIBUTES = ("OwedMail", "OwedClaim", "OwedClaimedAt")


@dataclass(frozen=True)
class Leases:
    """The lease as one invocation changes it."""

    table: Table
    invocation: str
    now: datetime

    def read(self) -> Lease | None:
        """The lease as it is now."""
        return Lease.from_item(self.table.read(RUNNING))

    def update(self, lease: Lease, put: dict[str, Any], remove: tuple[str, ...] = ()) -> bool:
        """Change the lease as long as it is this backup's; False if it no longer is."""
        update = Update(RUNNING, put=put, remove=remove, condition=STILL_MINE, values={":backup": lease.backup_id})
        try:
            self.table.update(update)
        except RefusedError:
            return False
        return True

    def claim(self, lease: Lease, what: str) -> Lease | None:
        """Take a right; return the lease as it is now, None if another invocation has the right or it is void."""
        update = Update(
            RUNNING,
            put=self.claimed(what),
            condition=f"{STILL_MINE} AND {free(what)}" + (" AND attribute_exists(OwedMail)" if what == OWED else ""),
            values=self.claim_values() | {":backup": lease.backup_id},
        )
        try:
            return Lease.from_item(self.table.update(update))
        except RefusedError:
            return None

    def claimed(self, what: str) -> dict[str, Any]:
        """The attributes of a claim that this invocation has."""
        return {f"{what}Claim": self.invocation, f"{what}ClaimedAt": int(self.now.timestamp())}

    def claim_values(self) -> dict[str, Any]:
        """The values that :func:`free` names."""
        return {":me": self.invocation, ":stale": int((self.now - CLAIM_STALE).timestamp())}


def free(what: str) -> str:
    """The condition that no other invocation has this right, or that it has died over it."""
    return f"(attribute_not_exists({what}Claim) OR {what}Claim = :me OR {what}ClaimedAt < :stale)"
