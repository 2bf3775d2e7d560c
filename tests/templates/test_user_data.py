"""The user data: run as it is in the template, with a command line in place of AWS's that keeps what it is asked.

Only its fixed directories are moved. What it asks of the real AWS command line is tried in the local cloud.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from tests.templates.reading import Stack, backup_stack, restore_stack

DOCS = Path(__file__).parents[2] / "docs" / "agent.md"
PREFIX = "/a dir/with 'quotes' and $(touch injected) `touch injected`"

AWS = """#!/usr/bin/python3
import json, pathlib, shutil, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (here / "asked").open("a") as asked:
    asked.write(json.dumps(words) + "\\n")
fails = (here / "fails").read_text().split()
if words[1] in fails:
    sys.exit(255)
if words[:2] == ["s3", "cp"] and words[-2].startswith("s3://"):
    shutil.copy(here / "archive", words[-1])
if words[:2] == ["dynamodb", "get-item"]:
    print((here / "running").read_text())
"""


def user_data(stack: Stack) -> str:
    (found,) = [r["Properties"] for r in stack.resources.values() if r["Type"] == "AWS::EC2::LaunchTemplate"]
    return str(found["LaunchTemplateData"]["UserData"])


@dataclass
class Instance:
    """A place in which the user data runs."""

    root: Path
    script: str

    def run(self, fails: str = "", running: str = "daily-1", boots: bool = True, damaged: bool = False) -> int:
        """Run the user data; ``fails`` are the operations of the AWS command line that fail. Return its status."""
        (self.root / "fails").write_text(fails)
        (self.root / "running").write_text(running)
        archive = agent_archive(boots)
        (self.root / "archive").write_bytes(archive)
        checksum = hashlib.sha256(archive + (b"x" if damaged else b"")).hexdigest()
        script = self.script.replace("%%AGENT_SHA256%%", checksum)
        script = re.sub(r"(/opt|/etc)/efs-backup", rf"{self.root}\1/efs-backup", script)
        script = script.replace("/var/log/cloud-init-output.log", f"{self.root}/cloud-init-output.log")
        environment = {"PATH": f"{self.root}:/usr/bin:/bin"}
        ran = subprocess.run(["bash", "-c", script], env=environment, cwd=self.root, stdout=PIPE, check=False)
        return ran.returncode

    @property
    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.root / "asked").read_text().splitlines()]

    @property
    def settings(self) -> dict[str, str]:
        lines = (self.root / "etc/efs-backup/environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def calls(self) -> list[str]:
        return [" ".join(words[:2]) for words in self.asked]

    def words(self, operation: str) -> list[str]:
        (found,) = [words for words in self.asked if words[1] == operation]
        return found


def agent_archive(boots: bool) -> bytes:
    """An agent whose boot.sh notes its argument, and returns 0 or not."""
    boot = f'#!/bin/sh\necho "$1" > "$(dirname "$0")/booted"\nexit {0 if boots else 3}\n'.encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("boot.sh")
        entry.size, entry.mode = len(boot), 0o755
        archive.addfile(entry, io.BytesIO(boot))
    return packed.getvalue()


def instance(tmp_path: Path, stack: Stack) -> Instance:
    aws, sleep = tmp_path / "aws", tmp_path / "sleep"
    aws.write_text(AWS)
    sleep.write_text("#!/bin/sh\n")
    aws.chmod(0o755)
    sleep.chmod(0o755)
    return Instance(tmp_path, user_data(stack))


@pytest.fixture
def backup(tmp_path: Path) -> Instance:
    return instance(tmp_path, backup_stack(BackupPrefix=PREFIX))


@pytest.fixture
def restore(tmp_path: Path) -> Instance:
    return instance(tmp_path, restore_stack(RestoreTo="/restored here"))


def test_the_agent_is_fetched_checked_and_run(backup: Instance) -> None:
    assert backup.run() == 0
    assert backup.calls() == ["s3 cp"]
    assert backup.words("cp")[-2] == "s3://%%BUCKET%%-us-east-1/%%SOLUTION%%/%%VERSION%%/efs-backup-agent.tar.gz"
    booted = (backup.root / "opt/efs-backup/booted").read_text().strip()
    assert booted == f"{backup.root}/etc/efs-backup/environment"


def test_settings_are_passed_on_as_they_are(backup: Instance) -> None:
    backup.run()
    assert backup.settings["PREFIX"] == PREFIX
    assert not (backup.root / "injected").exists()
    assert (backup.root / "etc/efs-backup/environment").stat().st_mode & 0o777 == 0o600
    assert backup.settings["GROUP_NAME"] == "efs-backup-0f8fad5b-d9cb-469f-a165-70867728950e"
    assert backup.settings["BACKUP_EFS"] == "DstEFS"
    assert backup.settings["DRAIN_MINUTES"] == "10"


@pytest.mark.parametrize("mode", ["backup", "restore"])
def test_the_settings_are_those_of_the_documentation(mode: str, request: pytest.FixtureRequest) -> None:
    place: Instance = request.getfixturevalue(mode)
    place.run()
    rows = re.findall(r"^\| (`[A-Z0-9_`, ]+`) \| (both|backup|restore) \|", DOCS.read_text(), re.MULTILINE)
    documented = {key for keys, where in rows if where in ("both", mode) for key in re.findall(r"`([A-Z0-9_]+)`", keys)}
    assert set(place.settings) == documented
    assert place.settings["MODE"] == mode


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"damaged": True}, "has another checksum than the release"),
        ({"boots": False}, "could not be started"),
    ],
)
def test_a_failure_before_the_agent_runs_is_recorded(backup: Instance, trouble: dict[str, Any], reason: str) -> None:
    (backup.root / "cloud-init-output.log").write_text("log")
    assert backup.run(**trouble) == 1

    assert backup.calls()[1:] == [
        "s3 cp",
        "dynamodb get-item",
        "dynamodb update-item",
        "dynamodb update-item",
        "autoscaling set-desired-capacity",
    ], "log, lease, item, capacity; the orchestrator sends the mail"
    upload = backup.asked[1]
    assert re.fullmatch(r"s3://EFSLogBucket/ec2-logs/efs-backup-backup-\d{8}-\d{4}\.log", upload[-1])
    lease, item = ([json.loads(word) for word in words if word.startswith("{")] for words in backup.asked[3:5])
    assert lease[0] == {"BackupId": {"S": "@running"}}
    assert reason in lease[1][":reason"]["S"]
    assert item[0] == {"BackupId": {"S": "daily-1"}}
    assert item[1][":status"] == {"S": "Unsuccessful"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", item[1][":now"]["S"])
    assert item[1][":log"]["S"].startswith(
        "https://EFSLogBucket.s3.us-east-1.amazonaws.com/ec2-logs/efs-backup-backup-"
    )
    capacity = backup.words("set-desired-capacity")
    assert capacity[capacity.index("--desired-capacity") + 1] == "0"
    assert capacity[-1] == backup.settings["GROUP_NAME"]


def test_a_release_that_cannot_be_fetched_is_tried_five_times(backup: Instance) -> None:
    assert backup.run(fails="cp") == 1
    assert backup.calls()[:5] == ["s3 cp"] * 5
    assert backup.calls()[-1] == "autoscaling set-desired-capacity"
    (log,) = [json.loads(word)[":log"]["S"] for word in backup.asked[-2] if ":log" in word and word.startswith("{")]
    assert log == "not uploaded"


@pytest.mark.parametrize("trouble", [{"fails": "get-item"}, {"fails": "update-item"}, {"running": "None"}])
def test_what_cannot_be_recorded_is_mailed(backup: Instance, trouble: dict[str, Any]) -> None:
    assert backup.run(boots=False, **trouble) == 1
    mail = backup.words("publish")
    subject, message = (mail[mail.index(option) + 1] for option in ("--subject", "--message"))
    assert subject == "EFS backup Unsuccessful: nightly"
    assert "could not be started" in message
    assert backup.calls()[-1] == "autoscaling set-desired-capacity"


def test_a_restore_has_no_table_and_mails(restore: Instance) -> None:
    assert restore.run(boots=False) == 1
    assert [call for call in restore.calls() if call.startswith("dynamodb")] == []
    mail = restore.words("publish")
    assert mail[mail.index("--subject") + 1] == "EFS restore Unsuccessful: nightly"
    assert restore.calls()[-1] == "autoscaling set-desired-capacity"


def test_the_capacity_is_set_again_until_it_is_set(backup: Instance) -> None:
    assert backup.run(boots=False, fails="set-desired-capacity") == 1
    assert backup.calls()[-5:] == ["autoscaling set-desired-capacity"] * 5


@pytest.mark.parametrize("stack", [backup_stack(), restore_stack()], ids=["backup", "restore"])
def test_it_is_short_and_clean(stack: Stack) -> None:
    script = user_data(stack)
    assert len(script.encode()) < 16_000, "Amazon EC2 takes 16 KiB"
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    shellcheck = shutil.which("shellcheck")
    assert shellcheck, "make setup installs shellcheck"
    checked = subprocess.run([shellcheck, "--shell=bash", "-"], input=script, text=True, stdout=PIPE, check=False)
    assert checked.returncode == 0, checked.stdout


def test_both_stacks_run_the_same_script() -> None:
    scripts = [user_data(stack).split("\nEND_OF_SETTINGS\n")[1] for stack in (backup_stack(), restore_stack())]
    assert scripts[0] == scripts[1]
