"""Restores by the deployed release: what comes back, what stays, what is said."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from localcloud import Mail, StackFailed
from localcloud.solution import EMAIL, BackupStack, RestoreStack, Solution
from tests.support.changes import overwrite
from tests.support.tree import Tree, assert_same, below, differences, snapshot_of
from tests.support.zoo import make_zoo, write


@dataclass
class Kept:
    """A backup stack with two nights behind it, and what the source was then."""

    backups: BackupStack
    older: Tree
    newer: Tree
    count: int = 0

    @property
    def source(self) -> str:
        return str(self.backups.source)

    def restore(self, **parameters: str) -> tuple[RestoreStack, Mail]:
        """Launch a restore stack, wait for its end; return it with its one mail."""
        cloud, told = self.backups.cloud, len(self.backups.mails)
        self.count += 1
        stack = self.backups.solution.deploy_restore(self.backups, parameters, f"restore-{self.count}")
        stack.wait()
        assert stack.capacity == 0 and cloud.problems == []
        (mail,) = self.backups.mails[told:]
        cloud.delete(stack.stack)
        return stack, mail


@pytest.fixture(scope="module")
def kept(solution: Solution) -> Iterator[Kept]:
    backups = solution.deploy_backup({"BackupPrefix": "/files"})
    backups.check(hourly=False)
    source = str(backups.source)
    os.makedirs(source)
    make_zoo(f"{source}/home")
    write(f"{source}/etc/settings", b"first")
    write(f"{source}/etc/other", b"other")
    older = snapshot_of(source)
    backups.night()
    overwrite(f"{source}/etc/settings", 1)
    os.unlink(f"{source}/home/links/a/one")
    write(f"{source}/home/new", b"of the second day")
    newer = snapshot_of(source)
    backups.night()
    yield Kept(backups, older, newer)
    solution.cloud.delete(backups.stack)


@pytest.fixture(autouse=True)
def as_it_was(kept: Kept) -> Iterator[None]:
    """Snapshots never change; the next test finds the source as the second night found it."""
    yield
    for number, tree in enumerate((kept.newer, kept.older)):
        assert_same(tree, snapshot_of(str(kept.backups.snapshot(number))), what=f"daily.{number}")
    shutil.rmtree(kept.source)
    subprocess.run(["cp", "-a", kept.backups.snapshot(), kept.source], check=True)


def test_a_whole_snapshot_comes_back_and_what_is_only_on_the_source_stays(kept: Kept) -> None:
    shutil.rmtree(f"{kept.source}/home/names")
    os.unlink(f"{kept.source}/etc/other")
    write(f"{kept.source}/etc/of a colleague", b"must not be lost")
    stack, mail = kept.restore(RestorePrefix="/files")
    left = differences(kept.newer, snapshot_of(kept.source))
    assert any("of a colleague" in line and "extra" in line for line in left)
    assert all("of a colleague" in line or line.startswith("b'etc' mtime_ns") for line in left), left
    assert mail.subject == f"EFS restore Success: {stack.stack.name}"
    assert mail.body.startswith("The EFS restore was successful.")
    logs = stack.logs("efs-restore-logs")
    assert any("create etc/other" in text for text in logs.values()), logs.keys()
    assert next(key for key in stack.logs("ec2-logs") if key in mail.body)


def test_a_subdirectory_of_an_older_snapshot_comes_back_and_nothing_else_changes(kept: Kept) -> None:
    outside = snapshot_of(f"{kept.source}/etc")
    _, mail = kept.restore(RestorePrefix="/files", RestoreSubDir="/home/", BackupNum="1")
    now = snapshot_of(kept.source)
    assert "Success" in mail.subject
    assert_same(outside, below(now, b"etc"), what="what is outside of the subdirectory")
    left = differences(below(kept.older, b"home"), below(now, b"home"))
    assert any(line == "b'new' is extra (file)" for line in left)
    assert all(line.startswith(("b'new'", "b'.' mtime_ns")) for line in left), left


def test_a_preview_changes_nothing_and_says_what_would_be_done(kept: Kept) -> None:
    os.unlink(f"{kept.source}/etc/other")
    before = snapshot_of(kept.source)
    _, mail = kept.restore(RestorePrefix="/files", Preview="Yes", RestoreMode="exact")
    assert_same(before, snapshot_of(kept.source), what="the source after a preview")
    assert mail.subject.startswith("EFS preview Success: ")
    assert "would create etc/other" in mail.body


def test_a_snapshot_by_its_id_into_another_directory(kept: Kept) -> None:
    """Its number has changed since the mail that named it."""
    first = kept.backups.items[0]["SnapshotId"]
    before = snapshot_of(kept.source)
    _, mail = kept.restore(RestorePrefix="/files", SnapshotId=first, RestoreTo="/restored")
    assert "Success" in mail.subject and first in mail.body
    assert_same(kept.older, snapshot_of(f"{kept.source}/restored"), what="what was restored beside the live files")
    shutil.rmtree(f"{kept.source}/restored")
    assert_same(before, snapshot_of(kept.source), ignore=["mtime_ns"], what="the live files")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"BackupNum": "9"}, "there is no snapshot"),
        ({"RestoreSubDir": "/nowhere/"}, "nowhere"),
        ({"RestorePrefix": "/not there"}, "The directory /not there does not exist"),
    ],
)
def test_what_cannot_be_restored_is_said_and_nothing_is_changed(
    kept: Kept, parameters: dict[str, str], said: str
) -> None:
    os.unlink(f"{kept.source}/etc/other")
    before = snapshot_of(kept.source)
    _, mail = kept.restore(**{"RestorePrefix": "/files", **parameters})
    assert_same(before, snapshot_of(kept.source), what="the source")
    assert mail.subject.startswith("EFS restore Unsuccessful: ")
    assert said.lower() in mail.body.lower() and "Nothing was changed on the source" in mail.body


def test_a_file_system_that_cannot_be_mounted(kept: Kept) -> None:
    source = kept.backups.cloud.file_system(kept.backups.parameters["SrcEFS"])
    source.fail_mounts("access denied by server while mounting")
    before = snapshot_of(kept.source)
    _, mail = kept.restore(RestorePrefix="/files")
    source.fail_mounts("")
    assert_same(before, snapshot_of(kept.source), what="the source")
    assert mail.subject.startswith("EFS restore Unsuccessful: ") and "access denied by server" in mail.body


def test_a_subdirectory_without_its_slash_is_refused_at_once(kept: Kept) -> None:
    with pytest.raises(StackFailed, match='must be a path that starts and ends with "/"'):
        kept.restore(RestoreSubDir="/home")


def test_a_topic_of_its_own_is_waited_for_and_the_subscription_outlives_the_restore(kept: Kept) -> None:
    cloud = kept.backups.cloud
    parameters = {"RestorePrefix": "/files", "NotificationTopic": ""}
    stack = kept.backups.solution.deploy_restore(kept.backups, parameters, "restore-own")
    (instance,) = cloud.wait_for(lambda: cloud.instances, "the instance")
    cloud.wait_for(lambda: "the restore ends: Success" in instance.log, "the end of the work", 120)
    assert stack.mails == [] and stack.capacity == 1
    assert cloud.confirm(EMAIL) == 1
    stack.wait()
    (mail,) = stack.mails
    assert mail.subject == "EFS restore Success: restore-own"
    reports = [sent["Data"] for sent in cloud.collected if sent["Solution"] == "SO0031R"]
    assert len([report for report in reports if "RestoreStatus" in report]) >= 1, reports
    cloud.delete(stack.stack)


def test_no_capacity_for_a_restore_is_told_once(kept: Kept) -> None:
    cloud = kept.backups.cloud
    before = snapshot_of(kept.source)
    cloud.fail_launches(100, "We currently do not have sufficient capacity.")
    stack = kept.backups.solution.deploy_restore(kept.backups, {"RestorePrefix": "/files"}, "restore-none")
    told = len(stack.mails)
    cloud.clock.advance(minutes=20)
    stack.wait()
    (mail,) = stack.mails[told:]
    assert mail.subject == "EFS restore Unsuccessful: restore-none" and "sufficient capacity" in mail.body
    assert stack.capacity == 0
    cloud.fail_launches(0)
    cloud.delete(stack.stack)
    assert_same(before, snapshot_of(kept.source), what="the source")
