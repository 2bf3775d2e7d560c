"""The templates know every region with Amazon EFS, and the mappings that a user edits are as the guide shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import cfnlint
import pytest
from tests.templates.reading import BACKUP, RESTORE, template

PARTITIONS = ("aws", "aws-us-gov", "aws-cn")
ARM_FAMILIES = ("c6g", "c7g", "c8g", "m6g", "m7g", "r6g", "t4g")

both = pytest.mark.parametrize("path", [BACKUP, RESTORE], ids=["backup", "restore"])


def efs_regions() -> set[str]:
    session = boto3.session.Session()
    return {r for p in PARTITIONS for r in session.get_available_regions("efs", partition_name=p)}


def offers() -> dict[str, set[str]]:
    """Instance types by region, as cfn-lint knows them."""
    data = Path(cfnlint.__file__).parent / "data/schemas/extensions/aws_ec2_instance/instancetype_enum.json"
    return {
        region: set(types.get("enum", ())) for region, types in json.loads(data.read_text()).items() if "-" in region
    }


def sizes(path: Path) -> dict[str, str]:
    rows: dict[str, Any] = template(path)["Mappings"]["Map"]
    return {key: row["InstanceSize"] for key, row in rows.items() if "InstanceSize" in row}


def architectures(path: Path) -> dict[str, str]:
    rows: dict[str, Any] = template(path)["Mappings"]["Map"]
    return {key: row["Arch"] for key, row in rows.items() if "Arch" in row}


@both
def test_every_region_with_efs_has_an_instance_size_and_no_other(path: Path) -> None:
    assert set(sizes(path)) == efs_regions()


@both
def test_it_is_c5_xlarge_where_that_is_offered_and_one_that_is_offered_elsewhere(path: Path) -> None:
    offered = offers()
    for region, size in sizes(path).items():
        assert size in offered[region], region
        assert size == "c5.xlarge" or "c5.xlarge" not in offered[region], region


@both
def test_every_size_has_its_architecture(path: Path) -> None:
    known = architectures(path)
    assert set(sizes(path).values()) <= set(known)
    for instance_type, word in known.items():
        arm = instance_type.split(".")[0] in ARM_FAMILIES
        assert word == ("ARM64" if arm else "HVM64"), instance_type
    assert set(known.values()) == {"HVM64", "ARM64"}, "types of both architectures"


@both
def test_the_types_exist(path: Path) -> None:
    everywhere = set().union(*offers().values())
    assert set(architectures(path)) <= everywhere


@both
def test_the_mappings_read_as_in_the_guide(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert 'c5.xlarge: {"Arch": "HVM64"}' in text
    assert 'us-east-1: {"InstanceSize": "c5.xlarge"}' in text
    assert 'send-data: {"SendAnonymousData": "Yes"' in text


@both
def test_every_partition_has_its_console(path: Path) -> None:
    assert set(template(path)["Mappings"]["Partition"]) == set(PARTITIONS)


def test_both_templates_have_the_same_mappings() -> None:
    assert sizes(BACKUP) == sizes(RESTORE)
    assert architectures(BACKUP) == architectures(RESTORE)
