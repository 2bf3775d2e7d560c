"""Nights of the deployed release: from the schedule to the mail."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from localcloud.solution import EMAIL, BackupStack
from tests.cloud.conftest import Deploy
from tests.support.changes import content
from tests.support.tree import Tree, assert_same, snapshot_of
from tests.support.zoo import make_zoo, plain_file, write

CHECKED_APART = ("BackupId", "EC2Logs", "ExpireItem", "SnapshotId", "EstimatedCost")
TIMES = (
    "BackupStartTime", "CreateHardlinksStartTime", "CreateHardlinksStopTime", "RsyncDeleteStartTime",
    "RsyncDeleteStopTime", "RemoveSnapshotStartTime", "RemoveSnapshotStopTime", "BackupStopTime",
)  # fmt: skip
SYNCHRONIZED = r"""====> Job name: \S+
====> Analyzing filesystem\.\.\.
====> Waiting for sync jobs to complete\.\.\.
(.*\n)?<==== Parts done: (\d+)/\2 \(100%\), remaining: 0
<==== Fpsync completed without error\.
"""


@dataclass(frozen=True)
class Counts:
    """What rsync's statistics count: each name that is no directory; what is moved, each hard-linked file once."""

    names: int
    inodes: int
    bytes_by_name: int
    bytes_by_inode: int


def counts(tree: Tree) -> Counts:
    entries = {path: entry for path, entry in tree.items() if entry.kind != "directory"}
    inodes = {min(entry.links | {path}): entry for path, entry in entries.items()}
    sizes = [sum(entry.size or 0 for entry in found.values()) for found in (entries, inodes)]
    return Counts(len(entries), len(inodes), *sizes)


def as_moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")


def test_a_night_from_the_schedule_to_the_mail(deploy: Deploy) -> None:
    backups = deploy(hourly=True)
    make_zoo(str(backups.source))
    source = snapshot_of(str(backups.source))
    item = backups.night()

    assert_same(source, snapshot_of(str(backups.snapshot())), what="the snapshot")
    assert_same(source, snapshot_of(str(backups.source)), what="the source, which a backup only reads,")
    every_attribute_is_there_and_right(backups, item, source)
    the_logs_are_below_their_prefixes(backups, item)
    (mail,) = backups.mails
    assert mail.to == EMAIL
    assert mail.subject == f"EFS backup Success: {item['BackupId']} of nightly"
    assert mail.body.startswith("The EFS backup was successful. ") and item["EC2Logs"] in mail.body
    assert f"param_SnapshotId={item['SnapshotId']}&" in mail.body
    assert backups.leftovers() == []


def every_attribute_is_there_and_right(backups: BackupStack, item: dict[str, Any], source: Tree) -> None:
    """Row A6 of the specification: names, DynamoDB's types, values."""
    counted = counts(source)
    efs = backups.cloud.client("efs")
    metered = efs.describe_file_systems(FileSystemId=backups.parameters["SrcEFS"])["FileSystems"][0]["SizeInBytes"]
    assert {name: item[name] for name in item if name not in (*TIMES, *CHECKED_APART)} == {
        "BackupStatus": "Success",
        "BackupWindow": Decimal(180),
        "IntervalTag": "daily",
        "RetainPeriod": Decimal(7),
        "BackupPrefix": "/",
        "InstanceType": "c5.xlarge",
        "SourceEfsId": backups.parameters["SrcEFS"],
        "DestinationEfsId": backups.stack.outputs["BackupEFS"],
        "SourceEfsSize": Decimal(metered["Value"]),
        "DestinationEfsSize": Decimal(0),
        "S3BucketSize": Decimal(0),
        "SourcePerformanceMode": "generalPurpose",
        "DestinationPerformanceMode": "generalPurpose",
        "SourceBurstCreditBalance": Decimal(2_310_000_000_000),
        "SourceBurstCreditBalancePostBackup": Decimal(2_310_000_000_000),
        "SourcePermittedThroughput": Decimal(104_857_600),
        "NumberOfFiles": Decimal(counted.names),
        "NumberOfFilesTransferred": Decimal(counted.inodes),
        "TotalFileSize": Decimal(counted.bytes_by_name),
        "TotalTransferredFileSize": Decimal(counted.bytes_by_inode),
    }
    assert re.fullmatch(r"daily-\d{8}T020000Z-[0-9a-f]{8}", item["BackupId"])
    assert re.fullmatch(r"\d{8}T02\d{4}Z-[0-9a-f]{6}", item["SnapshotId"])
    assert item["EstimatedCost"].startswith("less than 0.01 USD")
    moments = [as_moment(item[name]) for name in TIMES]
    started, stopped = moments[0], moments[-1]
    assert (started.hour, started.minute) == (2, 0) and all(started <= moment <= stopped for moment in moments)
    assert stopped - started < timedelta(minutes=5)
    expires = datetime.fromtimestamp(int(item["ExpireItem"])) - started
    assert timedelta(days=89, hours=22) < expires < timedelta(days=90, hours=2)


def the_logs_are_below_their_prefixes(backups: BackupStack, item: dict[str, Any]) -> None:
    """The guide's Appendix B, and its figure 4."""
    bucket = backups.stack.outputs["LogBucket"]
    instance = backups.logs("ec2-logs")
    (key,) = [key for key in instance if item["EC2Logs"].endswith(f"{bucket}.s3.us-east-1.amazonaws.com/{key}")]
    assert f"the backup {item['BackupId']} ends: Success" in instance[key]
    assert any("cloud-init: running" in text for text in instance.values())
    work = backups.logs("efs-backup-log")
    assert [text for text in work.values() if re.match(SYNCHRONIZED, text)], work
    commands = backups.logs("ssm-logs")
    assert [key for key in commands if key.endswith("/stdout")] and any("run has ended" in t for t in commands.values())
    assert backups.logs("efs-restore-logs") == {}


def test_eight_nights_with_changes_keep_the_three_newest_snapshots_exactly(deploy: Deploy) -> None:
    backups = deploy(Retain="3")
    for number in range(120):
        write(plain_file(str(backups.source), number), content(number, 500))
    trees: list[Tree] = []
    for night in range(8):
        change(backups.source, night)
        trees.append(snapshot_of(str(backups.source)))
        item = backups.night()
        assert item["BackupStatus"] == "Success"
        assert item["NumberOfFiles"] == counts(trees[-1]).names
        assert night == 0 or item["NumberOfFilesTransferred"] == 3
        assert backups.snapshots == [f"daily.{number}" for number in range(min(night + 1, 3))]
    for number in range(3):
        assert_same(trees[-1 - number], snapshot_of(str(backups.snapshot(number))), what=f"daily.{number}")
    unchanged = plain_file("", 110).lstrip("/")
    inodes = {os.stat(backups.snapshot(number) / unchanged).st_ino for number in range(3)}
    assert len(inodes) == 1
    assert len(backups.mails) == len(backups.items) == 8


def change(source: Path, night: int) -> None:
    """Three files to copy: another content, a new one, another mode (no inode of a snapshot may change). One goes."""
    write(plain_file(str(source), night), content(night, 700))
    write(f"{source}/new/{night}", content(night, 300))
    os.unlink(plain_file(str(source), 50 + night))
    os.chmod(plain_file(str(source), 20 + night), 0o4711)


def test_options_do_what_they_say(deploy: Deploy) -> None:
    backups = deploy(
        SuccessNotification="No", Dashboard="No", EFSEncryption="No", EFSMode="maxIO", BackupPrefix="/app data/a",
        IntervalTag="weekly", FolderLabel="kept", Retain="2", BackupWindow="60",
    )  # fmt: skip
    make_zoo(str(backups.source))
    write(f"{backups.source.parent}/outside", b"")
    item = backups.night()
    assert (item["BackupStatus"], item["BackupPrefix"], item["IntervalTag"]) == ("Success", "/app data/a", "weekly")
    assert (item["BackupWindow"], item["RetainPeriod"]) == (60, 2)
    assert (item["SourcePerformanceMode"], item["DestinationPerformanceMode"]) == ("generalPurpose", "maxIO")
    assert backups.snapshot() == backups.folder.parent / "kept/weekly.0"
    assert_same(snapshot_of(str(backups.source)), snapshot_of(str(backups.snapshot())))
    assert backups.mails == []
    efs, cloudwatch = backups.cloud.client("efs"), backups.cloud.client("cloudwatch")
    (made,) = efs.describe_file_systems(FileSystemId=backups.stack.outputs["BackupEFS"])["FileSystems"]
    assert made["Encrypted"] is False and made["PerformanceMode"] == "maxIO"
    assert cloudwatch.list_dashboards()["DashboardEntries"] == [] and "DashboardView" not in backups.stack.outputs


def test_a_failure_is_mailed_even_where_success_is_not(deploy: Deploy) -> None:
    backups = deploy(SuccessNotification="No", BackupPrefix="/not there")
    item = backups.night()
    assert item["BackupStatus"] == "Unsuccessful"
    (mail,) = backups.mails
    assert mail.subject == f"EFS backup Unsuccessful: {item['BackupId']} of nightly"
    assert "The directory /not there does not exist on the file system" in mail.body


def test_two_stacks_side_by_side_on_one_source_with_two_prefixes(deploy: Deploy) -> None:
    home = deploy(name="home", BackupPrefix="/home")
    data = deploy(name="data", BackupPrefix="/data", SrcEFS=home.parameters["SrcEFS"])
    for stack in (home, data):
        make_zoo(str(stack.source))
        write(f"{stack.source}/whose", stack.stack.name.encode())
    home.cloud.clock.advance_to_hour(2)
    home.cloud.wait_quiet()
    for stack in (home, data):
        (item,) = stack.items
        assert item["BackupStatus"] == "Success"
        assert_same(snapshot_of(str(stack.source)), snapshot_of(str(stack.snapshot())), what=stack.stack.name)
        (mail,) = stack.mails
        assert mail.subject == f"EFS backup Success: {item['BackupId']} of {stack.stack.name}"
        assert stack.leftovers() == []
