"""Nights that do not go well: each ends in a status, a mail, logs, and a clean slate for the next one."""

from __future__ import annotations

import re

import pytest
from localcloud.solution import BackupStack, Item
from tests.cloud.conftest import Deploy
from tests.cloud.nights import (
    MANY,
    assert_newest_is_the_source,
    before_boot,
    begin_copying,
    instead_of_fetching,
    slow_copying,
)
from tests.support.zoo import write

INCOMPLETE = (
    "The EFS backup was incomplete. Either backup window expired before full backup or fpsync process was not"
    " completed."
)
NO_FPSYNC = "rm -f /usr/bin/fpsync /opt/efs-backup/fpart/*/bin/fpsync"
BROKEN_FPSYNC = (
    "for f in /usr/bin/fpsync /opt/efs-backup/fpart/*/bin/fpsync; do"
    " printf '#!/bin/sh\\necho no luck >&2; exit 1\\n' > $f; chmod 755 $f; done"
)


def assert_one_end(backups: BackupStack, status: str, *said: str) -> Item:
    """One backup with this status, one mail that says so, a log where the mail says it is, nothing left behind."""
    (item,) = backups.items
    assert item["BackupStatus"] == status, item
    (mail,) = backups.mails
    assert mail.subject == f"EFS backup {status}: {item['BackupId']} of nightly"
    for text in said:
        assert text in mail.body
    if "EC2Logs" in item:
        assert item["EC2Logs"].partition(".com/")[2] in backups.logs("ec2-logs")
    assert backups.leftovers() == []
    return item


def assert_next_night_succeeds(backups: BackupStack) -> Item:
    item = backups.night()
    assert item["BackupStatus"] == "Success", item
    assert_newest_is_the_source(backups)
    assert backups.leftovers() == []
    return item


def test_the_window_ends_first_and_the_next_night_carries_on(deploy: Deploy) -> None:
    backups = deploy(edit=slow_copying, BackupWindow="60")
    begin_copying(backups)
    before = len(backups.cloud.calls)
    backups.cloud.clock.advance(minutes=50)
    backups.cloud.wait_quiet()
    assert_one_end(backups, "Incomplete", INCOMPLETE)
    assert backups.snapshots == []
    completed = [call for call in backups.cloud.calls[before:] if call["operation"] == "CompleteLifecycleAction"]
    assert {call["status"] for call in completed} >= {200}
    assert any("completed" in text for text in backups.logs("ssm-logs").values())
    (log,) = [text for key, text in backups.logs("efs-backup-log").items() if key.endswith("fpsync.log")]
    assert log.startswith("====> Job name: ") and "Fpsync completed without error" not in log.split("What fpsync")[0]
    item = assert_next_night_succeeds(backups)
    assert 0 < item["NumberOfFilesTransferred"] < MANY == item["NumberOfFiles"]


def test_a_mount_address_that_cannot_be_found(backups: BackupStack) -> None:
    source = backups.cloud.file_system(backups.parameters["SrcEFS"])
    write(f"{source.path}/file", b"content")
    source.unresolvable()
    source.hidden()
    backups.night()
    assert_one_end(backups, "Unsuccessful", f"The mount address of {source.id} was not found")
    source.unresolvable(False)  # DNS is back; the mount targets may still not be described
    assert_next_night_succeeds(backups)


def test_an_address_that_dns_does_not_know_is_asked_of_efs(backups: BackupStack) -> None:
    for file_system in (backups.parameters["SrcEFS"], backups.stack.outputs["BackupEFS"]):
        backups.cloud.file_system(file_system).unresolvable()
    backups.cloud.packages("mount.nfs4")
    assert_next_night_succeeds(backups)
    (log,) = [text for text in backups.logs("ec2-logs").values() if "running mount" in text]
    assert (
        log.count("mount -t nfs4 -o nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport") == 2
    )


@pytest.mark.parametrize("side", [pytest.param("SrcEFS", marks=pytest.mark.slow), "BackupEFS"])
def test_a_mount_that_fails(backups: BackupStack, side: str) -> None:
    file_system = backups.cloud.file_system({**backups.parameters, **backups.stack.outputs}[side])
    file_system.fail_mounts("access denied by server while mounting")
    backups.night()
    assert_one_end(backups, "Unsuccessful", f"{file_system.id} could not be mounted", "access denied by server")
    file_system.fail_mounts("")
    assert_next_night_succeeds(backups)


@pytest.mark.parametrize(("script", "said"), [(NO_FPSYNC, "fpsync is not installed"), (BROKEN_FPSYNC, "fpsync failed")])
def test_fpsync_missing_or_failing(deploy: Deploy, script: str, said: str) -> None:
    backups = deploy(edit=before_boot(script))
    write(f"{backups.source}/file", b"content")
    backups.night()
    assert_one_end(backups, "fpsync failed", said)
    assert backups.snapshots == []


def test_a_damaged_agent_is_not_run(deploy: Deploy) -> None:
    backups = deploy(edit=lambda text: re.sub(r"(AGENT_SHA256=).{8}", r"\g<1>00000000", text))
    backups.night()
    assert_one_end(backups, "Unsuccessful", "The agent that the instance fetched has another checksum")


def test_an_instance_that_is_killed_is_replaced_and_its_backup_carried_on(deploy: Deploy) -> None:
    backups = deploy(edit=slow_copying)
    begin_copying(backups)
    (first,) = backups.cloud.instances
    first.kill()
    backups.cloud.wait_for(lambda: backups.capacity == 0, "the replacement to end the backup", 180)
    backups.cloud.clock.advance(minutes=16)  # the hook of the one that was killed
    backups.cloud.wait_quiet()
    item = assert_one_end(backups, "Success")
    assert item["NumberOfFiles"] == MANY
    assert_newest_is_the_source(backups)
    assert any(f"over from {first.id}" in text for text in backups.logs("ec2-logs").values())


def test_a_spot_instance_that_is_taken_back_drains_and_is_replaced(deploy: Deploy) -> None:
    backups = deploy(edit=slow_copying)
    begin_copying(backups)
    (first,) = backups.cloud.instances
    first.interrupt(seconds=120)
    backups.cloud.wait_for(lambda: "Amazon EC2 takes the Spot instance back" in first.log, "the drain")
    backups.cloud.wait_quiet()
    assert_one_end(backups, "Incomplete", INCOMPLETE)
    assert_next_night_succeeds(backups)


def test_an_instance_that_never_answers_ends_with_its_hooks_time_out(deploy: Deploy) -> None:
    hang = "printf '#!/bin/sh\\nsleep 10000\\n' > /opt/efs-backup/ssm.sh; chmod 755 /opt/efs-backup/ssm.sh; sleep 10000"
    backups = deploy(edit=instead_of_fetching(hang), BackupWindow="60")
    backups.cloud.clock.advance_to_hour(2)
    backups.cloud.clock.advance(minutes=52)
    assert backups.capacity == 0 and len(backups.cloud.instances) == 1 and backups.mails == []
    backups.cloud.clock.advance(minutes=16)
    backups.cloud.wait_quiet()
    assert_one_end(backups, "Unknown", "never recorded a status")


def test_instances_that_die_at_boot_again_and_again(deploy: Deploy) -> None:
    backups = deploy(edit=instead_of_fetching("shutdown now"), BackupWindow="60")
    backups.cloud.clock.advance_to_hour(2)
    launches = "Launching a new EC2 instance"
    autoscaling = backups.cloud.client("autoscaling")
    backups.cloud.wait_for(
        lambda: [
            launches in activity["Description"]
            for activity in autoscaling.describe_scaling_activities(AutoScalingGroupName=backups.group)["Activities"]
        ].count(True) >= 2,
        "a second instance",
    )  # fmt: skip
    backups.cloud.clock.advance(minutes=80)
    backups.cloud.wait_quiet()
    assert_one_end(backups, "Unknown", "never recorded a status")


def test_no_capacity_is_told_once_after_a_quarter_of_an_hour(backups: BackupStack) -> None:
    backups.cloud.fail_launches(100, "We currently do not have sufficient c5.xlarge capacity.")
    backups.cloud.clock.advance_to_hour(2)
    backups.cloud.clock.advance(minutes=10)
    assert backups.mails == [] and backups.capacity == 1
    backups.cloud.clock.advance(minutes=10)
    backups.cloud.wait_quiet()
    assert_one_end(backups, "Unsuccessful", "could not be launched", "sufficient c5.xlarge capacity")
    backups.cloud.fail_launches(0)
    assert_next_night_succeeds(backups)


@pytest.mark.parametrize("first", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_an_instance_that_cannot_write_the_table_mails_and_keeps_the_backup(backups: BackupStack, first: int) -> None:
    write(f"{backups.source}/file", b"content")
    backups.cloud.fault(
        "error", service="dynamodb", operation="UpdateItem", caller="instance *", first=first, times=999
    )
    backups.cloud.clock.advance_to_hour(2)
    backups.cloud.wait_quiet()
    assert_newest_is_the_source(backups)
    own = [mail for mail in backups.mails if "The instance could not record this in the table" in mail.body]
    assert len(own) == 1 and own[0].subject.startswith("EFS backup Success: ")
    (item,) = backups.items
    assert item["BackupStatus"] == "Unknown" and len(backups.mails) == 2
    assert backups.leftovers() == []
    backups.cloud.clear_faults()
    assert_next_night_succeeds(backups)


START = [
    ("TransactWriteItems", 1), ("PutRule", 1), ("PutTargets", 1), ("SetDesiredCapacity", 1),
    ("DescribeFileSystems", 1), ("DescribeFileSystems", 2), ("GetMetricData", 1), ("TransactWriteItems", 2),
]  # fmt: skip
"""The calls of a start, in their order, and which of their name each is."""


@pytest.mark.slow
def test_a_start_that_dies_before_any_of_its_calls_is_completed_when_it_is_tried_again(backups: BackupStack) -> None:
    cloud = backups.cloud
    write(f"{backups.source}/file", b"content")
    assert backups.night()["BackupStatus"] == "Success"
    made = [call["operation"] for call in cloud.calls if call["caller"] == "function nightly"]
    begin = made.index("TransactWriteItems")
    assert [name for name in made[begin:] if name not in ("Scan", "PutMetricData")][:8] == [name for name, _ in START]
    for operation, first in START:
        cloud.clock.advance_to_hour(1, 59)
        cloud.clear_faults()
        cloud.fault("die-before", operation=operation, caller="function nightly", first=first)
        item = backups.night()
        assert item["BackupStatus"] == "Success", (operation, first, item)
        assert any(call["fault"] == "die-before" and call["operation"] == operation for call in cloud.calls)
        assert backups.leftovers() == []
    assert len(backups.mails) == len(backups.items) == 1 + len(START)
