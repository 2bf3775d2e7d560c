"""Does what was decided. Every step can be done twice, and the lease says which are still to be done.

Order of a start: lease, stop rule, capacity; sizes and metrics afterwards, never in the way. How a backup ends is in
:mod:`orchestrator.ending`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from orchestrator.aws import Aws
from orchestrator.config import Settings
from orchestrator.decide import Action, Decision, launch_series, repeated_start, settle, start_on_lease
from orchestrator.drain import drain_command
from orchestrator.ending import Ending
from orchestrator.events import Check, InstanceTerminated, InstanceTerminating, LaunchFailed, Request, Start, Stop
from orchestrator.health import publish_health
from orchestrator.leases import END, NO_SUCH_ITEM, OWED, OWED_ATTRIBUTES, STILL_MINE, Leases, free
from orchestrator.measure import backup_sizes
from orchestrator.refusal import Refusal
from orchestrator.schedule import backup_id, not_too_soon, stop_again
from orchestrator.state import RUNNING, SKIPPED, Item, Lease, new_item, new_lease, status_of
from orchestrator.table import Put, RefusedError, Table, Update

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flow:
    """One invocation: the stack's settings, its table and services, who was invoked and when."""

    settings: Settings
    table: Table
    aws: Aws
    function_arn: str
    invocation: str
    now: datetime

    @cached_property
    def leases(self) -> Leases:
        """The lease, as this invocation changes it."""
        return Leases(self.table, self.invocation, self.now)

    @cached_property
    def ending(self) -> Ending:
        """How this invocation ends backups."""
        return Ending(self.settings, self.table, self.aws, self.leases, self.now)

    @cached_property
    def refusal(self) -> Refusal:
        """How this invocation refuses starts."""
        return Refusal(self.settings, self.table, self.aws, self.leases, self.now)

    def handle(self, request: Request) -> Decision:
        """Do what the request calls for; return what was decided and why. Errors of AWS go up: the event is retried."""
        if isinstance(request, Start):
            return self._start(request)
        if isinstance(request, InstanceTerminating):
            return self._drain(request)
        decision = self._settle(request)
        if isinstance(request, Check):
            self._look_around()
        return decision

    def _look_around(self) -> None:
        """Do what has to be done every hour, whether a backup runs or not."""
        history = self.table.history()
        for backup in history.untold:
            self.refusal.complete(backup)
        since = history.last_success or self.aws.group().created or self.now
        publish_health(self.settings, self.aws, since, self.now)

    # ---- start

    def _start(self, request: Start) -> Decision:
        backup = backup_id(self.settings.interval, request.event_id, request.time)
        item, lease = new_item(self.settings, backup, self.now), new_lease(self.settings, backup, self.now)
        try:
            self.table.write_all([Put(item, NO_SUCH_ITEM), Put(lease, NO_SUCH_ITEM)])
        except RefusedError as error:
            own, other = error.items
            if error.refused[0]:
                return self._start_again(backup, own or item)
            return self._start_on_lease(item, lease, Lease.from_item(other))
        sizes = self._launch(_lease(lease))
        self._mark_started(_lease(lease), sizes)
        return Decision(Action.START, f"backup {backup} was started")

    def _start_again(self, backup: str, item: Item) -> Decision:
        if status_of(item) == SKIPPED:
            self.refusal.complete(backup)
        lease = self.leases.read()
        decision = repeated_start(backup, item, lease, self.now)
        if decision.action is Action.TIDY:
            self._tidy()
        elif lease and decision.action is Action.RESUME:
            sizes = self._launch(lease)
            told = self.ending.send_owed_mail(lease)
            self._mark_started(lease, sizes, OWED_ATTRIBUTES if told else ())
        elif lease and lease.backup_id == backup:
            self.ending.pay_owed_mail(lease)
        return decision

    def _start_on_lease(self, item: Item, lease: Item, other: Lease | None) -> Decision:
        if other is None:
            raise RuntimeError("the lease was in the way, and is gone now: try again")
        its_item, group = self.table.read(other.backup_id), self.aws.group()
        decision = start_on_lease(other, its_item, group, self.now)
        if decision.action is Action.TAKE_OVER:
            self._take_over(item, lease, other, its_item)
            return decision
        if decision.action is Action.EMPTY:
            self.aws.set_capacity(0)
        self.refusal.refuse(item, decision.reason)
        return decision

    def _take_over(self, item: Item, lease: Item, other: Lease, its_item: Item | None) -> None:
        """Ends the backup that holds the lease, in the write that gives the lease to the new one."""
        if other.owed_mail and not self.ending.pay_owed_mail(other):
            raise RuntimeError(f"the mail about backup {other.owed_mail} is just being sent: try again")
        ended = self.ending.at_the_end(other, its_item)
        owed = {} if other.mail_sent else self.leases.claimed(OWED) | {"OwedMail": other.backup_id}
        values = {":other": other.backup_id, ":end": int(other.end.timestamp()), **self.leases.claim_values()}
        self.table.write_all(
            [
                Put(item, NO_SUCH_ITEM),
                Put(lease | owed, f"RunningBackupId = :other AND LeaseEnd = :end AND {free(END)}", values),
                Update(other.backup_id, put_if_absent=ended),
            ]
        )
        taken = _lease(lease | owed)
        sizes = self._launch(taken)
        its_last = {"BackupId": other.backup_id} | ended | (its_item or {})
        if owed:
            self.ending.publish(its_last)
        self._mark_started(taken, sizes, OWED_ATTRIBUTES)
        self.ending.report(its_last)

    def _launch(self, lease: Lease) -> dict[str, Any]:
        """Has the instance come; returns the sizes, as far as they can be had."""
        self._arm(lease)
        self.aws.set_capacity(1)
        return backup_sizes(self.settings, self.aws, self.now)

    def _mark_started(self, lease: Lease, sizes: dict[str, Any], remove: tuple[str, ...] = ()) -> None:
        going_on = "attribute_not_exists(StopRequested) AND attribute_not_exists(EndClaim)"
        started = Update(
            RUNNING,
            put={"Started": True},
            remove=remove,
            condition=f"{STILL_MINE} AND {going_on}",
            values={":backup": lease.backup_id},
        )
        try:
            self.table.write_all([started, Update(lease.backup_id, put=sizes)] if sizes else [started])
        except RefusedError as error:
            self._undo_start(lease, Lease.from_item(error.items[0]))
            if remove:
                self.leases.update(lease, {}, remove)

    def _undo_start(self, lease: Lease, current: Lease | None) -> None:
        """The backup was stopped, or ended, while it was started: the capacity must not stay."""
        if current is None:
            self._tidy()
        elif current.backup_id == lease.backup_id:
            self.aws.set_capacity(0)

    # ---- everything after the start

    def _settle(self, request: Stop | InstanceTerminated | LaunchFailed | Check) -> Decision:
        lease = self.leases.read()
        item = self.table.read(lease.backup_id) if lease else None
        decision = settle(request, lease, item, self.aws.group(), self.now)
        if lease is None:
            if isinstance(request, Stop):
                self._remove_stop_rule()
            elif isinstance(request, Check):
                self._tidy()
        elif decision.action is Action.FINISH:
            return self._finish(lease, item, decision)
        elif decision.action is Action.EMPTY:
            self._empty(request, lease)
        elif decision.action in (Action.NOTE_FAILURE, Action.GIVE_UP) and isinstance(request, LaunchFailed):
            return self._launch_failed(request, lease, item, decision)
        return decision

    def _finish(self, lease: Lease, item: Item | None, decision: Decision) -> Decision:
        if self.ending.finish(lease, item):
            return decision
        return Decision(Action.LEAVE, "another invocation ends this backup, or it has ended")

    def _empty(self, request: Request, lease: Lease) -> None:
        if not self.leases.update(lease, {"StopRequested": True}):
            return
        self.aws.set_capacity(0)
        if isinstance(request, Stop):
            # Should no event tell of the instance's end, the stop rule looks again.
            self.aws.arm_stop_rule(stop_again(self.now, self.settings.drain))

    def _launch_failed(self, request: LaunchFailed, lease: Lease, item: Item | None, decision: Decision) -> Decision:
        noted = {
            "LaunchFailedSince": int(launch_series(lease, self.now).timestamp()),
            "LaunchFailedLast": int(self.now.timestamp()),
            "LaunchFailure": request.cause,
        }
        if decision.action is Action.NOTE_FAILURE:
            self.leases.update(lease, noted)
        elif self.leases.update(lease, noted | {"StopRequested": True}):
            return self._finish(lease, item, decision)
        return decision

    def _drain(self, request: InstanceTerminating) -> Decision:
        if self.aws.drain(request, drain_command(request, self.settings.region)):
            return Decision(Action.EMPTY, f"the instance {request.instance_id} was told to drain")
        return Decision(Action.LEAVE, f"Systems Manager cannot reach {request.instance_id}: its hook will time out")

    # ---- the stop rule, and what is left when no backup runs

    def _arm(self, lease: Lease) -> None:
        self.aws.arm_stop_rule(not_too_soon(lease.stop_time, self.now))
        stop = {"mode": "backup", "action": "stop", "backup_id": lease.backup_id}
        self.aws.aim_stop_rule(self.function_arn, json.dumps(stop))

    def _tidy(self) -> None:
        """Leaves neither capacity nor rule. If a backup was started meanwhile, they are its, and it gets them back."""
        if self.aws.group().desired > 0:
            self.aws.set_capacity(0)
            if self._started_meanwhile():
                self.aws.set_capacity(1)
        self._remove_stop_rule()

    def _remove_stop_rule(self) -> None:
        self.aws.remove_stop_rule()
        if lease := self._started_meanwhile():
            self._arm(lease)

    def _started_meanwhile(self) -> Lease | None:
        lease = self.leases.read()
        return None if lease is None or lease.stop_requested else lease


def _lease(item: Item) -> Lease:
    lease = Lease.from_item(item)
    assert lease is not None, "an item that is there makes a lease"
    return lease
