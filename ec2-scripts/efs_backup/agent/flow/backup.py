"""The instance's backup: claim the lease, mount, run the engine, end."""

from __future__ import annotations

import time
import traceback
from typing import Any

from efs_backup.agent.effects.aws import AwsError, RefusedError
from efs_backup.agent.effects.engine import LOG_DIRECTORY, Engine
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.mounter import Mounter, MountError
from efs_backup.agent.effects.says import say
from efs_backup.agent.flow.ending import ENDED, BackupEnding, Run, changes
from efs_backup.agent.flow.engine_run import run_engine
from efs_backup.agent.flow.leaving import empty_group
from efs_backup.agent.flow.watch import Watch
from efs_backup.agent.pure.lease import RUNNING, Lease, Nothing, Work, work_for, work_without_table
from efs_backup.agent.pure.mounting import Mount
from efs_backup.agent.pure.outcome import INCOMPLETE, UNSUCCESSFUL, EngineRun, Outcome, outcome_of, sentence
from efs_backup.agent.pure.settings import BackupSettings
from efs_backup.agent.pure.synclog import synchronization_log
from efs_backup.agent.pure.times import timestamp

SOURCE, BACKUP = "/mnt/efs-backup/source", "/mnt/efs-backup/backup"
RUN = "run"
"""The note about the run, by which another process can end it."""
_TELL_SECONDS = 30.0
_CLAIM_TRIES = 3


class InstanceBackup:
    """The backup of one instance, from its claim to capacity 0."""

    def __init__(self, settings: BackupSettings, instance: Instance) -> None:
        """Nothing is done yet."""
        self._settings, self._instance = settings, instance
        self._told = 0.0
        self._phase = ""

    def run(self) -> bool:
        """Do it all; False if the group's capacity is another instance's matter."""
        began = time.time()
        claimed = self._claim()
        if isinstance(claimed, Nothing):
            return self._nothing(claimed, began)
        work, known = claimed
        run = Run(work.backup_id, began, known)
        self._instance.notes.write(RUN, {"backup_id": run.backup_id, "began": began, "known": known})
        say(f"backup {run.backup_id}: the work must end by {timestamp(work.deadline)}Z")
        watch = Watch(self._instance, work.deadline, self._settings.drain)
        return BackupEnding(self._settings, self._instance, run).end(self._outcome(run, watch))

    # ---- the claim

    def _claim(self) -> tuple[Work, bool] | Nothing:
        """Learn which backup this is and claim it; without a table, make one up."""
        try:
            for _ in range(_CLAIM_TRIES):
                try:
                    return self._claim_once()
                except RefusedError:
                    say("the lease changed while it was read: looking again")
            return Nothing("the lease keeps changing: another instance is at work")
        except AwsError as error:
            say(f"{error}; the backup is made all the same")
            settings = self._settings
            work = work_without_table(
                settings.interval, settings.window, settings.drain, time.time(), self._instance.id
            )
            return work, False

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
        me = {":mine": lease.backup_id, ":me": self._instance.id}
        condition = "RunningBackupId = :mine AND (attribute_not_exists(InstanceId) OR InstanceId = :me)"
        if lease.instance_id not in (None, self._instance.id):
            say(f"this instance takes backup {lease.backup_id} over from {lease.instance_id}")
            condition, me = "RunningBackupId = :mine AND InstanceId = :other", {**me, ":other": lease.instance_id}
        # What the other instance said of a failure does not hold for this one.
        self._instance.aws.update(self._settings.table, RUNNING, "SET InstanceId = :me REMOVE Reason", condition, me)

    def _nothing(self, nothing: Nothing, began: float) -> bool:
        say(f"nothing is to be done: {nothing.reason}")
        if nothing.backup_id and nothing.status:
            run = Run(nothing.backup_id, began, known=True)
            return BackupEnding(self._settings, self._instance, run).end(Outcome(nothing.status))
        empty_group(self._instance, self._settings.group)
        self._instance.notes.write(ENDED, {"status": None})
        return True

    # ---- the work

    def _outcome(self, run: Run, watch: Watch) -> Outcome:
        """Do the work; whatever goes wrong becomes an outcome."""
        mounter = Mounter(self._instance.aws, self._settings.region, self._settings.url_suffix, self._instance.zone)
        try:
            self._mount(mounter, watch)
            if watch.stop() is not None:
                return Outcome(INCOMPLETE)
            return self._back_up(run, watch)
        except MountError as error:
            return Outcome(UNSUCCESSFUL, str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the run must end in a status and a log
            traceback.print_exc()
            return Outcome(INCOMPLETE, sentence(f"The agent on the instance failed: {error!r}"))
        finally:
            for point in (SOURCE, BACKUP):
                mounter.unmount(point)

    def _mount(self, mounter: Mounter, watch: Watch) -> None:
        settings = self._settings
        for mount in (
            Mount(settings.source_efs, settings.prefix, SOURCE, writable=False),
            Mount(settings.backup_efs, "/", BACKUP, writable=True),
        ):
            mounter.mount(mount, lambda: watch.stop() is not None)

    def _back_up(self, run: Run, watch: Watch) -> Outcome:
        settings = self._settings
        engine = Engine([
            "backup", "--source", SOURCE, "--backup", BACKUP, "--source-id", settings.source_efs,
            "--folder-label", settings.label, "--interval", settings.interval, "--retain", str(settings.retain),
        ])  # fmt: skip
        ended = run_engine(engine, watch, lambda progress: self._tell(run, progress))
        keep_synchronization_log(engine, ended, run.began)
        return outcome_of(ended)

    def _tell(self, run: Run, progress: dict[str, Any]) -> None:
        """Write the progress into the backup's item, now and then; that it cannot be written harms nothing."""
        if not run.known or (progress["phase"] == self._phase and time.monotonic() - self._told < _TELL_SECONDS):
            return
        self._told, self._phase = time.monotonic(), progress["phase"]
        change, values = changes(
            {
                "ProgressPhase": progress["phase"],
                "ProgressFiles": progress["files"],
                "ProgressBytes": progress["bytes"],
                "ProgressFilesExpected": progress["files_expected"],
                "ProgressBytesExpected": progress["bytes_expected"],
                "ProgressTime": timestamp(time.time()),
            }
        )
        condition = "attribute_exists(BackupId) AND attribute_not_exists(BackupStatus)"
        try:
            self._instance.aws.update(self._settings.table, run.backup_id, change, condition, values, hasty=True)
        except AwsError as error:
            say(f"the progress is not told: {error}")


def keep_synchronization_log(engine: Engine, ended: EngineRun, began: float) -> None:
    """Write the log of the synchronization, in its one form, beside the engine's other logs."""
    text = synchronization_log(engine.fpsync_said(), ended.report, f"{int(began)}-{engine.pid}")
    with open(f"{LOG_DIRECTORY}/fpsync.log", "w", encoding="utf-8") as file:
        file.write(text)
