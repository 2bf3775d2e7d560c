"""The dashboard of a stack with real nights, in a browser: what it shows, its buttons, its links, both themes.

The pictures in ``docs/images`` are made here: ``KEEP_SCREENSHOTS=1`` puts them there. The nights and the snapshots in
them are real; for the weeks before, the test writes items like theirs into the table.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from localcloud.solution import BackupStack, Solution
from tests.support.browser import Browser
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain, plain_file, write
from tests.templates.test_dashboard import documented

pytestmark = pytest.mark.slow

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WEEKS_BEFORE = 30


@pytest.fixture(scope="module")
def nightly(solution: Solution) -> BackupStack:
    """A backup stack after four nights, of which the third could not mount."""
    backups = solution.deploy_backup({"Retain": "7"})
    make_plain(str(backups.source), 1500, size=12000)
    for night in range(4):
        for number in range(20 * (night + 1)):
            write(plain_file(str(backups.source), 300 * night + number), b"%d" % night * 9000)
        backups.cloud.file_system(solution.source.id).fail_mounts("Connection timed out" if night == 2 else "")
        backups.night()
    write_weeks_before(backups)
    return backups


def write_weeks_before(backups: BackupStack) -> None:
    """Items of the nights before the first one, like those of the real nights."""
    like, chance = backups.items[0], random.Random(7)
    first = datetime.fromisoformat(like["BackupStartTime"])
    for night in range(1, WEEKS_BEFORE):
        start = first - timedelta(days=night)
        values = {
            "BackupId": {"S": f"daily-{start:%Y%m%dT%H%M%SZ}-{chance.randrange(1 << 32):08x}"},
            "BackupStatus": {"S": "Incomplete" if night == 11 else "Success"},
            "BackupStartTime": {"S": f"{start:%Y-%m-%dT%H:%M:%S}"},
            "BackupStopTime": {"S": f"{start + timedelta(seconds=chance.randrange(12, 30)):%Y-%m-%dT%H:%M:%S}"},
            "NumberOfFiles": {"N": str(int(like["NumberOfFiles"]) - 9 * night)},
            "TotalFileSize": {"N": str(int(like["TotalFileSize"]) - 90_000 * night)},
            "NumberOfFilesTransferred": {"N": "40"},
            "TotalTransferredFileSize": {"N": str(chance.randrange(200_000, 900_000))},
        }
        backups.cloud.client("dynamodb").put_item(TableName=backups.stack.name, Item=values)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(1240, 640) as running:
        yield running


@pytest.fixture
def page(browser: Browser, nightly: BackupStack) -> Browser:
    """The stack's dashboard, freshly opened in the light theme."""
    browser.dialogs.clear()
    browser.open(address(nightly))
    return browser


def address(backups: BackupStack, theme: str = "light") -> str:
    return f"{backups.cloud.endpoint}/_localcloud/dashboard/{backups.stack.name}-{backups.cloud.region}?theme={theme}"


def keep(name: str, picture: bytes) -> None:
    assert picture.startswith(b"\x89PNG")
    if os.environ.get("KEEP_SCREENSHOTS"):
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / name).write_bytes(picture)


def listed(backups: BackupStack) -> list[str]:
    """The ids of the snapshots in the list that the agent wrote."""
    body = backups.cloud.client("s3").get_object(Bucket=backups.stack.outputs["LogBucket"], Key="snapshots.json")[
        "Body"
    ]
    return [snapshot["id"] for snapshot in json.load(body)["snapshots"]]


def restore_links(page: Browser) -> list[dict[str, str]]:
    """What each restore link fills the form of a restore stack with."""
    links = page.evaluate(
        "[...document.querySelectorAll('.eb a')].filter(a => a.innerText == 'Restore…').map(a => a.href)"
    )
    queries = [link.partition("#/stacks/create/review?")[2] for link in links]
    return [{name: values[0] for name, values in parse_qs(query).items()} for query in queries]


def press(page: Browser, button: str) -> dict[str, str]:
    """Press the widget's button, which must be this one, say yes, close the reply; return it."""
    assert page.texts(".eb-button") == [button]
    page.click(".eb-button")
    page.wait_until("document.querySelector('dialog').open")
    (reply,) = page.texts("dialog pre")
    loads = page.loads
    page.click("dialog button")
    page.wait_for_load(loads)
    return dict(json.loads(reply))


def test_the_widget_shows_what_the_nights_left(page: Browser, nightly: BackupStack) -> None:
    assert page.texts(".eb-title") == ["All is well"]
    rows = page.texts(".eb table:first-of-type tbody tr")
    snapshots = [row for row in rows if row.startswith("daily.")]
    assert [row.split()[0] for row in snapshots] == nightly.snapshots == ["daily.0", "daily.1", "daily.2"]
    assert [row.split()[1] for row in snapshots] == listed(nightly)
    newest = nightly.items[-1]
    assert f"{int(newest['NumberOfFiles']):,}" in snapshots[0]
    assert "complete" in snapshots[0]
    assert "less than 0.01 USD" in snapshots[0]
    assert [row for row in rows if "Unsuccessful" in row], "the night that could not mount"
    assert len(page.texts(".eb-chart")) == 3
    assert page.evaluate("document.querySelectorAll('.eb-chart:first-child rect').length") == WEEKS_BEFORE + 3
    assert "never confirmed" not in page.evaluate("document.body.innerText")


def test_each_snapshot_links_to_a_log_that_is_there(page: Browser, nightly: BackupStack) -> None:
    hrefs = page.evaluate(
        "[...document.querySelectorAll('.eb tr a')].filter(a => a.innerText == 'Log').map(a => a.href)"
    )
    bucket = nightly.stack.outputs["LogBucket"]
    for href in hrefs[: len(nightly.snapshots)]:
        assert urlsplit(href).path == f"/s3/object/{bucket}"
        key = parse_qs(urlsplit(href).query)["prefix"][0]
        assert key in nightly.logs(key.partition("/")[0])


def test_it_has_no_script_and_fits_the_page(page: Browser) -> None:
    assert page.evaluate("document.querySelectorAll('.eb script, .eb iframe, .eb [onclick]').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.errors == []


def test_both_themes(page: Browser, nightly: BackupStack) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.querySelector('.eb')).backgroundColor"))

    assert ground() == "rgb(255, 255, 255)"
    keep("widget-light.png", page.screenshot())
    page.open(address(nightly, "dark"))
    assert ground() == "rgb(22, 29, 38)"
    keep("widget-dark.png", page.screenshot())


def test_a_restore_link_opens_a_stack_that_brings_the_snapshot_back(page: Browser, nightly: BackupStack) -> None:
    wanted = snapshot_of(str(nightly.snapshot(1)))
    link = restore_links(page)[1]
    assert link["param_SnapshotId"] == listed(nightly)[1]
    assert link["param_NotificationTopic"] == nightly.topic
    assert link["templateURL"].startswith("https://release-us-east-1.s3.us-east-1.amazonaws.com/efs-backup/v")
    assert link["templateURL"].endswith("/efs-to-efs-restore.template")

    parameters = {name.removeprefix("param_"): value for name, value in link.items() if name.startswith("param_")}
    told = len(nightly.mails)
    restored = nightly.solution.deploy_restore(nightly, parameters, name=link["stackName"])
    nightly.cloud.wait_for(lambda: len(nightly.mails) > told, "the mail of the restore", 300)
    restored.wait()
    assert "restore Success" in nightly.mails[-1].subject

    # A restore leaves what is only on the source.
    source = snapshot_of(str(nightly.source))
    assert_same(wanted, {path: entry for path, entry in source.items() if path in wanted}, what="the source")
    nightly.cloud.delete(restored.stack)


def test_back_up_now(page: Browser, nightly: BackupStack) -> None:
    before = listed(nightly)
    assert press(page, "Back up now")["action"] == "start"
    assert page.dialogs == ["Back up now? This starts a backup of the stack nightly."]

    nightly.cloud.wait_quiet()
    page.open(address(nightly))

    assert page.texts(".eb-title") == ["All is well"]
    assert [link["param_SnapshotId"] for link in restore_links(page)] == listed(nightly)
    assert listed(nightly)[1:] == before
    assert nightly.items[-1]["BackupId"].startswith("daily-manual-")


def test_stop_now(page: Browser, nightly: BackupStack) -> None:
    nightly.cloud.fail_launches(50)
    press(page, "Back up now")
    running = str((nightly.running or {})["RunningBackupId"])
    (progress,) = page.texts(".eb-progress")
    assert f"Backup {running} is running" in progress

    press(page, "Stop this backup")

    assert f"Stop the backup {running}?" in page.dialogs[-1]
    nightly.cloud.wait_quiet()
    page.open(address(nightly))
    assert page.texts(".eb-button") == ["Back up now"]
    assert page.texts(".eb-title") == ["The last backup did not succeed"]
    nightly.cloud.fail_launches(0)
    assert nightly.leftovers() == []


def test_an_address_that_never_confirmed_is_shown(page: Browser, nightly: BackupStack) -> None:
    sns = nightly.cloud.client("sns")
    sns.subscribe(TopicArn=nightly.topic, Protocol="email", Endpoint="new+<b>@example.com")
    page.open(address(nightly))
    (note,) = page.texts(".eb-note")
    assert note.startswith("new+<b>@example.com never confirmed the subscription")
    nightly.cloud.confirm("new+<b>@example.com")
    page.open(address(nightly))
    assert page.texts(".eb-note") == []


def test_the_metrics_are_those_that_the_documentation_names(nightly: BackupStack) -> None:
    pages = nightly.cloud.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace="EFS-Backup")
    found = [metric for answer in pages for metric in answer["Metrics"]]
    of_the_stack = [m for m in found if m["Dimensions"] == [{"Name": "StackName", "Value": nightly.stack.name}]]
    names, wanted = {m["MetricName"] for m in of_the_stack}, set(documented("agent") | documented("orchestrator"))
    assert names <= wanted
    assert wanted - names <= {"ProgressPercent"}  # a night this short may end before its first percentage
    assert all([d["Name"] for d in m["Dimensions"]] == ["StackName"] for m in found)


def test_without_a_name_the_dashboards_are_listed_and_an_unknown_one_is_said(
    page: Browser, nightly: BackupStack
) -> None:
    page.open(f"{nightly.cloud.endpoint}/_localcloud/dashboard/")
    assert f"{nightly.stack.name}-us-east-1" in page.texts("li a")
    page.open(f"{nightly.cloud.endpoint}/_localcloud/dashboard/none")
    assert "none: no such dashboard" in page.evaluate("document.body.innerText")
