"""Stacks come and go: what is sent about them, and what stays."""

from __future__ import annotations

import time

import pytest
from localcloud.solution import BackupStack, Item
from tests.cloud.conftest import Deploy
from tests.cloud.nights import assert_newest_is_the_source, begin_copying, slow_copying
from tests.support.zoo import write

# The guide's Appendix E; Solution, UUID and TimeStamp are around these.
APPENDIX_E = {
    "BackupId", "BackupStartTime", "BackupStopTime", "BackupWindow", "SourceEfsSize", "DestinationEfsSize",
    "InstanceType", "RetainPeriod", "S3BucketSize", "SourceBurstCreditBalance", "SourceBurstCreditBalancePostBackup",
    "SourcePerformanceMode", "DestinationPerformanceMode", "NumberOfFiles", "NumberOfFilesTransferred",
    "TotalFileSize", "TotalTransferredFileSize", "Region", "CreateHardlinksStartTime", "CreateHardlinksStopTime",
    "RemoveSnapshotStartTime", "RemoveSnapshotStopTime", "RsyncDeleteStartTime", "RsyncDeleteStopTime",
}  # fmt: skip


def switched_off(text: str) -> str:
    """Opts out as the guide tells: one word in the mapping."""
    assert text.count('"SendAnonymousData": "Yes"') == 1
    return text.replace('"SendAnonymousData": "Yes"', '"SendAnonymousData": "No"')


def sent(backups: BackupStack) -> list[Item]:
    """What arrived at the collector about a stack."""
    return [report for report in backups.cloud.collected if report["UUID"] == backups.stack.outputs["UUID"]]


def test_every_field_of_the_anonymous_data_arrives(backups: BackupStack) -> None:
    write(f"{backups.source}/file", b"content")
    item = backups.night()
    created, report = sent(backups)
    assert (created["Solution"], created["Data"]["RequestType"]) == ("SO0031", "Create")
    assert report["Solution"] == "SO0031" and report["TimeStamp"] > created["TimeStamp"]
    data = report["Data"]
    assert data.keys() >= APPENDIX_E
    same = APPENDIX_E - {"Region"}
    assert {name: data[name] for name in same} == {name: item[name] for name in same}
    assert data["Region"] == "us-east-1"
    names = (backups.parameters["SrcEFS"], backups.stack.outputs["BackupEFS"], backups.stack.name, "ops@example.com")
    assert not [name for name in names if name in str(report)], "anonymous data names something"
    backups.cloud.delete(backups.stack)
    assert [report["Data"].get("RequestType") for report in sent(backups)] == ["Create", None, "Delete"]


def test_nothing_at_all_leaves_when_it_is_switched_off(deploy: Deploy) -> None:
    before = len(deploy(name="other").cloud.collected)
    backups = deploy(edit=switched_off, BackupSchedule="cron(0 4 * * ? *)")
    cloud = backups.cloud
    cloud.clock.advance_to_hour(4)
    cloud.wait_quiet()
    assert backups.items[0]["BackupStatus"] == "Success"
    cloud.delete(backups.stack)
    others = [report for report in cloud.collected[before:] if report["UUID"] == backups.stack.outputs["UUID"]]
    assert others == []


@pytest.mark.parametrize("mode", ["hang", "fail"])
def test_a_collector_that_does_not_answer_delays_nothing(deploy: Deploy, mode: str) -> None:
    backups = deploy()
    write(f"{backups.source}/file", b"content")
    backups.cloud.collector(mode)
    assert backups.night()["BackupStatus"] == "Success"
    assert len(backups.mails) == 1 and backups.leftovers() == []
    log = backups.cloud.client("logs")
    (group,) = log.describe_log_groups(logGroupNamePrefix="nightly-OrchestratorLogGroup")["logGroups"]
    lines = log.filter_log_events(logGroupName=group["logGroupName"], filterPattern="")["events"]
    longest = max(duration(line["message"]) for line in lines if line["message"].startswith("REPORT"))
    assert longest < 30, "a function waited for the collector"
    began = time.monotonic()
    backups.cloud.delete(backups.stack)
    assert time.monotonic() - began < 60


def duration(line: str) -> float:
    """The seconds of a function's REPORT line."""
    return float(line.partition("Duration: ")[2].partition(" ms")[0]) / 1000


def test_a_deleted_stack_leaves_the_backups_and_the_logs(backups: BackupStack) -> None:
    write(f"{backups.source}/file", b"content")
    backups.night()
    cloud, outputs = backups.cloud, backups.stack.outputs
    cloud.delete(backups.stack)
    assert_newest_is_the_source(backups)
    assert cloud.client("efs").describe_file_systems(FileSystemId=outputs["BackupEFS"])["FileSystems"]
    assert backups.logs("ec2-logs")
    assert what_is_left(backups) == []


def test_a_stack_that_is_deleted_while_its_backup_runs(deploy: Deploy) -> None:
    backups = deploy(edit=slow_copying)
    begin_copying(backups)
    cloud = backups.cloud
    hour = cloud.clock.now()
    cloud.delete(backups.stack)
    assert cloud.instances == []
    assert (cloud.clock.now() - hour).total_seconds() < 200, "the hook was waited out"
    assert what_is_left(backups) == []
    kept = backups.stack.outputs["BackupEFS"]
    backups.solution.make_mount_targets(kept)  # those of the stack went with it
    again = backups.solution.deploy_backup({"SrcEFS": backups.parameters["SrcEFS"], "BackupEFS": kept}, "again")
    item = again.night()
    assert item["BackupStatus"] == "Success"
    assert_newest_is_the_source(again)
    cloud.delete(again.stack)


def what_is_left(backups: BackupStack) -> list[str]:
    """What of a deleted stack still is there, beside what is to stay."""
    cloud = backups.cloud
    rules = [rule["Name"] for rule in cloud.client("events").list_rules()["Rules"]]
    groups = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    found = [
        *(name for name in rules if backups.guid in name or name.startswith(f"{backups.stack.name}-")),
        *(group["AutoScalingGroupName"] for group in groups if group["AutoScalingGroupName"] == backups.group),
        *(name for name in cloud.client("dynamodb").list_tables()["TableNames"] if name == backups.stack.name),
        *(function["FunctionName"] for function in cloud.client("lambda").list_functions()["Functions"]),
        *(topic["TopicArn"] for topic in cloud.client("sns").list_topics()["Topics"]),
        *(role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]),
    ]
    return [str(name) for name in found]
