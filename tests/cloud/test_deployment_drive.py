"""`make backup-now`, `make stop-now`, `make test-mail`: a person drives a backup stack from the command line."""

from __future__ import annotations

import pytest
from localcloud.solution import BACKUP_TEMPLATE, BackupStack, Solution
from tests.cloud.conftest import Deploy
from tests.cloud.deployment import DONE, NOT_DONE, Deployment
from tests.cloud.nights import copied, slow_copying
from tests.support.changes import content
from tests.support.release import Built
from tests.support.zoo import write


@pytest.fixture
def deployment(backups: BackupStack, built: Built) -> Deployment:
    return Deployment(backups.cloud, built.directory)


def test_back_up_now(backups: BackupStack, deployment: Deployment) -> None:
    write(str(backups.source / "file"), content(1, 5000))
    ran = deployment.run("backup-now", STACK="nightly").expect(DONE)
    assert ran.output.startswith("nightly: the backup starts: ")
    backups.cloud.wait_quiet()

    (item,) = backups.items
    assert item["BackupStatus"] == "Success"
    assert "manual" in item["BackupId"]
    assert (backups.snapshot() / "file").read_bytes() == content(1, 5000)
    assert backups.leftovers() == []


def test_a_backup_that_is_not_started_is_not_done(deploy: Deploy, built: Built) -> None:
    """One backup at a time: the second is told who runs. Then the first is stopped, and the next one carries on."""
    backups = deploy(edit=slow_copying)
    deployment = Deployment(backups.cloud, built.directory)
    for number in range(400):
        write(str(backups.source / "files" / str(number)), content(number, 20_000))
    deployment.run("backup-now", STACK="nightly").expect(DONE)
    refused = deployment.run("backup-now", STACK="nightly").expect(NOT_DONE)
    running = backups.running
    assert running is not None
    assert f"no backup was started: backup {running['RunningBackupId']}" in refused.errors

    backups.cloud.wait_for(lambda: copied(backups) > 20, "the first files to be copied", 120)
    stopped = deployment.run("stop-now", STACK="nightly").expect(DONE)
    assert "the backup is to stop" in stopped.output
    backups.cloud.wait_quiet()
    assert backups.leftovers() == []
    statuses = {item["BackupId"]: item["BackupStatus"] for item in backups.items}
    assert statuses[running["RunningBackupId"]] == "Incomplete"

    assert backups.night()["BackupStatus"] == "Success"
    assert len(list((backups.snapshot() / "files").iterdir())) == 400


def test_there_is_nothing_to_stop(backups: BackupStack, deployment: Deployment) -> None:
    assert deployment.run("stop-now", STACK=backups.stack.name).expect(DONE).output == "nightly: no backup runs\n"


def test_an_orchestrator_that_fails_is_said(backups: BackupStack, deployment: Deployment) -> None:
    cloud = backups.cloud
    with cloud.expecting_problems() as seen:
        cloud.fault("error", service="dynamodb", caller="function *", times=200)
        ran = deployment.run("backup-now", STACK="nightly").expect(NOT_DONE)
        cloud.clear_faults()
    assert "nightly: the orchestrator failed: " in ran.errors
    assert seen


@pytest.mark.parametrize("command", ["backup-now", "stop-now", "test-mail"])
def test_a_stack_that_is_none_is_said(backups: BackupStack, deployment: Deployment, command: str) -> None:
    ran = deployment.run(command, STACK="yesterday").expect(NOT_DONE)
    assert "there is no stack yesterday: name yours with STACK=…" in ran.errors


def test_a_test_mail_that_nobody_would_get_is_not_sent(solution: Solution, built: Built) -> None:
    given = {"SrcEFS": solution.source.id, "VpcId": solution.vpc, "Subnets": ",".join(solution.subnets)}
    given["Email"] = "nobody@example.com"
    stack = solution.cloud.deploy(solution.template(BACKUP_TEMPLATE), given, "unconfirmed")
    ran = Deployment(solution.cloud, built.directory).run("test-mail", STACK="unconfirmed").expect(NOT_DONE)
    assert "nobody@example.com must first follow the link in the mail" in ran.errors
    assert [call for call in solution.cloud.calls if call["operation"] == "Publish" and call["caller"] == "user"] == []
    solution.cloud.delete(stack)


def test_a_test_mail_arrives(backups: BackupStack, deployment: Deployment) -> None:
    ran = deployment.run("test-mail", STACK="nightly").expect(DONE)
    assert ran.output == f"nightly: sent to {backups.parameters['Email']}\n"
    mail = backups.mails[-1]
    assert (mail.to, mail.subject) == (backups.parameters["Email"], "EFS backup test: nightly")
    assert "nightly" in mail.body
