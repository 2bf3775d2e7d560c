"""The instance's backup: claim the lease, mount, run the engine, tell, end."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace

from efs_backup.agent.effects.aws import AwsError, RefusedError
from efs_backup.agent.effects.engine import listed_snapshots
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.mounter import MountError
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.ending import ENDED, BackupEnding, Run
from efs_backup.agent.flow.leaving import empty_group
from efs_backup.agent.flow.telling import Telling
from efs_backup.agent.flow.watch import Watch
from efs_backup.agent.flow.workplace import BACKUP, SOURCE, mounted, run_engine
from efs_backup.agent.pure.lease import RUNNING, Lease, Nothing, Work, work_for, work_without_table
from efs_backup.agent.pure.outcome import (
    INCOMPLETE,
    UNSUCCESSFUL,
    Outcome,
    in_terms_of,
    outcome_of,
    sentence,
)
from efs_backup.agent.pure.settings import BackupSettings
from efs_backup.agent.pure.snapshots import KEY, snapshots_document
from efs_backup.agent.pure.times import timestamp
from efs_backup.pure.cost import Usage, estimated_cost

RUN = "run"
"""The note about the run, by which another process can end it."""
_CLAIM_TRIES = 3
_BOOT_SECONDS = 60.0
"""What is paid for before the agent begins and after it has ended."""


class InstanceBackup:
    """The backup of one instance, from its claim to capacity 0."""

    def __init__(self, settings: BackupSettings, instance: Instance) -> None:
        """Nothing is done yet."""
        self._settings, self._instance = settings, instance
        self._began = time.time()
        self._watch = Watch(instance, settings.drain)

    def run(self) -> bool:
        """Do it all; False if the group's capacity is another instance's matter."""
        claimed = self._claim()
        if isinstance(claimed, Nothing):
            return self._nothing(claimed)
        work, known = claimed
        run = Run(work.backup_id, self._began, known)
        self._instance.notes.write(RUN, {"backup_id": run.backup_id, "began": run.began, "known": known})
        say(f"backup {run.backup_id}: the work must end by {timestamp(work.deadline)}Z")
        self._watch.deadline = work.deadline
        table = self._settings.table if known else None
        telling = Telling(self._settings, self._instance, table, run.backup_id)
        outcome = self._outcome(telling)
        telling.end(outcome.status, time.time() - self._began, outcome.report)
        return BackupEnding(self._settings, self._instance, run).end(outcome)

    # ---- the claim

    def _claim(self) -> tuple[Work, bool] | Nothing:
        """Learn which backup this is and claim it; if the table cannot be read, make one up. Say which it was."""
        try:
            for _ in range(_CLAIM_TRIES):
                try:
                    return self._claim_once()
                except RefusedError:
                    say("the lease changed while it was read: looking again")
            return Nothing("the lease keeps changing: another instance is at work", others=True)
        except AwsError as error:
            say(f"{error}; the backup is made all the same")
            settings, me = self._settings, self._instance.id
            return work_without_table(settings.interval, settings.window, settings.drain, self._began, me), False

    def _claim_once(self) -> tuple[Work, bool] | Nothing:
        aws, table = self._instance.aws, self._settings.table
        lease = Lease.from_item(aws.read(table, RUNNING))
        item = aws.read(table, lease.backup_id) if lease else None
        decided = work_for(lease, item, self._settings.drain, time.time())
        if isinstance(decided, Nothing):
            return decided
        assert lease is not None, "without a lease there is no work"
        self._write_claim(lease)
        return decided, True

    def _write_claim(self, lease: Lease) -> None:
        """Put this instance's id into the lease, in the place of the one that was read there."""
        values = {":mine": lease.backup_id, ":me": self._instance.id}
        condition = "RunningBackupId = :mine AND (attribute_not_exists(InstanceId) OR InstanceId = :me)"
        if lease.instance_id not in (None, self._instance.id):
            say(f"this instance takes backup {lease.backup_id} over from {lease.instance_id}")
            values[":other"] = lease.instance_id
            condition = "RunningBackupId = :mine AND InstanceId = :other"
        # What the other instance said of a failure does not hold for this one.
        change = "SET InstanceId = :me REMOVE Reason"
        self._instance.aws.update(self._settings.table, RUNNING, change, condition, values)

    def _nothing(self, nothing: Nothing) -> bool:
        say(f"nothing is to be done: {nothing.reason}")
        if nothing.backup_id and nothing.status:
            run = Run(nothing.backup_id, self._began, known=True)
            return BackupEnding(self._settings, self._instance, run).end(Outcome(nothing.status))
        if not nothing.others:
            empty_group(self._instance, self._settings.group)
        self._instance.notes.write(ENDED, {"status": None})
        return not nothing.others

    # ---- the work

    def _outcome(self, telling: Telling) -> Outcome:
        """Do the work; whatever goes wrong becomes an outcome."""
        try:
            with mounted(self._settings, self._instance, self._watch, writable=BACKUP):
                if self._watch.stop() is not None:
                    return Outcome(INCOMPLETE)
                return self._back_up(telling)
        except MountError as error:
            return Outcome(UNSUCCESSFUL, str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the run must end in a status and a log
            traceback.print_exc()
            return Outcome(INCOMPLETE, sentence(f"The agent on the instance failed: {error!r}"))

    def _back_up(self, telling: Telling) -> Outcome:
        settings = self._settings
        words = [
            "backup", "--source", SOURCE, "--backup", BACKUP, "--source-id", settings.source_efs,
            "--folder-label", settings.label, "--interval", settings.interval, "--retain", str(settings.retain),
        ]  # fmt: skip
        ended = run_engine(words, self._watch, telling.progress)
        outcome = outcome_of(ended)
        cost = self._cost(outcome)
        if ended.report is not None or not ended.stopped:
            # A run that was stopped before it published anything has changed nothing, and may have little time left.
            self._list_snapshots((ended.report or {}).get("id"), cost)
        reason = in_terms_of(outcome.reason, {SOURCE: settings.source_efs, BACKUP: settings.backup_efs})
        return replace(outcome, reason=reason, attributes={**outcome.attributes, "EstimatedCost": cost})

    def _cost(self, outcome: Outcome) -> str:
        usage = Usage(
            self._settings.region,
            self._instance.type,
            self._settings.spot,
            time.time() - self._began + _BOOT_SECONDS,
            self._instance.aws.requests,
            int((outcome.report or {}).get("bytes_transferred", 0)),
        )
        return estimated_cost(usage, self._settings.prices)

    def _list_snapshots(self, published: str | None, cost: str) -> None:
        """Tell the widget which snapshots there are now."""
        settings = self._settings
        listed = listed_snapshots(BACKUP, settings.label, settings.interval)
        if listed is None:
            return
        document = snapshots_document(listed, published, cost, f"{timestamp(time.time())}Z")
        try:
            self._instance.aws.put_json(settings.log_bucket, KEY, document)
        except AwsError as error:
            say(str(error))
