"""The deployed release on virtual machines that boot: `python -m lab boot` (docs/lab.md)."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path

from lab.cloud import BootingCloud
from localcloud.solution import BackupStack, DeployedStack, Release, Solution
from tests.support.release import Built
from tests.support.tree import Tree, assert_same, snapshot_of
from tests.support.zoo import make_zoo, write

BOOT_SECONDS = 1800.0
"""How long a boot and its work may take; three minutes on an idle machine."""
MOUNTED = "running mount -t nfs4 -o nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"


def test_instances_boot_back_up_and_restore(built: Built, tmp_path: Path) -> None:
    with BootingCloud(tmp_path / "cloud") as cloud:
        solution = Solution(cloud, Release.read(built.directory))
        backups = solution.deploy_backup()
        make_zoo(str(backups.source))
        # What the file systems hold comes and goes by tar (lab/instance.py), which makes two of a FIFO with two names.
        os.unlink(f"{backups.source}/kinds/fifo again")
        source = snapshot_of(str(backups.source))
        backup_boots(backups, source)
        restore_boots(backups, source)


def backup_boots(backups: BackupStack, source: Tree) -> None:
    item = backups.night(BOOT_SECONDS)
    logs = powered_off(backups)
    assert item["BackupStatus"] == "Success", logs
    assert_same(source, snapshot_of(str(backups.source)), what="the source after the backup")
    assert_same(source, snapshot_of(str(backups.snapshot())), what="the snapshot")
    (mail,) = backups.mails
    assert mail.subject == f"EFS backup Success: {item['BackupId']} of nightly"
    told = "".join(backups.logs("ec2-logs").values())
    assert f"{MOUNTED},ro {backups.parameters['SrcEFS']}.efs.us-east-1.amazonaws.com:/" in told
    assert f"{MOUNTED} {backups.stack.outputs['BackupEFS']}.efs.us-east-1.amazonaws.com:/" in told
    assert backups.logs("efs-backup-log") and backups.logs("ssm-logs")
    assert backups.leftovers() == []


def restore_boots(backups: BackupStack, source: Tree) -> None:
    shutil.rmtree(backups.source / "links")
    write(f"{backups.source}/attributes/page", b"overwritten")
    restore = backups.solution.deploy_restore(backups)
    restore.wait(BOOT_SECONDS)
    powered_off(restore)
    assert_same(source, snapshot_of(str(backups.source)), what="the source after the restore")
    assert_same(source, snapshot_of(str(backups.snapshot())), what="the snapshot after the restore")
    assert [mail.subject for mail in restore.mails][-1] == "EFS restore Success: restore"
    assert backups.logs("efs-restore-logs")
    assert restore.capacity == 0


def powered_off(stack: DeployedStack) -> Path:
    """Return what is left of the instance's /var/log: that, with the user data it ran, is saved as the last thing."""
    autoscaling, ec2 = stack.cloud.client("autoscaling"), stack.cloud.client("ec2")
    activities = autoscaling.describe_scaling_activities(AutoScalingGroupName=stack.group)["Activities"]
    (launched,) = [one["Description"] for one in activities if one["Description"].startswith("Launching")]
    logs = stack.cloud.directory / "logs" / str(launched.split()[-1])
    assert "DataSourceEc2Local" in (logs / "cloud-init.log").read_text(), logs
    group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[stack.group])["AutoScalingGroups"][0]
    template = group["LaunchTemplate"]["LaunchTemplateId"]
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert (logs / "user-data.txt").read_bytes() == base64.b64decode(version["LaunchTemplateData"]["UserData"])
    return logs
