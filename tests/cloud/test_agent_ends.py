"""However its run ends, the deployed agent leaves a status or a mail, its logs, and capacity 0."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from localcloud.client import Instance
from localcloud.solution import EMAIL, BackupStack
from tests.cloud.conftest import Deploy
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain

INCOMPLETE = "The EFS backup was incomplete. Either backup window expired before full backup or fpsync process was"
BOOT = '/opt/efs-backup/boot.sh "$settings"'
DIES_AT_ONCE = "import os, signal, sys; 'run' in sys.argv and os.kill(os.getpid(), signal.SIGKILL)"


def an_agent_that_dies_at_once(template: str) -> str:
    """Python reads sitecustomize before anything else."""
    assert BOOT in template
    return template.replace(BOOT, f'echo "{DIES_AT_ONCE}" >/opt/efs-backup/lib/sitecustomize.py; {BOOT}')


@contextmanager
def engine_at_work(backups: BackupStack) -> Iterator[Instance]:
    """A second night, whose engine stands still: something else holds the folder's lock, as a dead machine would."""
    make_plain(str(backups.source), 30, size=500)
    assert backups.night()["BackupStatus"] == "Success"
    lock = os.open(backups.folder / ".efs-backup/lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        backups.cloud.clock.advance_to_hour(2)
        (instance,) = backups.cloud.wait_for(lambda: backups.cloud.instances, "the instance")
        backups.cloud.wait_for(lambda: runs(instance, "efs_backup backup"), "the engine", timeout=120)
        yield instance
    finally:
        os.close(lock)


def runs(instance: Instance, command: str) -> bool:
    return instance.run(f"pgrep -f '{command}'").returncode == 0


def log_of(backups: BackupStack) -> str:
    """The instances' logs, all together."""
    return "\n".join(backups.logs("ec2-logs").values())


def test_a_killed_agent_leaves_no_engine_behind_and_is_ended_in_its_place(backups: BackupStack) -> None:
    with engine_at_work(backups) as instance:
        assert instance.run("kill -KILL $(cat /var/lib/efs-backup/lock)").returncode == 0
        backups.cloud.wait_for(lambda: not runs(instance, "efs_backup backup"), "the engine's end", timeout=30)
        backups.cloud.wait_quiet()
    assert [item["BackupStatus"] for item in backups.items] == ["Success", "Incomplete"]
    assert "The agent on the instance failed before the work was done" in backups.mails[-1].body
    assert "what it began is ended without it" in log_of(backups)
    assert backups.leftovers() == []


def test_an_agent_that_dies_at_once_is_told_of(deploy: Deploy) -> None:
    backups = deploy(edit=an_agent_that_dies_at_once)
    item = backups.night()
    (mail,) = backups.mails
    assert item["BackupStatus"] == "Unsuccessful"
    assert "The agent on the instance failed before it began to work" in mail.body
    assert backups.leftovers() == []


def test_a_restore_whose_agent_dies_at_once_is_told_of(backups: BackupStack) -> None:
    make_plain(str(backups.source), 3)
    backups.night()
    before = snapshot_of(str(backups.source))
    restore = backups.solution.deploy_restore(backups, {"Email": EMAIL}, edit=an_agent_that_dies_at_once)
    try:
        restore.wait()
        assert restore.mails[-1].subject == "EFS restore Unsuccessful: restore"
        assert restore.capacity == 0
        assert_same(before, snapshot_of(str(backups.source)))
    finally:
        backups.cloud.delete(restore.stack)


def test_a_restore_does_not_follow_a_users_symbolic_link(backups: BackupStack) -> None:
    make_plain(str(backups.source), 3)
    backups.night()
    (backups.source / "elsewhere").symlink_to("/var/tmp")
    restore = backups.solution.deploy_restore(backups, {"RestoreTo": "/elsewhere/x"})
    try:
        restore.wait()
        assert restore.mails[-1].subject == "EFS restore Unsuccessful: restore"
        assert "Restore To '/elsewhere/x' leads through a symbolic link" in restore.mails[-1].body
    finally:
        backups.cloud.delete(restore.stack)


def test_draining_twice_and_after_the_end_is_harmless(backups: BackupStack) -> None:
    with engine_at_work(backups) as instance:
        words = f"efs-backup-drain {backups.group} {instance.id} no-such-token"
        first = instance.run(f"/opt/efs-backup/ssm.sh {words} & /opt/efs-backup/ssm.sh {words}; wait", seconds=120)
        backups.cloud.wait_quiet()
    assert "is told to stop" in first.stdout and "the run has ended" in first.stdout
    assert [item["BackupStatus"] for item in backups.items] == ["Success", "Incomplete"]
    assert len(backups.mails) == 2 and backups.mails[-1].body.startswith(INCOMPLETE)
    assert backups.leftovers() == []


def test_a_log_that_cannot_be_uploaded_fails_nothing(backups: BackupStack) -> None:
    backups.cloud.fault("error", service="s3", operation="PutObject", caller="instance *", times=1000)
    assert backups.night()["BackupStatus"] == "Success"
    assert backups.logs("efs-backup-log") == backups.logs("ec2-logs") == {}
    assert backups.leftovers() == []
