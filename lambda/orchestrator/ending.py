"""Ends a backup: claim, status, capacity, mail, stop rule, lease, in this order.

The claim keeps other invocations, and the next backup, away from rule and capacity. The lease goes last: as long as it
is there, the next event or the stop rule completes the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from collector import post
from orchestrator import usage
from orchestrator.aws import Aws
from orchestrator.config import Settings
from orchestrator.leases import END, OWED, OWED_ATTRIBUTES, Leases
from orchestrator.mail import final_mail
from orchestrator.schedule import KEEP_ITEM
from orchestrator.state import SUCCESS, UNKNOWN, Item, Lease, last_reason, last_status, timestamp
from orchestrator.table import Table, Update


@dataclass(frozen=True)
class Ending:
    """How one invocation ends backups."""

    settings: Settings
    table: Table
    aws: Aws
    leases: Leases
    now: datetime

    def finish(self, lease: Lease, item: Item | None) -> bool:
        """End the backup that holds the lease; False if another invocation does, or has.

        Raises RuntimeError if the event must be tried again.
        """
        claimed = self.leases.claim(lease, END)
        if claimed is None:
            return False
        ended = self.at_the_end(claimed, item)
        if item is None or not ended.keys() <= item.keys():
            item = self.table.update(Update(lease.backup_id, put_if_absent=ended))
        self.aws.set_capacity(0)
        if claimed.owed_mail and not self.pay_owed_mail(claimed):
            raise RuntimeError(f"the mail about backup {claimed.owed_mail} is just being sent: try again")
        if not claimed.mail_sent:
            self.publish(item)
            self.leases.update(lease, {"MailSent": True})
        self.aws.remove_stop_rule()
        self.table.release(lease.backup_id)
        self.report(item)
        return True

    def at_the_end(self, lease: Lease, item: Item | None) -> Item:
        """What the item of a backup gets at its end, as far as it has not got it."""
        ended: Item = {"BackupStatus": last_status(lease, item), "BackupStopTime": timestamp(self.now)}
        if reason := last_reason(lease, item):
            ended["Reason"] = reason
        return ended if item else ended | {"ExpireItem": int((self.now + KEEP_ITEM).timestamp())}

    def pay_owed_mail(self, lease: Lease) -> bool:
        """Send the mail of the backup that the lease was taken from, and note it; False if another invocation does."""
        if not self.send_owed_mail(lease):
            return False
        self.leases.update(lease, {}, OWED_ATTRIBUTES)
        return True

    def send_owed_mail(self, lease: Lease) -> bool:
        """Send the mail of the backup that the lease was taken from; False if another invocation does."""
        if lease.owed_mail is None or self.leases.claim(lease, OWED) is None:
            return False
        item = self.table.read(lease.owed_mail) or {}
        self.publish({"BackupId": lease.owed_mail, "BackupStatus": UNKNOWN} | item)
        return True

    def report(self, item: Item) -> None:
        """Send the anonymous data about a backup that is over, if it is to be sent. Last: nothing waits for it."""
        if self.settings.send_anonymous_data:
            post(self.settings.metrics_url, usage.report(self.settings, item, self.now))

    def publish(self, item: Item) -> None:
        """Send the final mail of a backup, unless it is a success and nobody asked to hear of those."""
        if item["BackupStatus"] == SUCCESS and not self.settings.notify_success:
            return
        mail = final_mail(self.settings, item)
        self.aws.publish(mail.subject, mail.message)
