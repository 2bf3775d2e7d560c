"""The widget's real handler: what it shows of a bucket, a table and a topic in moto."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.functions.cloud import Calls, Cloud, client, no_waiting, recorded_client
from tests.unit.functions.shown import ENVIRONMENT, HOSTILE, ORCHESTRATOR, Shown, assert_harmless, listed, snapshot_list

from orchestrator.events import Start, Stop, parse
from widget import style
from widget.handler import lambda_handler


@dataclass
class Widget:
    """The widget of a stack in moto."""

    cloud: Cloud
    bucket: str
    calls: Calls = field(default_factory=Calls)

    def put_list(self, text: bytes) -> None:
        client("s3").put_object(Bucket=self.bucket, Key="snapshots.json", Body=text)

    def put_backup(self, number: int, **attributes: Any) -> str:
        """The item of the backup of ``number`` nights ago."""
        night = datetime(2026, 11, 24, 2, 0, tzinfo=UTC) - timedelta(days=number)
        values = {
            "BackupId": f"daily-{night:%Y%m%dT%H%M%SZ}-5f2c7a10",
            "BackupStartTime": f"{night:%Y-%m-%dT%H:%M:%S}",
            "BackupStopTime": f"{night + timedelta(minutes=21):%Y-%m-%dT%H:%M:%S}",
            "BackupStatus": "Success",
            "SnapshotId": listed(number)["id"],
        } | attributes
        given = {k: {"N": str(v)} if isinstance(v, int) else {"S": v} for k, v in values.items() if v is not None}
        client("dynamodb").put_item(TableName=self.cloud.name, Item=given)
        return str(values["BackupId"])

    def show(self, **context: Any) -> Shown:
        with self.calls.recorded():
            return Shown(lambda_handler({"widgetContext": {"theme": "light"} | context}, SimpleNamespace()))


@pytest.fixture
def widget(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Widget:
    bucket = f"logs-{cloud.guid}"
    client("s3").create_bucket(Bucket=bucket)
    client("sns").subscribe(TopicArn=cloud.topic, Protocol="email", Endpoint="ops+efs@example.com")
    environment = ENVIRONMENT | {"TABLE_NAME": cloud.name, "TOPIC_ARN": cloud.topic, "LOG_BUCKET": bucket}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Widget(cloud, bucket)


def test_each_snapshot_is_shown_with_what_the_table_knows_of_it(widget: Widget) -> None:
    log = f"https://{widget.bucket}.s3.us-east-1.amazonaws.com/ec2-logs/a b.log"
    widget.put_list(snapshot_list(listed(0), listed(1, verified=True), listed(2, complete=False, files=None)))
    widget.put_backup(0, TotalTransferredFileSize=31 << 20, EstimatedCost="0.07 USD, and 0.01 USD a month", EC2Logs=log)

    shown = widget.show()

    first, second, third = shown.rows[1:4]
    for expected in (
        "daily.0", listed(0)["id"], "2026-11-24 02:20", "complete", "200,000", "9.1 GiB", "21 min 0 s", "31.0 MiB",
        "0.07 USD",
    ):  # fmt: skip
        assert expected in first
    assert "verified" in second
    assert "20 min 0 s" in second, "the list knows how long it took where the table does not"
    assert "incomplete" in third
    assert [r["SnapshotId"] for r in shown.restores] == [listed(n)["id"] for n in range(3)]
    assert [r["BackupNum"] for r in shown.restores] == ["0", "1", "2"]
    assert {r["NotificationTopic"] for r in shown.restores} == {widget.cloud.topic}
    (link,) = [a.attributes["href"] for a in shown.all("a") if a.text == "Log"]
    assert link.endswith(f"/s3/object/{widget.bucket}?region=eu-west-1&prefix=ec2-logs%2Fa%20b.log")
    assert widget.calls.made == ["s3:GetObject", "dynamodb:Scan", "sns:ListSubscriptionsByTopic"]


def test_the_table_is_read_to_its_end(widget: Widget) -> None:
    for night in range(90):
        widget.put_backup(night, BackupStatus="Incomplete" if night == 2 else "Success", EC2Logs="x" * 16000)

    shown = widget.show()

    assert widget.calls.made.count("dynamodb:Scan") > 1
    assert "daily-20261122T020000Z-5f2c7a10" in shown.text


def test_the_button_starts_a_backup_and_the_event_is_one_that_the_orchestrator_knows(widget: Widget) -> None:
    (action,) = widget.show().actions
    assert action.attributes["action"] == "call"
    assert action.attributes["endpoint"] == ORCHESTRATOR
    assert "nightly" in action.attributes["confirmation"]
    assert parse(json.loads(action.text), "request") == Start("request", None)


def test_while_a_backup_runs_its_progress_is_shown_and_the_button_stops_that_one(widget: Widget) -> None:
    widget.cloud.invoke(widget.cloud.start_event())
    widget.cloud.claim(widget.cloud.launch())
    backup = str((widget.cloud.lease or {})["RunningBackupId"])
    widget.cloud._update(
        backup,
        ProgressPhase={"S": "scan"},
        ProgressFiles={"N": "50000"},
        ProgressFilesExpected={"N": "200000"},
        ProgressBytes={"N": str(3 << 20)},
    )

    shown = widget.show()

    (action,) = shown.actions
    assert parse(json.loads(action.text), "request") == Stop(backup)
    assert backup in action.attributes["confirmation"]
    (progress,) = shown.all("div", "eb-progress")
    assert f"Backup {backup} is running" in progress.text
    assert "scan: 50,000 of about 200,000 files · 3.0 MiB" in progress.text
    assert "must end by 2026-11-23 05:00 UTC" in progress.text
    (track,) = shown.all("div", "eb-track")
    assert track.attributes["title"] == "25 %"

    widget.cloud.invoke(json.loads(action.text))
    stopping = widget.show()
    assert not stopping.actions
    assert "The backup is being stopped" in stopping.text


def test_a_list_that_is_not_there_is_said_in_a_sentence_and_the_rest_is_shown(widget: Widget) -> None:
    widget.put_backup(0)
    shown = widget.show()
    (note,) = shown.all("div", "eb-note")
    assert note.text.startswith("There is no list of snapshots yet: the next backup writes snapshots.json")
    assert "All is well" in shown.text
    assert shown.actions


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "The list of the snapshots is damaged"),
        (b"[]", "The list of the snapshots is damaged"),
        (b'{"version": 1}', "The list of the snapshots is damaged"),
        (
            b'{"version": 1, "snapshots": [{"number": "x", "id": "y", "complete": true}]}',
            "The list of the snapshots is",
        ),
        (b'{"version": 1, "snapshots": [7]}', "The list of the snapshots is damaged"),
        (b"[" * 100_000, "The list of the snapshots is damaged"),
        (b"\xff\xfe", "The list of the snapshots is damaged"),
        (
            b'{"version": 2, "snapshots": []}',
            "The list of the snapshots is of a version that this widget does not know",
        ),
    ],
)
def test_a_list_that_is_none_is_said_in_a_sentence(widget: Widget, text: bytes, sentence: str) -> None:
    widget.put_list(text)
    (note,) = widget.show().all("div", "eb-note")
    assert note.text.startswith(sentence)
    assert note.text.endswith(".")


def test_a_table_a_bucket_and_a_topic_that_are_gone_are_named(widget: Widget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLE_NAME", "no-such-table")
    monkeypatch.setenv("LOG_BUCKET", "no-such-bucket-here")
    monkeypatch.setenv("TOPIC_ARN", widget.cloud.topic + "x")

    shown = widget.show()

    bucket, table, topic = (note.text for note in shown.all("div", "eb-note"))
    assert bucket.startswith("The list of the snapshots cannot be read: ")
    assert "NoSuchBucket" in bucket
    assert table.startswith("The table no-such-table cannot be read: ")
    assert topic.startswith("The topic of the mails cannot be read: ")
    assert "Nothing is known" in shown.text


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("status", [400, 500])
def test_a_call_that_fails_is_a_sentence_and_never_an_exception(
    widget: Widget, monkeypatch: pytest.MonkeyPatch, call: int, status: int
) -> None:
    widget.put_list(snapshot_list(listed(0)))
    widget.put_backup(0)
    widget.calls = Calls(fail=(call, status), times=9)
    with no_waiting(monkeypatch):
        shown = widget.show()
    (note,) = shown.all("div", "eb-note")
    assert "cannot be read" in note.text
    assert shown.all("table") or call == 1


def test_no_access_is_a_sentence(widget: Widget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9")
    recorded_client.cache_clear()
    try:
        with no_waiting(monkeypatch):
            notes = widget.show().all("div", "eb-note")
    finally:
        recorded_client.cache_clear()
    assert len(notes) == 3
    assert all("cannot be read: " in note.text for note in notes)


def test_a_missing_variable_is_a_sentence(widget: Widget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPC_ID", "")
    assert widget.show().text == (
        "The widget cannot work: the environment variable VPC_ID is missing: deploy the function by its template."
    )


def test_asked_to_describe_itself_it_does() -> None:
    described = lambda_handler({"describe": True}, SimpleNamespace())
    assert described.startswith("## ")
    assert "lambda:InvokeFunction" in described


@pytest.mark.parametrize("event", [{}, {"widgetContext": None}, {"widgetContext": {"theme": 7}}, {"widgetContext": {}}])
def test_without_a_theme_it_is_light(widget: Widget, event: dict[str, Any]) -> None:
    with widget.calls.recorded():
        assert style.LIGHT.page in lambda_handler(event, SimpleNamespace())
    assert style.DARK.page in widget.show(theme="dark").html


def test_text_from_elsewhere_is_shown_as_it_is_and_does_nothing(widget: Widget) -> None:
    widget.put_list(snapshot_list(listed(0, id=HOSTILE, cost=HOSTILE)))
    widget.put_backup(1, BackupStatus=HOSTILE, EC2Logs=f"https://{widget.bucket}.s3/{HOSTILE}", BackupId=HOSTILE)
    shown = widget.show()
    assert_harmless(shown)
    assert HOSTILE in shown.rows[1]
    assert HOSTILE in shown.rows[-1]
    assert shown.restores[0]["SnapshotId"] == HOSTILE
