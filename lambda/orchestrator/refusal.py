"""Refuses a start: records that the backup was skipped, and mails it.

The record comes first, with a claim on the mail, so that the same start that comes again, or twice at once, neither
mails again nor starts a backup of which a mail said that it was skipped. The claim goes when the mail is out; one that
is left behind is found by the start that is tried again, or within the hour.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from orchestrator.aws import Aws
from orchestrator.config import Settings
from orchestrator.leases import MAIL, NO_SUCH_ITEM, Leases, free
from orchestrator.mail import skipped_mail
from orchestrator.state import SKIPPED, Item, timestamp
from orchestrator.table import Put, RefusedError, Table, Update

log = logging.getLogger(__name__)

CLAIM = (f"{MAIL}Claim", f"{MAIL}ClaimedAt")


@dataclass(frozen=True)
class Refusal:
    """How one invocation refuses starts."""

    settings: Settings
    table: Table
    aws: Aws
    leases: Leases
    now: datetime

    def refuse(self, item: Item, reason: str) -> None:
        """Record and mail that the backup of this new item was skipped, and why."""
        why = f"{reason[:1].upper()}{reason[1:]}."
        skipped = item | {"BackupStatus": SKIPPED, "BackupStopTime": timestamp(self.now), "Reason": why}
        try:
            self.table.put(Put(skipped | self.leases.claimed(MAIL), NO_SUCH_ITEM))
        except RefusedError:
            log.info("backup %s was recorded by another invocation", item["BackupId"])
            return
        self._mail(skipped)

    def complete(self, backup: str) -> None:
        """Send the mail about a skipped backup if the invocation that was to send it has died."""
        claim = Update(
            backup,
            put=self.leases.claimed(MAIL),
            condition=f"attribute_exists({CLAIM[0]}) AND {free(MAIL)}",
            values=self.leases.claim_values(),
        )
        try:
            item = self.table.update(claim)
        except RefusedError:
            return
        self._mail({name: value for name, value in item.items() if name not in CLAIM})

    def _mail(self, skipped: Item) -> None:
        mail = skipped_mail(self.settings, skipped)
        self.aws.publish(mail.subject, mail.message)
        self.table.update(Update(skipped["BackupId"], remove=CLAIM))
