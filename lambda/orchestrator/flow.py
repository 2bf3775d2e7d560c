"""Does what was decided. Every step can be done twice, and the lease says which are still to be done.

Order of a start: lease, stop rule, capacity; sizes and metrics afterwards. Order of an end: status, capacity, mail,
stop rule, lease. The lease goes last: as long as it is there, the next event or the stop rule completes the end.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from collector import post
from orchestrator import usage
from orchestrator.aws import Aws, Put, RefusedError, Update
from orchestrator.config import Settings
from orchestrator.decide import Action, Decision, launch_series, repeated_start, settle, start_on_lease
from orchestrator.drain import drain_command
from orchestrator.events import InstanceTerminated, InstanceTerminating, LaunchFailed, Request, Start, Stop
from orchestrator.mail import final_mail, skipped_mail
from orchestrator.measure import backup_sizes
from orchestrator.schedule import KEEP_ITEM, backup_id, not_too_soon, stop_again
from orchestrator.state import (
    RUNNING,
    SKIPPED,
    SUCCESS,
    UNKNOWN,
    Group,
    Item,
    Lease,
    last_status,
    new_item,
    new_lease,
    status_of,
    timestamp,
)

log = logging.getLogger(__name__)

NO_SUCH_ITEM = "attribute_not_exists(BackupId)"
STILL_MINE = "RunningBackupId = :backup"
CLAIM_STALE = timedelta(minutes=5)
"""A claim to send the mail is void after this: longer than the function can run."""


@dataclass(frozen=True)
class Flow:
    """One invocation: the stack's settings, its services, who was invoked and when."""

    settings: Settings
    aws: Aws
    function_arn: str
    invocation: str
    now: datetime

    def handle(self, request: Request) -> Decision:
        """Do what the request calls for; return what was decided and why. Errors of AWS go up: the event is retried."""
        if isinstance(request, Start):
            return self._start(request)
        if isinstance(request, InstanceTerminating):
            return self._drain(request)
        return self._settle(request)

    # ---- start

    def _start(self, request: Start) -> Decision:
        backup = backup_id(self.settings.interval, request.event_id, request.time)
        item, lease = new_item(self.settings, backup, self.now), new_lease(self.settings, backup, self.now)
        try:
            self.aws.write_all([Put(item, NO_SUCH_ITEM), Put(lease, NO_SUCH_ITEM)])
        except RefusedError as error:
            own, other = error.items
            if error.refused[0]:
                return self._start_again(backup, own or item)
            return self._start_on_lease(item, lease, Lease.from_item(other))
        self._launch(_lease(lease))
        return Decision(Action.START, f"backup {backup} was started")

    def _start_again(self, backup: str, item: Item) -> Decision:
        lease = Lease.from_item(self.aws.read(RUNNING))
        decision = repeated_start(backup, item, lease, self.now)
        if decision.action is Action.TIDY:
            self._tidy()
        elif lease and lease.backup_id == backup:
            if decision.action is Action.RESUME:
                self._launch(lease)
            elif lease.owed_mail:
                self._pay_owed_mail(lease)
        return decision

    def _start_on_lease(self, item: Item, lease: Item, other: Lease | None) -> Decision:
        if other is None:
            raise RuntimeError("the lease was in the way, and is gone now: the event must be tried again")
        its_item, group = self.aws.read(other.backup_id), self.aws.group()
        decision = start_on_lease(other, its_item, group, self.now)
        if decision.action is Action.TAKE_OVER:
            self._take_over(item, lease, other, its_item)
            return decision
        if decision.action is Action.EMPTY:
            self.aws.set_capacity(0)
        self._refuse(item, decision.reason)
        return decision

    def _take_over(self, item: Item, lease: Item, other: Lease, its_item: Item | None) -> None:
        """Ends the backup that holds the lease, in the write that gives the lease to the new one."""
        if other.owed_mail:
            self._pay_owed_mail(other)
        ended = self._ended(other, its_item)
        owed = {} if other.mail_sent else {"OwedMail": other.backup_id}
        self.aws.write_all(
            [
                Put(item, NO_SUCH_ITEM),
                Put(
                    lease | owed,
                    "RunningBackupId = :other AND LeaseEnd = :end",
                    {":other": other.backup_id, ":end": int(other.end.timestamp())},
                ),
                Update(other.backup_id, put_if_absent=ended),
            ]
        )
        self._launch(_lease(lease | owed), _at_its_end(other.backup_id, its_item, ended), other)

    def _refuse(self, item: Item, reason: str) -> None:
        skipped = item | {"BackupStatus": SKIPPED, "BackupStopTime": timestamp(self.now)}
        # The mail comes first: a start that died between the two would else never be told of.
        mail = skipped_mail(self.settings, skipped, reason)
        self.aws.publish(mail.subject, mail.message)
        try:
            self.aws.put(Put(skipped, NO_SUCH_ITEM))
        except RefusedError:
            log.info("backup %s was recorded by another invocation", item["BackupId"])

    def _launch(self, lease: Lease, owed: Item | None = None, owed_lease: Lease | None = None) -> None:
        self.aws.arm_stop_rule(not_too_soon(lease.stop_time, self.now))
        stop = {"mode": "backup", "action": "stop", "backup_id": lease.backup_id}
        self.aws.aim_stop_rule(self.function_arn, json.dumps(stop))
        self.aws.set_capacity(1)
        sizes = backup_sizes(self.settings, self.aws, self.now)
        # Right before the write that notes it: the fewer calls between, the fewer mails come twice after a death.
        if lease.owed_mail:
            self._publish_final(owed or self._owed_item(lease.owed_mail), owed_lease)
        self._mark_started(lease, sizes)

    def _mark_started(self, lease: Lease, sizes: dict[str, Any]) -> None:
        writes: list[Put | Update] = [Update(lease.backup_id, put=sizes)] if sizes else []
        writes.append(
            Update(
                RUNNING,
                put={"Started": True},
                remove=("OwedMail",),
                condition=f"{STILL_MINE} AND attribute_not_exists(StopRequested)",
                values={":backup": lease.backup_id},
            )
        )
        try:
            self.aws.write_all(writes)
        except RefusedError:
            self._undo_start(lease)

    def _undo_start(self, lease: Lease) -> None:
        """The backup was stopped while it was started: the capacity must not stay."""
        current = Lease.from_item(self.aws.read(RUNNING))
        if current is None:
            self._tidy()
        elif current.backup_id == lease.backup_id:
            self.aws.set_capacity(0)

    # ---- everything after the start

    def _settle(self, request: Stop | InstanceTerminated | LaunchFailed) -> Decision:
        lease = Lease.from_item(self.aws.read(RUNNING))
        if lease is None:
            if isinstance(request, Stop):
                self.aws.remove_stop_rule()
            return Decision(Action.TIDY, "no backup runs")
        item, group = self.aws.read(lease.backup_id), self.aws.group()
        decision = settle(request, lease, item, group, self.now)
        if decision.action is Action.FINISH:
            return self._finish(lease, item, group, decision)
        if decision.action is Action.EMPTY:
            self._empty(request, lease, group)
        elif isinstance(request, LaunchFailed):
            return self._launch_failed(request, lease, item, group, decision)
        return decision

    def _empty(self, request: Request, lease: Lease, group: Group) -> None:
        if isinstance(request, Stop) and not self._update_lease(lease, {"StopRequested": True}):
            return
        if group.desired > 0:
            self.aws.set_capacity(0)
        if isinstance(request, Stop):
            # Should no event tell of the instance's end, the stop rule looks again.
            self.aws.arm_stop_rule(stop_again(self.now, self.settings.drain))

    def _launch_failed(
        self, request: LaunchFailed, lease: Lease, item: Item | None, group: Group, decision: Decision
    ) -> Decision:
        if decision.action not in (Action.NOTE_FAILURE, Action.GIVE_UP):
            return decision
        noted = {
            "LaunchFailedSince": int(launch_series(lease, self.now).timestamp()),
            "LaunchFailedLast": int(self.now.timestamp()),
            "LaunchFailure": request.cause,
        }
        if decision.action is Action.NOTE_FAILURE:
            self._update_lease(lease, noted)
            return decision
        if not self._update_lease(lease, noted | {"StopRequested": True}):
            return decision
        return self._finish(replace(lease, launch_failure=request.cause), item, group, decision)

    def _finish(self, lease: Lease, item: Item | None, group: Group, decision: Decision) -> Decision:
        if status_of(item) is None or item is None:
            item = self.aws.update(Update(lease.backup_id, put_if_absent=self._ended(lease, item)))
        if group.desired > 0:
            self.aws.set_capacity(0)
        if not self._mail_once(lease, item):
            return Decision(Action.LEAVE, "another invocation is finishing this backup")
        self.aws.remove_stop_rule()
        self.aws.release(lease.backup_id)
        if self.settings.send_anonymous_data:
            post(self.settings.metrics_url, usage.report(self.settings, item, self.now))
        return decision

    def _drain(self, request: InstanceTerminating) -> Decision:
        if self.aws.drain(request, drain_command(request, self.settings.region)):
            return Decision(Action.EMPTY, f"the instance {request.instance_id} was told to drain")
        return Decision(Action.LEAVE, f"Systems Manager cannot reach {request.instance_id}: its hook will time out")

    def _tidy(self) -> None:
        if self.aws.group().desired > 0:
            self.aws.set_capacity(0)
        self.aws.remove_stop_rule()

    # ---- status and mail

    def _ended(self, lease: Lease, item: Item | None) -> dict[str, Any]:
        """What the item of a backup gets at its end, as far as it has not got it."""
        ended = {"BackupStatus": last_status(lease, item), "BackupStopTime": timestamp(self.now)}
        return ended if item else ended | {"ExpireItem": int((self.now + KEEP_ITEM).timestamp())}

    def _mail_once(self, lease: Lease, item: Item) -> bool:
        """Sends the final mail unless it was sent; False if another invocation is about it."""
        if lease.mail_sent:
            return True
        try:
            claimed = self.aws.update(self._claim(lease))
        except RefusedError as error:
            current = Lease.from_item(error.items[0])
            return current is not None and current.backup_id == lease.backup_id and current.mail_sent
        lease = _lease(claimed)
        if lease.owed_mail:
            self._pay_owed_mail(lease)
        self._publish_final(item, lease)
        self._update_lease(lease, {"MailSent": True})
        return True

    def _claim(self, lease: Lease) -> Update:
        """The right to send the mail: one invocation has it, the same one if it is tried again."""
        return Update(
            RUNNING,
            put={"MailClaim": self.invocation, "MailClaimedAt": int(self.now.timestamp())},
            condition=(
                f"{STILL_MINE} AND attribute_not_exists(MailSent) AND"
                " (attribute_not_exists(MailClaim) OR MailClaim = :me OR MailClaimedAt < :stale)"
            ),
            values={
                ":backup": lease.backup_id,
                ":me": self.invocation,
                ":stale": int((self.now - CLAIM_STALE).timestamp()),
            },
        )

    def _pay_owed_mail(self, lease: Lease) -> None:
        if lease.owed_mail:
            self._publish_final(self._owed_item(lease.owed_mail), None)
            self._update_lease(lease, {}, ("OwedMail",))

    def _owed_item(self, backup: str) -> Item:
        return _at_its_end(backup, self.aws.read(backup), {"BackupStatus": UNKNOWN})

    def _publish_final(self, item: Item, lease: Lease | None) -> None:
        if item["BackupStatus"] == SUCCESS and not self.settings.notify_success:
            return
        mail = final_mail(self.settings, item, lease)
        self.aws.publish(mail.subject, mail.message)

    def _update_lease(self, lease: Lease, put: dict[str, Any], remove: tuple[str, ...] = ()) -> bool:
        """Changes the lease as long as it is this backup's; False if it no longer is."""
        update = Update(RUNNING, put=put, remove=remove, condition=STILL_MINE, values={":backup": lease.backup_id})
        try:
            self.aws.update(update)
        except RefusedError:
            return False
        return True


def _at_its_end(backup: str, item: Item | None, ended: dict[str, Any]) -> Item:
    """The item of a backup once it has got what it had not got at its end."""
    return {"BackupId": backup} | ended | (item or {})


def _lease(item: Item) -> Lease:
    lease = Lease.from_item(item)
    assert lease is not None, "an item that is there makes a lease"
    return lease
