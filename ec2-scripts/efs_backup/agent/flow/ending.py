"""How the instance ends a backup: reason, status and numbers, logs, capacity 0. Each step can be done twice."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from efs_backup.agent.effects.aws import AwsError, RefusedError
from efs_backup.agent.effects.engine import LOG_DIRECTORY
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.leaving import empty_group
from efs_backup.agent.pure.lease import RUNNING, Lease
from efs_backup.agent.pure.lognames import address_of, ec2_log_key, run_log_key
from efs_backup.agent.pure.mail import unrecorded_mail
from efs_backup.agent.pure.outcome import Outcome
from efs_backup.agent.pure.settings import BackupSettings, Settings
from efs_backup.agent.pure.times import timestamp

ENDED = "ended"
"""The note that says that a run has ended, and all that goes with it has been done."""
PROGRESS = (
    "ProgressPhase", "ProgressFiles", "ProgressBytes", "ProgressFilesExpected", "ProgressBytesExpected", "ProgressTime",
)  # fmt: skip
"""How far a run is, as long as it runs."""

_CLOUD_INIT = {"": "/var/log/cloud-init-output.log", "cloud-init": "/var/log/cloud-init.log"}
_RUN_LOGS = {"fpsync": "fpsync.log", "engine": "engine.log", "report": "report.json"}


@dataclass(frozen=True, slots=True)
class Run:
    """One run on this instance: what it works on, when it began, and whether its table could be read."""

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
        say(f"the backup {self._run.backup_id} ends: {outcome.status} {outcome.reason}".rstrip())
        run = self._adopted()
        if run is not None:
            self._record(run, outcome)
        upload_logs(self._settings, self._instance, self._run.began)
        if run is not None:
            empty_group(self._instance, self._settings.group)
        self._instance.notes.write(ENDED, {"status": outcome.status})
        return run is not None

    def _adopted(self) -> Run | None:
        """Return the run as the lease has it now; None if the lease says that another instance carries it on.

        A run that began without being able to read the table learns here which backup it was.
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
        problem = "the table could not be read" if not run.known else ""
        try:
            if run.known:
                self._write(run, outcome)
        except RefusedError:
            say(f"backup {run.backup_id} has a status already")
        except AwsError as error:
            problem = str(error)
        if problem:
            self._mail(run, outcome, problem)

    def _write(self, run: Run, outcome: Outcome) -> None:
        if outcome.reason:
            self._note_reason(run, outcome.reason)
        attributes = {
            "BackupStatus": outcome.status,
            "BackupStopTime": timestamp(time.time()),
            "EC2Logs": log_address(self._settings, run.began),
            **outcome.attributes,
            **self._burst_credits(),
        }
        change, values = changes(attributes, PROGRESS)
        condition = "attribute_exists(BackupId) AND attribute_not_exists(BackupStatus)"
        self._instance.aws.update(self._settings.table, run.backup_id, change, condition, values)

    def _note_reason(self, run: Run, reason: str) -> None:
        change, values = changes({"Reason": reason})
        mine = {":backup": run.backup_id, ":me": self._instance.id}
        condition = "RunningBackupId = :backup AND (attribute_not_exists(InstanceId) OR InstanceId = :me)"
        try:
            self._instance.aws.update(self._settings.table, RUNNING, change, condition, {**values, **mine})
        except RefusedError:
            say("the lease has changed hands: the reason is not noted")

    def _burst_credits(self) -> dict[str, Any]:
        try:
            balance = self._instance.aws.burst_credits(self._settings.source_efs, time.time())
        except AwsError as error:
            say(str(error))
            return {}
        return {} if balance is None else {"SourceBurstCreditBalancePostBackup": balance}

    def _mail(self, run: Run, outcome: Outcome, problem: str) -> None:
        log = log_address(self._settings, run.began)
        try:
            self._instance.aws.publish(
                self._settings.topic, *unrecorded_mail(self._settings, run.backup_id, outcome, problem, log)
            )
        except AwsError as error:
            say(f"neither could the table be written nor a mail be sent: {error}")


def changes(put: Mapping[str, Any], remove: tuple[str, ...] = ()) -> tuple[str, dict[str, Any]]:
    """Given attributes to set and to remove, return the update expression and its values."""
    values = {f":v{number}": value for number, value in enumerate(put.values())}
    expression = "SET " + ", ".join(f"{name} = {value}" for name, value in zip(put, values, strict=True))
    if remove:
        expression += " REMOVE " + ", ".join(remove)
    return expression, values


def log_address(settings: Settings, began: float) -> str:
    """Return the address of the instance's log of a run."""
    key = ec2_log_key(settings.label, settings.mode, began)
    return address_of(settings.log_bucket, settings.region, settings.url_suffix, key)


def upload_logs(settings: Settings, instance: Instance, began: float) -> None:
    """Upload all logs of a run that there are; what cannot be uploaded is said, and fails nothing."""
    paths = {
        run_log_key(settings.label, settings.mode, began, what): f"{LOG_DIRECTORY}/{name}"
        for what, name in _RUN_LOGS.items()
    }
    paths |= {ec2_log_key(settings.label, settings.mode, began, what): path for what, path in _CLOUD_INIT.items()}
    for key, path in paths.items():
        if not os.path.exists(path) or not os.path.getsize(path):
            continue
        try:
            instance.aws.put_log(settings.log_bucket, key, path)
        except AwsError as error:
            say(str(error))
