"""`make deploy` and `make restore`: where parameters come from, and the stacks that come of it."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from deployment.parameters import declared
from deployment.release import PROJECT, RESTORE
from localcloud import LocalCloud
from localcloud.solution import BackupStack, Release, Solution
from tests.cloud.clouds import fresh_cloud
from tests.cloud.deployment import BAD_USE, DONE, NOT_DONE, Deployment, Link, PublishedRelease, deployed, parsed
from tests.support.release import Built
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_zoo

import links

Parameters = dict[str, str]


@pytest.fixture(scope="module")
def solution(built: Built) -> Iterator[Solution]:
    """A release, published as a person does, a network and a source."""
    with fresh_cloud() as running:
        read = Release.read(built.directory)
        yield Solution(running, PublishedRelease(read.bucket, read.templates, read.assets, built.directory))


@pytest.fixture
def deployment(solution: Solution, built: Built) -> Deployment:
    return Deployment(solution.cloud, built.directory)


@pytest.fixture
def required(solution: Solution) -> Parameters:
    """What a backup stack must be told."""
    return {
        "SrcEFS": solution.source.id, "VpcId": solution.vpc, "Subnets": ",".join(solution.subnets),
        "Email": "ops@example.com",
    }  # fmt: skip


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A stack's name that only this test has."""
    return f"stack-{hashlib.sha256(request.node.name.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Nightly(BackupStack):
    """A backup stack that `make deploy` made, with a snapshot, and the restore link that came of it."""

    link: Link


@pytest.fixture(scope="module")
def backups(solution: Solution, built: Built) -> Nightly:
    subnets = ",".join(solution.subnets)
    given = {"SrcEFS": solution.source.id, "VpcId": solution.vpc, "Subnets": subnets, "Email": "ops@example.com"}
    ran = Deployment(solution.cloud, built.directory).run("deploy", STACK="nightly", **given).expect(DONE)
    (link,) = re.findall(r"^  restore: (\S+)$", ran.output, re.MULTILINE)
    solution.cloud.confirm(given["Email"])
    make_zoo(str(solution.source.path))
    stack = Nightly(solution, deployed(solution.cloud, "nightly"), given, parsed(link))
    assert stack.night()["BackupStatus"] == "Success"
    return stack


def parameters_of(cloud: LocalCloud, name: str) -> Parameters:
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {pair["ParameterKey"]: pair["ParameterValue"] for pair in stack["Parameters"]}


def exists(cloud: LocalCloud, name: str) -> bool:
    stacks = cloud.client("cloudformation").describe_stacks()["Stacks"]
    return name in [stack["StackName"] for stack in stacks]


def test_a_stack_has_what_it_was_given_and_defaults_for_the_rest(
    deployment: Deployment, required: Parameters, name: str, tmp_path: Path
) -> None:
    """The environment, which make's command line is a part of, goes before the file."""
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps({**required, "Retain": 14, "BackupSchedule": "cron(30 4 ? * SUN *)"}))
    ran = deployment.run("deploy", STACK=name, PARAMETERS=str(file), Retain="3").expect(DONE)

    given = parameters_of(deployment.cloud, name)
    assert given == given | required | {"Retain": "3", "BackupSchedule": "cron(30 4 ? * SUN *)", "BackupWindow": "180"}
    outputs = dict(re.findall(r"^  (\w+): (\S+)$", ran.output, re.MULTILINE))
    assert outputs["SourceEFS"] == required["SrcEFS"]
    assert outputs["BackupEFS"].startswith("fs-")


def test_a_parameter_file_of_the_aws_command_line_will_do(
    deployment: Deployment, required: Parameters, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "parameters.json"
    pairs = [{"ParameterKey": key, "ParameterValue": value} for key, value in {**required, "Dashboard": "No"}.items()]
    file.write_text(json.dumps(pairs))
    deployment.run("deploy", STACK=name, PARAMETERS=str(file)).expect(DONE)
    assert parameters_of(deployment.cloud, name)["Dashboard"] == "No"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"Retain": "0"}, "Retain='0': must be a whole number, at least 1"),
        ({"Retain": "many"}, "Retain='many': must be a whole number, at least 1"),
        ({"IntervalTag": "hourly"}, "IntervalTag='hourly': must be one of daily, weekly, monthly"),
        (
            {"Subnets": "subnet-1"},
            "Subnets='subnet-1': must be two subnets of the VPC, in different Availability Zones",
        ),
        ({"SrcEFS": "my files"}, "SrcEFS='my files': must be the id of an Amazon EFS file system"),
        ({"VpcId": ""}, "VpcId=''"),
        ({"STACK": "my_stack"}, "STACK='my_stack': use letters, digits and hyphens, a letter first, at most 64"),
        ({"STACK": "a" * 65}, "at most 64"),
        ({"PARAMETERS": "/nowhere.json"}, "PARAMETERS=/nowhere.json: there is no such file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_value_that_cannot_be_is_named_before_anything_is_made(
    deployment: Deployment, required: Parameters, name: str, wrong: Parameters, message: str
) -> None:
    ran = deployment.run("deploy", **{"STACK": name, **required, **wrong}).expect(BAD_USE)
    assert message in ran.errors
    assert not exists(deployment.cloud, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"Retian": 3}', "Retian is no parameter of the template: is Retain meant?"),
        ("Retain=3", "not JSON"),
        ('[{"Retain": 3}]', "write {"),
        ('{"Subnets": ["a", "b"]}', "write {"),
    ],
)
def test_a_parameter_file_that_is_none_is_refused(
    deployment: Deployment, required: Parameters, name: str, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "file").write_text(text)
    ran = deployment.run("deploy", STACK=name, PARAMETERS=str(tmp_path / "file"), **required).expect(BAD_USE)
    assert message in ran.errors
    assert not exists(deployment.cloud, name)


def test_what_is_missing_is_named_where_nobody_can_be_asked(
    deployment: Deployment, required: Parameters, name: str
) -> None:
    del required["SrcEFS"], required["Email"]
    ran = deployment.run("deploy", STACK=name, **required).expect(BAD_USE)
    assert "no value for SrcEFS (Source EFS), Email: set them as NAME=VALUE" in ran.errors


def at_a_terminal(command: list[str], environment: Parameters, answers: list[str]) -> tuple[int, str]:
    """Run a command for a person who types these answers; return its status and what was on the screen."""
    person, terminal = pty.openpty()
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    screen, asked = b"", 0
    while True:
        try:
            read = os.read(person, 4096)
        except OSError:
            break
        if not read:
            break
        screen += read
        while screen.count(b"> ") > asked:
            os.write(person, answers[asked].encode() + b"\n")
            asked += 1
    os.close(person)
    assert asked == len(answers)
    return process.wait(), screen.decode()


def test_a_person_is_asked_for_what_is_missing_until_it_can_be(
    deployment: Deployment, required: Parameters, name: str
) -> None:
    file_system = required.pop("SrcEFS")
    email = required.pop("Email")
    words = [sys.executable, "-m", "deployment", "deploy"]
    environment = deployment.environment(STACK=name, TERM="dumb", **required)
    status, screen = at_a_terminal(words, environment, ["fs-wrong!", file_system, email])
    assert status == DONE, screen
    assert "SrcEFS (Source EFS): The file system to back up" in screen
    assert "SrcEFS='fs-wrong!': must be the id of an Amazon EFS file system" in screen
    assert "Retain" not in screen, "what has a default is not asked for"
    assert parameters_of(deployment.cloud, name)["SrcEFS"] == file_system


def test_an_update_keeps_what_it_is_not_told(built: Built, name: str) -> None:
    """In a cloud of its own: what becomes of the stack is beyond the local cloud, which says so."""
    with fresh_cloud() as cloud:
        read = Release.read(built.directory)
        solution = Solution(cloud, PublishedRelease(read.bucket, read.templates, read.assets, built.directory))
        given = {"SrcEFS": solution.source.id, "VpcId": solution.vpc, "Subnets": ",".join(solution.subnets)}
        given |= {"Email": "ops@example.com", "Retain": "9", "IntervalTag": "weekly"}
        deployment = Deployment(cloud, built.directory)
        deployment.run("deploy", STACK=name, **given).expect(DONE)
        deployment.run("deploy", STACK=name, BackupWindow="240").expect(DONE)

        assert parameters_of(cloud, name) == parameters_of(cloud, name) | given | {"BackupWindow": "240"}
        calls = [call["operation"] for call in cloud.calls if call["parameters"].get("StackName") == name]
        assert (calls.count("CreateStack"), calls.count("UpdateStack")) == (1, 1)


def test_a_release_that_is_not_published_here_is_said(deployment: Deployment, required: Parameters, name: str) -> None:
    ran = deployment.run("deploy", STACK=name, AWS_REGION="eu-west-1", **required).expect(NOT_DONE)
    assert "s3://release-eu-west-1/efs-backup/v2.0.0/efs-to-efs-backup.template cannot be read" in ran.errors
    assert "publish it with: make publish BUCKET=release" in ran.errors


def test_why_a_stack_was_not_made_is_said(deployment: Deployment, required: Parameters, name: str) -> None:
    deployment.cloud.fault("error", service="ssm", operation="GetParameter", caller="function *", times=50)
    ran = deployment.run("deploy", STACK=name, **required).expect(NOT_DONE)
    deployment.cloud.clear_faults()
    assert f"the stack {name} ended in the state CREATE_FAILED" in ran.errors
    assert "AMIInfo" in ran.errors

    again = deployment.run("deploy", STACK=name, **required).expect(NOT_DONE)
    assert f"the stack {name} is in the state CREATE_FAILED: it cannot be used" in again.errors


def test_a_mistyped_name_on_make_s_command_line_is_no_default_taken_quietly(
    deployment: Deployment, required: Parameters, name: str
) -> None:
    words = [f"{key}={value}" for key, value in {**required, "BackupSchedule": "cron(0 2 * * ? *)"}.items()]
    command = ["make", "-o", "setup", "deploy", f"STACK={name}", *words, "Retian=3"]
    ran = subprocess.run(
        command, cwd=PROJECT, env=deployment.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode != 0
    assert "deployment: Retian is no parameter of the template: is Retain meant?" in ran.stderr
    assert not exists(deployment.cloud, name)


def empty_the_source(backups: Nightly) -> None:
    for entry in backups.source.iterdir():
        subprocess.run(["rm", "-rf", entry], check=True)


def test_a_restore_is_told_all_that_it_must_be_by_the_backup_stack(
    deployment: Deployment, backups: Nightly, name: str
) -> None:
    wanted = snapshot_of(str(backups.source))
    empty_the_source(backups)
    deployment.run("restore", FROM="nightly", STACK=name, Dashboard="No").expect(DONE)
    deployment.cloud.wait_quiet()

    assert_same(wanted, snapshot_of(str(backups.source)))
    given = parameters_of(deployment.cloud, name)
    outputs = backups.stack.outputs
    assert (given["DstEFS"], given["RestoreLogBucket"]) == (outputs["BackupEFS"], outputs["LogBucket"])
    assert (given["NotificationTopic"], given["Dashboard"]) == (outputs["SNSTopicArn"], "No")
    assert set(given) >= set(links.RESTORE_PARAMETERS), "all that the links in mails fill in"

    again = deployment.run("restore", FROM="nightly", STACK=name).expect(BAD_USE)
    assert f"STACK={name}: there is such a stack. A stack restores once" in again.errors


def test_the_restore_link_carries_what_it_promises_and_a_stack_from_it_works(
    deployment: Deployment, backups: Nightly, name: str
) -> None:
    link = backups.link
    known = {parameter.name: parameter for parameter in declared((deployment.directory / RESTORE).read_text())}
    assert set(link.parameters) <= set(known)
    assert {key for key, parameter in known.items() if parameter.default is None} <= set(link.parameters)
    assert not [value for key, value in link.parameters.items() if known[key].complaint(value)]

    wanted = snapshot_of(str(backups.source))
    empty_the_source(backups)
    assert "NotificationTopic" not in link.parameters, "nobody had confirmed when the stack was made"
    deployment.cloud.deploy(link.template, link.parameters, name)
    deployment.cloud.confirm(link.parameters["Email"])
    deployment.cloud.wait_quiet()
    assert_same(wanted, snapshot_of(str(backups.source)))


def test_a_restore_without_a_backup_stack_asks_for_everything(deployment: Deployment) -> None:
    ran = deployment.run("restore").expect(BAD_USE)
    assert "no value for SrcEFS (Source EFS), DstEFS (Backup EFS), RestoreLogBucket" in ran.errors
    unknown = deployment.run("restore", FROM="yesterday").expect(NOT_DONE)
    assert "there is no stack yesterday" in unknown.errors
