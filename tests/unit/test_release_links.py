"""Launch links in every partition, and the values of parameters: decisions as tables."""

from __future__ import annotations

import tomllib
from urllib.parse import parse_qs

import pytest
from deployment.aws import Account
from deployment.errors import UsageError
from deployment.links import launch_link, template_url
from deployment.parameters import Parameter, declared, given_to_make, mapping, regions, resolved
from deployment.release import BACKUP, PROJECT, RESTORE, TEMPLATES, Release

RELEASE = Release("release", "efs-backup", "v2.0.0")
TEXT = {name: (PROJECT / "templates" / name).read_text(encoding="utf-8") for name in TEMPLATES}


@pytest.mark.parametrize(
    ("name", "console", "bucket"),
    [
        ("eu-west-1", "https://eu-west-1.console.aws.amazon.com/", "release-eu-west-1.s3.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://cn-north-1.console.amazonaws.cn/", "release-cn-north-1.s3.cn-north-1.amazonaws.com.cn"),
        (
            "us-gov-west-1",
            "https://us-gov-west-1.console.amazonaws-us-gov.com/",
            "release-us-gov-west-1.s3.us-gov-west-1.amazonaws.com",
        ),
    ],
)
def test_a_link_leads_to_the_console_and_the_bucket_of_its_partition(name: str, console: str, bucket: str) -> None:
    region = Account().described(name, mapping(TEXT[BACKUP], "Partition"))
    link = launch_link(RELEASE, region, BACKUP)
    assert link.startswith(f"{console}cloudformation/home?region={name}#/stacks/create/review?")
    assert template_url(RELEASE, region, BACKUP) == f"https://{bucket}/efs-backup/v2.0.0/{BACKUP}"


def test_every_region_of_the_templates_has_links() -> None:
    names = regions(TEXT[BACKUP])
    assert names == regions(TEXT[RESTORE])
    consoles = mapping(TEXT[BACKUP], "Partition")
    assert len({launch_link(RELEASE, Account().described(name, consoles), RESTORE) for name in names}) == len(names)


def test_a_region_that_the_templates_do_not_know_is_named() -> None:
    with pytest.raises(UsageError, match="us-iso-east-1 is in aws-iso: the templates know aws, aws-cn, aws-us-gov"):
        Account().described("us-iso-east-1", mapping(TEXT[BACKUP], "Partition"))


@pytest.mark.parametrize("value", ["/a&b=c#d?e", "with blank", "+", "ü", "a,b", "arn:aws:sns:eu-west-1:1:t", "", "%41"])
def test_a_link_keeps_every_value_as_it_is(value: str) -> None:
    region = Account().described("eu-west-1", mapping(TEXT[BACKUP], "Partition"))
    link = launch_link(RELEASE, region, RESTORE, {"RestorePrefix": value, "BackupNum": "1"})
    fields = parse_qs(link.partition("/review?")[2], keep_blank_values=True, strict_parsing=True)
    assert fields["param_RestorePrefix"] == [value]
    assert fields["param_BackupNum"] == ["1"]


def test_mails_and_widget_offer_the_template_that_is_published() -> None:
    """The stack tells its functions where the restore template lies."""
    text = TEXT[BACKUP]
    for token, value in {**RELEASE.tokens, "${AWS::Region}": "eu-west-1", "${AWS::URLSuffix}": "amazonaws.com"}.items():
        text = text.replace(token, value)
    region = Account().described("eu-west-1", mapping(TEXT[BACKUP], "Partition"))
    assert f'RESTORE_TEMPLATE: !Sub "{template_url(RELEASE, region, RESTORE)}"' in text


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("", []),
        ("n", []),
        (" -- SrcEFS=fs-1 Email=a@b.c", ["SrcEFS", "Email"]),
        ("k -j2 --jobserver-auth=3,4 --no-print-directory -- BackupSchedule=cron(0\\ 2\\ *\\ *\\ ?\\ *) Retain=3",
         ["BackupSchedule", "Retain"]),
    ],
)  # fmt: skip
def test_the_names_on_make_s_command_line_are_known(flags: str, names: list[str]) -> None:
    assert given_to_make({"MAKEFLAGS": flags}) == names


def parameter(**given: object) -> Parameter:
    plain = {
        "name": "Name", "label": "A Label", "description": "", "type": "String", "default": None, "allowed": (),
        "pattern": "", "minimum": None, "constraint": "",
    }  # fmt: skip
    return Parameter(**(plain | given))  # type: ignore[arg-type]  # the tests below name only real fields


@pytest.mark.parametrize(
    ("given", "good", "bad"),
    [
        ({"allowed": ("Yes", "No")}, ["Yes"], ["yes", ""]),
        ({"type": "Number", "minimum": 1}, ["1", "170"], ["0", "-1", "one", "1.5", "nan", ""]),
        ({"type": "Number"}, ["0"], ["", "x"]),
        ({"pattern": "^fs-[0-9a-f]+$"}, ["fs-1"], ["fs-", "fs-1\n", "xfs-1"]),
        ({"pattern": "^(sg-1)?$", "default": ""}, ["", "sg-1"], ["sg-2"]),
        ({"type": "List<AWS::EC2::Subnet::Id>"}, ["a,b"], ["a", "a,a", "a,b,c", ""]),
        ({}, ["anything"], [""]),
    ],
)
def test_what_a_parameter_may_be(given: dict[str, object], good: list[str], bad: list[str]) -> None:
    declared_so = parameter(**given)
    assert [value for value in good if declared_so.complaint(value)] == []
    assert [value for value in bad if not declared_so.complaint(value)] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_default_of_the_templates_may_be(name: str) -> None:
    found = declared(TEXT[name])
    assert [
        each.complaint(each.default) for each in found if each.default is not None and each.complaint(each.default)
    ] == []
    assert len([each for each in found if each.default is None]) >= 4


def test_what_is_asked_for_is_looked_at_too() -> None:
    wanted = parameter(pattern="^good$")
    assert resolved([wanted, parameter(name="Other", default="x")], {}, lambda _: "good") == {"Name": "good"}
    with pytest.raises(UsageError, match="Name='bad'"):
        resolved([wanted], {}, lambda _: "bad")


def test_the_sam_command_line_finds_both_templates_of_a_release() -> None:
    settings = tomllib.loads((PROJECT / "samconfig.toml").read_text(encoding="utf-8"))
    found = {each["global"]["parameters"]["template_file"] for each in (settings["default"], settings["restore"])}
    assert found == {f"release/{name}" for name in TEMPLATES}
    for each in (settings["default"], settings["restore"]):
        assert each["validate"]["parameters"] == {"lint": True}
        assert each["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
