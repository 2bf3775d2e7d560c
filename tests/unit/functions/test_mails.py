"""What the mails say: each against a golden file, and what holds for all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.templates.reading import BACKUP
from tests.unit.functions.test_orchestrator_parts import ENVIRONMENT, SETTINGS

from efs_backup.agent.flow.finish import _NEVER_BEGAN
from efs_backup.agent.pure.mounting import Mount, no_address, why_not_mounted
from efs_backup.agent.pure.outcome import EngineRun, outcome_of
from orchestrator.config import Settings
from orchestrator.mail import Mail, final_mail, restore_launch_mail, skipped_mail
from orchestrator.words import MESSAGES, what_to_do

GOLDEN = Path(__file__).parent / "golden"

Item = dict[str, Any]

START: Item = {
    "BackupId": "daily-20261123T020000Z-5f2c7a10",
    "BackupStartTime": "2026-11-23T02:00:00",
    "BackupStopTime": "2026-11-23T02:41:07",
    "BackupWindow": 180,
    "IntervalTag": "daily",
    "RetainPeriod": 7,
    "BackupPrefix": "/home",
    "ExpireItem": 1803088800,
    "InstanceType": "c5.xlarge",
    "SourceEfsId": "fs-1",
    "DestinationEfsId": "fs-2",
    "SourceEfsSize": 5497558138880,
}
LOG: Item = {"EC2Logs": "https://bucket.s3.eu-west-1.amazonaws.com/ec2-logs/efs-backup-backup-20261123-020031.log"}
DONE: Item = {
    "NumberOfFiles": 1234567,
    "NumberOfFilesTransferred": 89,
    "TotalFileSize": 5497558138880,
    "TotalTransferredFileSize": 1023,
    "SnapshotId": "20261123T020041Z-6d8c7a",
}
COST: Item = {"EstimatedCost": "0.13 USD, and 0.01 USD a month for what it stored"}
UNREAD = "2 entries of the source could not be read, and taken from the last snapshot: /a, /b."
NOT_FETCHED = "The instance could not fetch the agent from s3://release-eu-west-1/efs-backup/v2.0.0/agent.tar.gz."
NOT_MOUNTED = "The file system fs-1 could not be mounted: mount.nfs4: Connection timed out."
NO_CAPACITY = "The instance could not be launched: We currently do not have sufficient c5.xlarge capacity."


def ended(status: str, *parts: Item, reason: str = "") -> Item:
    """The item of a backup that ended like this."""
    item = START | {"BackupStatus": status}
    for part in parts:
        item |= part
    return item | ({"Reason": reason} if reason else {})


FINAL: dict[str, Item] = {
    "success": ended("Success", LOG, DONE, COST),
    "incomplete": ended("Incomplete", LOG),
    "incomplete-unreadable": ended("Incomplete", LOG, DONE, reason=UNREAD),
    "incomplete-killed": ended("Incomplete", LOG, reason="The backup process was killed by signal 9."),
    "incomplete-agent-failed": ended("Incomplete", LOG, reason="The agent on the instance failed: KeyError('x')."),
    "unsuccessful": ended("Unsuccessful", LOG),
    "unsuccessful-not-mounted": ended("Unsuccessful", LOG, reason=NOT_MOUNTED),
    "unsuccessful-no-directory": ended(
        "Unsuccessful", LOG, reason="The directory /home does not exist on the file system fs-1."
    ),
    "unsuccessful-not-launched": ended("Unsuccessful", reason=NO_CAPACITY),
    "unsuccessful-no-agent": ended("Unsuccessful", {"EC2Logs": "not uploaded"}, reason=NOT_FETCHED),
    "incomplete-no-space": ended("Incomplete", LOG, reason="No space left on the file system written to, at /x."),
    "incomplete-otherwise": ended("Incomplete", LOG, reason="The source is another file system than before."),
    "fpsync-failed": ended("fpsync failed", LOG, reason="fpsync failed with status 1: fpart: out of memory."),
    "rsync-delete-incomplete": ended(
        "Rsync Delete Incomplete", LOG, DONE, reason="The snapshot itself is complete; /x could not be removed."
    ),
    "unknown": ended("Unknown"),
    "unknown-to-us": ended("Something New", LOG),
}
SKIPPED = ended("Skipped", reason="Backup daily-20261122T020000Z-00000000 has the instance i-0123456789abcdef0.")

MAILS: dict[str, Mail] = {
    **{name: final_mail(SETTINGS, item) for name, item in FINAL.items()},
    "skipped": skipped_mail(SETTINGS, SKIPPED),
    "restore-not-launched": restore_launch_mail("nightly-restore", NO_CAPACITY.partition(": ")[2]),
}

each = pytest.mark.parametrize("name", sorted(MAILS))


def record(mail: Mail) -> Item:
    """The record at the end of a mail."""
    return dict(json.loads(mail.message.partition("The backup's record:\n")[2]))


@each
def test_a_mail_reads_as_its_golden_file(name: str) -> None:
    mail = MAILS[name]
    assert f"Subject: {mail.subject}\n\n{mail.message}\n" == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_there_is_a_golden_file_for_each_mail_and_each_status_has_one() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(MAILS)
    statuses = {item["BackupStatus"] for item in FINAL.values()} | {"Skipped"}
    assert statuses >= set(MESSAGES)


@pytest.mark.parametrize("name", sorted(FINAL))
def test_the_record_is_the_item_with_the_message_of_its_status(name: str) -> None:
    item = FINAL[name]
    message = MESSAGES.get(item["BackupStatus"], "The EFS backup ended with the status Something New.")
    assert record(MAILS[name]) == item | {"Message": message}


def test_every_failure_has_a_next_step_of_its_own() -> None:
    steps = [
        line
        for name, mail in MAILS.items()
        if name != "unsuccessful"  # the same as that of a failed mount
        for line in mail.message.splitlines()
        if line.startswith("What to do: ")
    ]
    assert len(steps) == len(MAILS) - 1
    assert len(set(steps)) == len(steps)


@each
def test_what_a_mail_says_is_plain_text_without_gaps(name: str) -> None:
    text = MAILS[name].message.partition("The backup's record:")[0]
    assert all(line.isprintable() and line == line.rstrip() for line in text.splitlines())
    assert "None" not in text and "{" not in text


def test_a_published_snapshot_can_be_restored_by_its_id_with_the_confirmed_topic() -> None:
    (link,) = [line for line in MAILS["success"].message.splitlines() if "/stacks/create/review?" in line]
    fields = parse_qs(link.partition("review?")[2], strict_parsing=True)
    assert fields["param_SnapshotId"] == ["20261123T020041Z-6d8c7a"]
    assert fields["param_NotificationTopic"] == [ENVIRONMENT["TOPIC_ARN"]]
    assert fields["templateURL"] == [ENVIRONMENT["RESTORE_TEMPLATE"]]
    assert "review?" not in MAILS["incomplete"].message, "there is no snapshot to restore"


def test_the_messages_are_all_different() -> None:
    assert len(set(MESSAGES.values())) == len(MESSAGES)


@given(stack=st.text(min_size=1, max_size=200), status=st.text(min_size=1, max_size=300), reason=st.text())
def test_a_subject_is_what_sns_takes(stack: str, status: str, reason: str) -> None:
    settings = Settings.from_environment(ENVIRONMENT | {"STACK_NAME": stack})
    for mail in (
        final_mail(settings, ended(status, reason=reason)),
        skipped_mail(settings, SKIPPED),
        restore_launch_mail(stack, reason),
    ):
        assert 0 < len(mail.subject) < 100
        assert mail.subject.isascii()
        assert mail.subject.isprintable()


@pytest.mark.parametrize("length", [2_000, 300_000])
def test_a_long_reason_makes_no_mail_too_long(length: int) -> None:
    mail = final_mail(SETTINGS, ended("Unsuccessful", reason="€" * length))
    assert len(mail.message.encode()) < 256 * 1024
    assert "What to do: " in mail.message


class TestReasons:
    """What instances really say leads to the advice that is meant for it."""

    def step(self, golden: str) -> str:
        """The next step in a golden mail."""
        text = (GOLDEN / f"{golden}.txt").read_text(encoding="utf-8")
        return text.partition("What to do: ")[2].partition("\n")[0]

    def test_the_user_data_that_gives_up(self) -> None:
        reasons = re.findall(r'give_up "([^"]+)"', BACKUP.read_text(encoding="utf-8"))
        assert len(reasons) == 4
        for reason in reasons:
            assert what_to_do("Unsuccessful", reason) == self.step("unsuccessful-no-agent"), reason

    def test_an_agent_that_never_began(self) -> None:
        assert what_to_do("Unsuccessful", _NEVER_BEGAN) == self.step("unsuccessful-no-agent")

    def test_a_file_system_that_is_not_mounted(self) -> None:
        mount = Mount("fs-1", "/home", "/mnt", writable=False)
        for reason in (no_address("fs-1", "no mount target"), why_not_mounted(mount, "mount.nfs4: timed out")):
            assert what_to_do("Unsuccessful", reason) == self.step("unsuccessful-not-mounted"), reason
        missing = why_not_mounted(mount, "mount.nfs4: fs-1:/home: No such file or directory")
        assert what_to_do("Unsuccessful", missing) == self.step("unsuccessful-no-directory"), missing

    @pytest.mark.parametrize(
        ("run", "golden"),
        [
            (
                EngineRun(1, None, "no space left on the file system, at /x"),
                "incomplete-no-space",
            ),
            (EngineRun(-9, None, ""), "incomplete-killed"),
            (EngineRun(1, None, "", stopped=True), "incomplete"),
            (EngineRun(1, None, "the source is another file system"), "incomplete-otherwise"),
            (EngineRun(1, None, "fpsync failed with status 1"), "fpsync-failed"),
        ],
    )
    def test_an_engine_that_fails(self, run: EngineRun, golden: str) -> None:
        outcome = outcome_of(run)
        assert what_to_do(outcome.status, outcome.reason) == self.step(golden), outcome
