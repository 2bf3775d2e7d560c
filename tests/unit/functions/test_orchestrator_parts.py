"""The orchestrator's pure parts: settings, events, times, mails, the drain command, the data that is sent."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.functions.cloud import NIGHT

from environment import ConfigurationError
from orchestrator.config import Settings
from orchestrator.drain import drain_command
from orchestrator.events import InstanceTerminating, InvalidEventError, LaunchFailed, Start, Stop, parse
from orchestrator.schedule import backup_id, cron, lease_end, stop_again, stop_time
from orchestrator.usage import report

ENVIRONMENT = {
    "STACK_NAME": "nightly",
    "SOLUTION_VERSION": "v2.0.0",
    "AWS_REGION": "eu-west-1",
    "GROUP_NAME": "group",
    "STOP_RULE": "rule",
    "DEAD_LETTERS": "queue",
    "TABLE_NAME": "table",
    "TOPIC_ARN": "topic",
    "LOG_BUCKET": "bucket",
    "SOURCE_EFS": "fs-1",
    "BACKUP_EFS": "fs-2",
    "BACKUP_PREFIX": "/home",
    "INTERVAL_TAG": "daily",
    "RETAIN": "7",
    "BACKUP_WINDOW": "180",
    "DRAIN_MINUTES": "10",
    "BACKUP_SCHEDULE": "cron(0 2 * * ? *)",
    "EMAIL": "ops@example.com",
    "RESTORE_TEMPLATE": "https://release.s3.eu-west-1.amazonaws.com/restore.template",
    "FOLDER_LABEL": "efs-backup",
    "VPC_ID": "vpc-0123456789abcdef0",
    "SUBNETS": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "SECURITY_GROUP": "sg-0123456789abcdef0",
    "INSTANCE_TYPE": "c5.xlarge",
    "SUCCESS_NOTIFICATION": "Yes",
    "CONSOLE": "console.aws.amazon.com",
    "UUID": "uuid",
    "SEND_ANONYMOUS_DATA": "No",
    "METRICS_URL": "http://localhost/",
}
SETTINGS = Settings.from_environment(ENVIRONMENT)

ITEM: dict[str, Any] = {
    "BackupId": "daily-20261123T020000Z-5f2c7a10",
    "BackupStatus": "Success",
    "BackupStartTime": "2026-11-23T02:00:00",
    "BackupStopTime": "2026-11-23T02:41:07",
    "BackupPrefix": "/home",
    "SourceEfsId": "fs-1",
    "DestinationEfsId": "fs-2",
    "EC2Logs": "https://bucket.s3.eu-west-1.amazonaws.com/ec2-logs/x.log",
    "NumberOfFiles": 1234567,
    "NumberOfFilesTransferred": 89,
    "TotalFileSize": 5 * 1024**4,
    "TotalTransferredFileSize": 1023,
    "SourceEfsSize": 1,
    "ExpireItem": 1787000000,
}


class TestSettings:
    def test_a_missing_variable_is_named(self) -> None:
        for name in ENVIRONMENT:
            without = {key: value for key, value in ENVIRONMENT.items() if key != name}
            with pytest.raises(ConfigurationError, match=f"variable {name} is missing"):
                Settings.from_environment(without)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("RETAIN", "0"), ("RETAIN", "seven"), ("BACKUP_WINDOW", "-5"), ("BACKUP_WINDOW", "1e3"), ("RETAIN", "\u0667"),
         ("SUCCESS_NOTIFICATION", "maybe"), ("SEND_ANONYMOUS_DATA", "true")],
    )  # fmt: skip
    def test_a_wrong_value_is_named(self, name: str, value: str) -> None:
        with pytest.raises(ConfigurationError, match=f"variable {name} is '{value}'"):
            Settings.from_environment(ENVIRONMENT | {name: value})


class TestEvents:
    def test_the_schedule_and_a_person(self) -> None:
        night = {"mode": "backup", "action": "start", "id": "e", "time": "2026-11-23T02:00:00Z"}
        assert parse(night, "request") == Start("e", NIGHT)
        assert parse({"mode": "backup", "action": "start"}, "request") == Start("request", None)
        assert parse({"mode": "backup", "action": "stop"}, "request") == Stop(None)
        assert parse({"mode": "backup", "action": "stop", "backup_id": "b"}, "request") == Stop("b")

    def test_the_group(self) -> None:
        detail = {
            "EC2InstanceId": "i-1",
            "AutoScalingGroupName": "g",
            "LifecycleHookName": "h",
            "LifecycleActionToken": "t",
        }
        event = {"detail-type": "EC2 Instance-terminate Lifecycle Action", "detail": detail}
        assert parse(event, "request") == InstanceTerminating("i-1", "g", "h", "t")
        failed = {"detail-type": "EC2 Instance Launch Unsuccessful", "detail": {"Cause": "why"}}
        assert parse(failed, "request") == LaunchFailed("why")

    @pytest.mark.parametrize(
        "event",
        [
            {},
            {"mode": "restore", "action": "start"},
            {"mode": "backup"},
            {"mode": "backup", "action": "start", "time": "tomorrow"},
            {"mode": "backup", "action": "start", "id": 7},
            {"mode": "backup", "action": "stop", "backup_id": ["b"]},
            {"detail-type": "EC2 Instance Launch Successful", "detail": {}},
            {"detail-type": "EC2 Instance Terminate Successful", "detail": {}},
            {"detail-type": "EC2 Instance Terminate Successful", "detail": "x"},
        ],
    )
    def test_an_event_that_is_none_is_refused_in_one_line(self, event: dict[str, Any]) -> None:
        with pytest.raises(InvalidEventError) as error:
            parse(event, "request")
        assert "\n" not in str(error.value)


class TestTimes:
    def test_the_same_event_is_the_same_backup_and_another_is_another(self) -> None:
        assert backup_id("daily", "e", NIGHT) == backup_id("daily", "e", NIGHT)
        assert backup_id("daily", "e", NIGHT) != backup_id("daily", "f", NIGHT)
        assert backup_id("weekly", "e", NIGHT).startswith("weekly-20261123T020000Z-")

    @given(
        start=st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
        window=st.integers(1, 1320),
        drain=st.integers(1, 60),
    )
    def test_a_stop_is_a_full_minute_at_least_five_minutes_ahead_and_within_the_lease(
        self, start: datetime, window: int, drain: int
    ) -> None:
        due = stop_time(start, window, drain)
        assert due.second == due.microsecond == 0
        assert due >= start + timedelta(minutes=5)
        assert due >= start + timedelta(minutes=window - drain)
        assert due < start + timedelta(minutes=max(window - drain, 5) + 1)
        assert due <= lease_end(start, window, drain)
        assert stop_again(due, drain) > due + timedelta(minutes=drain + 5), "after the hook's time-out"

    def test_a_cron_expression_names_one_minute_in_utc(self) -> None:
        assert cron(datetime(2027, 1, 2, 3, 4, tzinfo=UTC)) == "cron(4 3 2 1 ? 2027)"


def test_only_the_fields_of_the_guide_are_sent() -> None:
    sent = report(SETTINGS, ITEM | {"SomethingNew": "secret"}, NIGHT)

    assert sent["TimeStamp"] == "2026-11-23 02:00:00.000"
    assert set(sent) == {"Solution", "UUID", "TimeStamp", "Data"}
    assert {"BackupPrefix", "SourceEfsId", "DestinationEfsId", "EC2Logs", "ExpireItem", "SomethingNew"}.isdisjoint(
        sent["Data"]
    )
    assert sent["Data"]["NumberOfFiles"] == 1234567


def test_where_the_agent_never_came_to_be_the_drain_command_completes_the_hook(tmp_path: Path) -> None:
    aws = tmp_path / "aws"
    aws.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    aws.chmod(0o755)
    command = drain_command(InstanceTerminating("i-1", "a group", "hook", "to'ken"), "eu-west-1")
    assert "then /opt/efs-backup/ssm.sh hook 'a group' i-1 " in command

    ran = subprocess.run(["bash", "-c", command], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, stdout=PIPE, check=True)

    words = ran.stdout.decode().splitlines()
    assert words[:2] == ["autoscaling", "complete-lifecycle-action"]
    assert dict(zip(words[2::2], words[3::2], strict=True)) == {
        "--lifecycle-action-result": "CONTINUE",
        "--lifecycle-hook-name": "hook",
        "--auto-scaling-group-name": "a group",
        "--instance-id": "i-1",
        "--lifecycle-action-token": "to'ken",
        "--region": "eu-west-1",
    }
