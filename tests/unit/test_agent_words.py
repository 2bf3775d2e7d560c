"""What the agent reads and writes: settings, logs, mails, metrics, the widget's document, anonymous data."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from efs_backup.agent.pure import mail
from efs_backup.agent.pure.lognames import address_of, ec2_log_key, run_log_key
from efs_backup.agent.pure.metrics import Metric, end_metrics, progress_metrics
from efs_backup.agent.pure.outcome import EngineRun, Outcome
from efs_backup.agent.pure.restoring import RestoreOutcome, restore_outcome, restore_words, what_was_done
from efs_backup.agent.pure.settings import BackupSettings, RestoreSettings, parse
from efs_backup.agent.pure.snapshots import snapshots_document
from efs_backup.agent.pure.synclog import synchronization_log
from efs_backup.agent.pure.usage import restore_usage
from efs_backup.pure.errors import UsageError
from orchestrator.words import MESSAGES

DOCS = Path(__file__).parents[2] / "docs"
BEGAN = 1_795_572_007.0  # 2026-11-25T02:00:07Z
COMMON = {
    "STACK_NAME": "nightly", "STACK_ID": "arn:x", "VERSION": "v2.0.0", "REGION": "cn-north-1", "PARTITION": "aws-cn",
    "URL_SUFFIX": "amazonaws.com.cn", "AGENT_BUCKET": "b", "AGENT_KEY": "k", "AGENT_SHA256": "0", "GROUP_NAME": "g",
    "TOPIC_ARN": "arn:t", "LOG_BUCKET": "logs", "SOURCE_EFS": "fs-1", "BACKUP_EFS": "fs-2", "PREFIX": "/app",
    "FOLDER_LABEL": "efs-backup", "INTERVAL": "daily", "UUID": "u", "SEND_ANONYMOUS_DATA": "Yes",
    "METRICS_URL": "https://m",
}  # fmt: skip
BACKUP = COMMON | {
    "MODE": "backup", "LIFECYCLE_HOOK": "hook", "TABLE_NAME": "nightly", "RETAIN": "7", "BACKUP_WINDOW": "180",
    "DRAIN_MINUTES": "10", "SUCCESS_NOTIFICATION": "No", "PRICES": "", "PURCHASE_OPTION": "Spot",
}  # fmt: skip
RESTORE = COMMON | {
    "MODE": "restore", "BACKUP_NUMBER": "2", "SNAPSHOT_ID": "", "RESTORE_SUBDIR": "/home/", "RESTORE_TO": "",
    "RESTORE_MODE": "keep", "PREVIEW": "No", "WAIT_FOR_CONFIRMATION": "Yes",
}  # fmt: skip


def written(values: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())


def backup_settings(**changed: str) -> BackupSettings:
    settings = parse(written(BACKUP | changed))
    assert isinstance(settings, BackupSettings)
    return settings


def restore_settings(**changed: str) -> RestoreSettings:
    settings = parse(written(RESTORE | changed))
    assert isinstance(settings, RestoreSettings)
    return settings


def test_settings_are_taken_as_they_are() -> None:
    odd = "/a dir/with 'quotes' and $(touch x) = `y` "
    settings = backup_settings(PREFIX=odd)
    assert (settings.prefix, settings.window, settings.spot, settings.notify_success) == (odd, 180, True, False)


@pytest.mark.parametrize("mode", [BACKUP, RESTORE])
def test_the_settings_are_those_of_the_documentation(mode: dict[str, str]) -> None:
    rows = re.findall(r"^\| (`[A-Z0-9_`, ]+`) \| (\w+) \|", (DOCS / "agent.md").read_text(), re.MULTILINE)
    wanted = ("both", mode["MODE"])
    assert set(mode) == {key for keys, where in rows if where in wanted for key in re.findall(r"`([A-Z0-9_]+)`", keys)}


@pytest.mark.parametrize(
    ("values", "changed", "said"),
    [
        (BACKUP, {"MODE": "verify"}, "the setting MODE is 'verify': it must be backup or restore"),
        (BACKUP, {"RETAIN": "-1"}, "the setting RETAIN is '-1': it must be a whole number"),
        (BACKUP, {"RETAIN": "²"}, "the setting RETAIN is '²': it must be a whole number"),
        (BACKUP, {"TABLE_NAME": ""}, "the setting TABLE_NAME is empty"),
        (BACKUP, {"SUCCESS_NOTIFICATION": "maybe"}, "it must be Yes or No"),
        (RESTORE, {"RESTORE_MODE": "some"}, "the setting RESTORE_MODE is 'some': it must be keep or exact"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, str], changed: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        parse(written(values | changed))


@pytest.mark.parametrize("values", [BACKUP, RESTORE], ids=["backup", "restore"])
def test_every_setting_that_is_used_must_be_there(values: dict[str, str]) -> None:
    unused = {"STACK_ID", "PARTITION", "AGENT_BUCKET", "AGENT_KEY", "AGENT_SHA256"}
    for key in set(values) - unused:
        with pytest.raises(UsageError, match=f"the setting {key} is missing"):
            parse(written({k: v for k, v in values.items() if k != key}))


def test_logs_lie_below_the_guides_prefixes() -> None:
    assert ec2_log_key("label", "backup", BEGAN) == "ec2-logs/label-backup-20261125-020007.log"
    assert ec2_log_key("label", "restore", BEGAN, "cloud-init") == (
        "ec2-logs/label-restore-20261125-020007-cloud-init.log"
    )
    assert run_log_key("label", "backup", BEGAN, "fpsync.log") == (
        "efs-backup-log/label-backup-20261125-020007-fpsync.log"
    )
    assert run_log_key("l", "restore", BEGAN, "report.json") == "efs-restore-logs/l-restore-20261125-020007-report.json"
    assert address_of("b", "cn-north-1", "amazonaws.com.cn", "k") == "https://b.s3.cn-north-1.amazonaws.com.cn/k"


BEGUN = """1795545744 Info: Run ID: 1795545744-10170
1795545745 ===> Analyzing filesystem...
1795545746 <=== Fpart crawling finished
1795545746 <=== Parts done: 0/3 (0%), remaining: 3
"""
FPSYNC_1_5 = f"""{BEGUN}1795545746 <=== Successfully prepared run: 1795545744-10170
1795545746 <=== Fpsync completed without error in 1s.
"""
CUT_OFF = "1795545747 <=== Parts done: {}/3, remaining: 2\n"
TRANSFERRED = """1795545747 <=== Parts done: 3/3 (100%), remaining: 0
1795545747 <=== Fpsync completed {} in 1s.
"""
PREPARED = ["====> Job name: 1795545744-10170", "====> Analyzing filesystem..."]
DONE = [
    *PREPARED, "====> Waiting for sync jobs to complete...", "<==== Parts done: 3/3 (100%), remaining: 0",
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "figure"),
    [
        (FPSYNC_1_5 + TRANSFERRED.format("without error"), [*DONE, "<==== Fpsync completed without error.", ""]),
        (FPSYNC_1_5 + TRANSFERRED.format("with error"), [*DONE, "<==== Fpsync completed with error, see below.", ""]),
        (FPSYNC_1_5, [*PREPARED, ""]),
        (FPSYNC_1_5 + CUT_OFF.format(1), [*PREPARED, ""]),
        (FPSYNC_1_5 + CUT_OFF.format(3), [*DONE, ""]),
        (BEGUN + TRANSFERRED.format("without error"), [*DONE, "<==== Fpsync completed without error.", ""]),
        (BEGUN + TRANSFERRED.format("with error"), [*DONE, "<==== Fpsync completed with error, see below.", ""]),
        (BEGUN + CUT_OFF.format(1), [*PREPARED, ""]),
    ],
)
def test_the_log_of_fpsync_reads_as_the_guides_figures(said: str, figure: list[str]) -> None:
    lines = synchronization_log(said, None, "1-2").splitlines()
    assert lines[: len(figure)] == figure
    assert lines[-len(said.splitlines()) :] == said.splitlines(), "what fpsync itself said is kept"


def test_a_night_without_fpsync_has_the_same_log_and_says_so() -> None:
    text = synchronization_log("", {"outcome": "Success", "files_transferred": 7, "complete": True}, "1795545744-9")
    lines = text.splitlines()
    assert lines[0] == "====> Job name: 1795545744-9"
    assert "the engine copied 7 files itself" in lines[3]
    assert lines[5] == "<==== Fpsync completed without error."
    assert "files_transferred: 7" in lines and "complete: True" not in lines


def test_a_night_that_was_cut_off_ends_as_the_guides_figure_of_an_incomplete_one() -> None:
    assert synchronization_log("", None, "1-2") == "====> Job name: 1-2\n====> Analyzing filesystem...\n"


def test_messages_are_those_of_the_orchestrator() -> None:
    assert {status: MESSAGES[status] for status in mail.MESSAGES} == mail.MESSAGES


def test_the_mail_about_a_backup_that_could_not_be_recorded() -> None:
    outcome = Outcome("Success", "", {"NumberOfFiles": 12345})
    subject, message = mail.unrecorded_mail(backup_settings(), "daily-1", outcome, "AccessDenied", "https://log")
    assert subject == "EFS backup Success: daily-1 of nightly"
    assert message.splitlines()[:2] == [
        "The EFS backup was successful.",
        "The instance could not record this in the table: AccessDenied.",
    ]
    assert re.search(r"NumberOfFiles: +12,345\n", message) and re.search(r"Log: +https://log\n", message)


REPORT: dict[str, Any] = {
    "outcome": "Success", "snapshot": "/mnt/daily.2", "id": "20261123T020000Z-6d8c7a", "target": "/mnt/source/home",
    "dry_run": False, "created": ["a", "odd\nname"], "replaced": ["b"], "deleted": [], "unchanged": 1000, "failed": {},
    "other_mounts": [], "set_aside": {}, "files_transferred": 3, "bytes_transferred": 2048, "notes": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("run", "status", "reason"),
    [
        (EngineRun(0, REPORT, ""), "Success", ""),
        (
            EngineRun(1, REPORT | {"failed": {"x": "EIO"}}, ""),
            "Incomplete",
            "1 entry could not be restored: the log names them.",
        ),
        (
            EngineRun(1, None, "efs-backup: there is no snapshot daily.9 under /b (numbers there: 0)"),
            "Unsuccessful",
            "There is no snapshot daily.9 under /b (numbers there: 0).",
        ),
        (
            EngineRun(2, None, "efs-backup: subdirectory 'x' must begin with a slash"),
            "Unsuccessful",
            "Subdirectory 'x' must begin with a slash.",
        ),
        (
            EngineRun(1, None, "efs-backup: no space left on the file system written to"),
            "Incomplete",
            "No space left on the file system written to. "
            "What it had restored by then stays; launch it again to restore the rest.",
        ),
        (
            EngineRun(1, None, "efs-backup: stopped", stopped=True),
            "Incomplete",
            "It was stopped before its end. What it had restored by then stays; launch it again to restore the rest.",
        ),
        (
            EngineRun(-9, None, ""),
            "Incomplete",
            "Its process was killed by signal 9. "
            "What it had restored by then stays; launch it again to restore the rest.",
        ),
    ],
)
def test_what_came_of_a_restore(run: EngineRun, status: str, reason: str) -> None:
    outcome = restore_outcome(run)
    assert (outcome.status, outcome.reason) == (status, reason)


def words(**changed: str) -> str:
    return " ".join(restore_words(restore_settings(**changed), "/s", "/b"))


def test_the_engine_is_told_what_to_restore() -> None:
    always = "restore --source /s --backup /b --source-id fs-1 --folder-label efs-backup --interval daily"
    assert words() == f"{always} --number 2 --subdir /home/"
    assert words(SNAPSHOT_ID="x-1") == f"{always} --snapshot x-1 --subdir /home/"
    assert words(RESTORE_TO="//again/here/") == f"{always} --number 2 --subdir /home/ --to /s/again/here"
    assert words(RESTORE_MODE="exact", PREVIEW="Yes") == f"{always} --number 2 --subdir /home/ --delete --dry-run"


@pytest.mark.parametrize("to", ["/../etc", "/a/../../b", "relative", "/", "/."])
def test_a_restore_to_a_place_outside_of_the_source_is_refused(to: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"Restore To {to!r}")):
        words(RESTORE_TO=to)


def test_the_mail_about_a_restore() -> None:
    subject, message = mail.restore_mail(
        restore_settings(RESTORE_TO="/again"), RestoreOutcome("Success", "", REPORT), "https://log"
    )
    assert subject == "EFS restore Success: nightly"
    facts = dict(re.findall(r"^([A-Z][\w ]*): +(.*)$", message, re.MULTILINE))
    assert message.startswith("The EFS restore was successful.\n")
    assert facts["Snapshot"] == "efs-backup/daily.2/home/ on fs-2"
    assert facts["Restored to"] == "fs-1 /app/again/home"
    assert (facts["Created"], facts["Replaced"], facts["Left as they were"]) == ("2", "1", "1,000")
    assert facts["Size transferred"] == "2.0 KiB" and facts["Log"] == "https://log"


def test_the_mail_about_a_restore_that_changed_nothing_says_so() -> None:
    _, message = mail.restore_mail(restore_settings(), RestoreOutcome("Unsuccessful", "There is no such."), "l")
    assert message.startswith("The EFS restore was unsuccessful. Nothing was changed on the source. There is no such.")


def test_the_mail_about_a_preview_lists_what_would_be_done_and_not_more_than_it_holds() -> None:
    many = REPORT | {"dry_run": True, "created": [f"file {n}\n" for n in range(1000)]}
    settings = restore_settings(PREVIEW="Yes")
    subject, message = mail.restore_mail(settings, RestoreOutcome("Success", "", many), "l")
    assert subject == "EFS preview Success: nightly"
    assert "Nothing was changed on the source" in message
    assert "\nwould create file 0\\n\n" in message and "file 499" in message and "file 500" not in message
    assert message.endswith("… and more: the log has all")


def test_mails_keep_to_the_limits_of_the_service() -> None:
    settings = replace(restore_settings(), stack="n" * 128, to="/ü" * 100_000)
    subject, message = mail.restore_mail(settings, RestoreOutcome("Incomplete", "ü\n"), "l")
    assert len(subject) < 100 and subject.isascii() and subject.isprintable()
    assert len(message.encode()) < 256 * 1024


def test_every_touched_entry_has_a_line() -> None:
    touched = REPORT | {"deleted": ["c"], "failed": {"d": "EIO"}, "set_aside": {"e": "e.old"}, "notes": ["n"]}
    assert list(what_was_done(touched)) == [
        "create a", "create odd\nname", "replace b", "delete c", "could not restore d (EIO)", "set aside e as e.old",
        "note: n",
    ]  # fmt: skip


def test_metrics_are_those_of_the_documentation() -> None:
    progress = {"phase": "compare", "files": 50, "bytes": 500, "files_expected": 200, "bytes_expected": 0}
    report = {"files": 100, "bytes": 95000, "files_transferred": 7, "bytes_transferred": 900}
    metrics = progress_metrics(progress) + end_metrics("Success", 61.5, report)
    assert metrics == [
        Metric("ProgressFiles", "Count", 50), Metric("ProgressBytes", "Bytes", 500),
        Metric("ProgressPercent", "Percent", 25.0), Metric("Success", "Count", 1), Metric("Duration", "Seconds", 61.5),
        Metric("Files", "Count", 100), Metric("Bytes", "Bytes", 95000), Metric("FilesTransferred", "Count", 7),
        Metric("BytesTransferred", "Bytes", 900),
    ]  # fmt: skip
    documented = dict(
        re.findall(r"^\| `(\w+)` \| (Percent|Count|Bytes|Seconds) \|", (DOCS / "dashboard.md").read_text(), re.M)
    )
    assert {metric.name: metric.unit for metric in metrics}.items() <= documented.items()


def test_progress_that_cannot_be_told_as_a_share_is_not() -> None:
    progress = {"phase": "scan", "files": 5, "bytes": 5, "files_expected": 0, "bytes_expected": 0}
    assert [metric.name for metric in progress_metrics(progress)] == ["ProgressFiles", "ProgressBytes"]
    over = progress_metrics(progress | {"files_expected": 2})
    assert over[-1] == Metric("ProgressPercent", "Percent", 100.0)


@pytest.mark.parametrize(("status", "report"), [("Incomplete", None), ("Incomplete", {"files_transferred": 0})])
def test_a_failure_is_measured_as_one(status: str, report: dict[str, Any] | None) -> None:
    metrics = {metric.name: metric.value for metric in end_metrics(status, -1.0, report)}
    assert (metrics["Success"], metrics["Duration"]) == (0, 0.0)
    assert ("FilesTransferred" in metrics) is (report is not None) and "Files" not in metrics


def test_the_widgets_document() -> None:
    listed = {
        "number": 0, "id": "new", "path": "/p", "started": "2026-11-23T02:00:41Z", "finished": "2026-11-23T02:31:02Z",
        "complete": True, "files": 5, "bytes": 50, "verified": None, "verified_at": None,
    }  # fmt: skip
    taken_over = listed | {"number": 1, "id": "old", "started": None, "finished": None, "files": None, "bytes": None}
    document = snapshots_document([listed, taken_over], "new", "0.09 USD", "2026-11-23T02:31:07Z")
    assert document["version"] == 1 and document["written"] == "2026-11-23T02:31:07Z"
    assert document["snapshots"] == [
        {
            "number": 0, "id": "new", "started": "2026-11-23T02:00:41Z", "finished": "2026-11-23T02:31:02Z",
            "complete": True, "files": 5, "bytes": 50, "verified": None, "seconds": 1821, "cost": "0.09 USD",
        },
        {
            "number": 1, "id": "old", "started": None, "finished": None, "complete": True, "files": None,
            "bytes": None, "verified": None, "seconds": None, "cost": None,
        },
    ]  # fmt: skip


def test_anonymous_data_about_a_restore_names_nothing() -> None:
    settings = restore_settings()
    sent = restore_usage(settings, RestoreOutcome("Success", "", REPORT), "c5.xlarge", BEGAN, BEGAN + 90)
    assert (sent["Solution"], sent["UUID"], sent["TimeStamp"]) == ("SO0031R", "u", "2026-11-25 02:01:37.000")
    assert sent["Data"] == {
        "EventType": "Restore", "RestoreStatus": "Success", "RestoreStartTime": "2026-11-25T02:00:07",
        "RestoreStopTime": "2026-11-25T02:01:37", "InstanceType": "c5.xlarge", "IntervalTag": "daily",
        "Region": "cn-north-1", "Version": "v2.0.0", "NumberOfFilesTransferred": 3, "TotalTransferredFileSize": 2048,
    }  # fmt: skip
    assert not any(name in str(sent) for name in (settings.source_efs, settings.stack, settings.prefix, "odd"))
