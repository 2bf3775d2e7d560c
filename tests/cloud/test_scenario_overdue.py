"""A backup that is overdue is told of, whatever the reason."""

from __future__ import annotations

from localcloud.solution import BackupStack
from tests.cloud.conftest import Deploy


def alarms(backups: BackupStack) -> list[str]:
    """The subjects of the mails about the overdue alarm."""
    return [mail.subject for mail in backups.alarms if "OverdueAlarm" in mail.subject]


def state(backups: BackupStack) -> str:
    """The state of the overdue alarm."""
    found = backups.cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{backups.stack.name}-OverdueAlarm")
    return str(found["MetricAlarms"][0]["StateValue"])


def test_a_disabled_schedule_raises_the_alarm_and_a_success_ends_it(deploy: Deploy) -> None:
    backups = deploy(hourly=True, BackupWindow="60")
    cloud = backups.cloud
    (backups.source / "file").write_bytes(b"content")
    assert backups.night()["BackupStatus"] == "Success"
    cloud.client("events").disable_rule(Name=backups.start_rule)

    cloud.clock.advance(hours=24)  # the next night's window is just over
    cloud.wait_quiet()
    assert alarms(backups) == [] and state(backups) == "OK"

    cloud.clock.advance(hours=6)
    cloud.wait_quiet()
    assert len(alarms(backups)) == 1 and alarms(backups)[0].startswith("ALARM: ")
    assert state(backups) == "ALARM"

    cloud.client("events").enable_rule(Name=backups.start_rule)
    assert backups.night()["BackupStatus"] == "Success"
    cloud.clock.advance(hours=3)
    cloud.wait_quiet()
    assert state(backups) == "OK"
    assert len(alarms(backups)) == 1


def test_the_alarm_comes_too_when_nothing_of_the_stack_runs(deploy: Deploy) -> None:
    """The hourly rule is disabled, as if the function could not run any more."""
    backups = deploy(hourly=True)
    cloud = backups.cloud
    for rule in cloud.client("events").list_rules()["Rules"]:
        if rule.get("ScheduleExpression") and backups.stack.name in rule.get("Description", ""):
            cloud.client("events").disable_rule(Name=rule["Name"])

    cloud.clock.advance(hours=8)
    cloud.wait_quiet()

    assert len(alarms(backups)) == 1
