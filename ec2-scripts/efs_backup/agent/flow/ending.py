"""How the instance ends a backup: reason, status and numbers, logs, capacity 0. Each step can be done twice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from efs_backup.agent.effects.aws import AwsError, RefusedError
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.leaving import empty_group
from efs_backup.agent.flow.logs import log_address, upload_logs
from efs_backup.agent.pure.items import NO_STATUS, PROGRESS, changes
from efs_backup.agent.pure.lease import RUNNING, Lease
from efs_backup.agent.pure.mail import unrecorded_mail
from efs_backup.agent.pure.outcome import Outcome
from efs_backup.agent.pure.settings import BackupSettings
from efs_backup.agent.pure.times import timestamp

ENDED = "ended"
"""The note that says that a run has ended, and all that goes with it has been done."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run on this instance: what it works on, when it began, and whether the table named it."""

    backup_id: str
    began: float
    known: bool


class BackupEnding:
    """Ends one run of a backup."""

    def __init__(self, settings: BackupSettings, instance: Instance, run: Run) -> None:
        """Nothing is done yet."""
        self._settings, self._instance, self._run = settings, instance, run

    def end(self, outcome: Outcome) -> bool:
        """Do all that ends a run; False if another instance has taken the backup over, and only logs were kept."""
        say(f"the backup {self._run.backup_id} ends: {outcome.status}. {outcome.reason}".rstrip())
        run = self._as_the_lease_has_it()
        if run is not None:
            self._record(run, outcome)
        upload_logs(self._settings, self._instance, self._run.began)
        if run is not None:
            empty_group(self._instance, self._settings.group)
        self._instance.notes.write(ENDED, {"status": outcome.status})
        return run is not None

    def _as_the_lease_has_it(self) -> Run | None:
        """Return the run as the lease has it now; None if it says that another instance carries the backup on.

        A run that began when the table could not be read learns here which backup it was.
        """
        try:
            lease = Lease.from_item(self._instance.aws.read(self._settings.table, RUNNING))
        except AwsError as error:
            say(str(error))
            return self._run
        if lease is None or (self._run.known and lease.backup_id != self._run.backup_id):
            return self._run
        if lease.instance_id not in (None, self._instance.id):
            say(f"the instance {lease.instance_id} carries backup {lease.backup_id} on")
            return None
        return Run(lease.backup_id, self._run.began, known=True)

    def _record(self, run: Run, outcome: Outcome) -> None:
        """Write reason, status and numbers; if that cannot be done, a mail says so."""
        if not run.known:
            self._mail(run, outcome, "it could not read which backup this is")
            return
        try:
            self._note_reason(run, outcome.reason)
            self._write(run, outcome)
        except RefusedError:
            say(f"backup {run.backup_id} has a status already, or no item")
        except AwsError as error:
            self._mail(run, outcome, str(error))

    def _note_reason(self, run: Run, reason: str) -> None:
        if not reason:
            return
        change, values = changes({"Reason": reason})
        mine = {":backup": run.backup_id, ":me": self._instance.id}
        condition = "RunningBackupId = :backup AND (attribute_not_exists(InstanceId) OR InstanceId = :me)"
        try:
            self._instance.aws.update(self._settings.table, RUNNING, change, condition, {**values, **mine})
        except RefusedError:
            say("the lease has changed hands: the reason is not noted")

    def _write(self, run: Run, outcome: Outcome) -> None:
        attributes = {
            "BackupStatus": outcome.status,
            "BackupStopTime": timestamp(time.time()),
            "EC2Logs": log_address(self._settings, run.began),
            **outcome.attributes,
            **self._burst_credits(),
        }
        change, values = changes(attributes, PROGRESS)
        self._instance.aws.update(self._settings.table, run.backup_id, change, NO_STATUS, values)

    def _burst_credits(self) -> dict[str, Any]:
        try:
            balance = self._instance.aws.burst_credits(self._settings.source_efs, time.time())
        except AwsError as error:
            say(str(error))
            return {}
        return {} if balance is None else {"SourceBurstCreditBalancePostBackup": balance}

    def _mail(self, run: Run, outcome: Outcome, problem: str) -> None:
        say(f"the table could not be written: {problem}")
        mail = unrecorded_mail(self._settings, run.backup_id, outcome, problem, log_address(self._settings, run.began))
        try:
            self._instance.aws.publish(self._settings.topic, *mail)
        except AwsError as error:
            say(f"neither could a mail be sent: {error}")
