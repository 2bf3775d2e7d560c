"""`make publish`: what it puts where, who may read it, and the launch links it gives out."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from deployment.parameters import declared, regions
from deployment.release import BACKUP, PROJECT, RESTORE, TEMPLATES
from localcloud import LocalCloud
from tests.cloud.clouds import fresh_cloud
from tests.cloud.deployment import BAD_USE, DONE, NOT_DONE, Deployment, parsed, readme
from tests.support.release import Built, build_release, checkout

LINK = re.compile(r"https://\S+?#/stacks/create/review\?[^\s)]+")


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with fresh_cloud() as running:
        yield running


@pytest.fixture
def deployment(cloud: LocalCloud, tmp_path: Path, request: pytest.FixtureRequest) -> Deployment:
    """A release for buckets that only this test has."""
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    return Deployment(cloud, build_release(tmp_path / "release", f"of-{name}").directory)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return readme(tmp_path / "README.md")


def bucket_of(deployment: Deployment, region: str = "us-east-1") -> str:
    return f"{json.loads((deployment.directory / 'manifest.json').read_text())['bucket']}-{region}"


def published(cloud: LocalCloud, bucket: str) -> dict[str, bytes]:
    s3 = cloud.client("s3")
    listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in listed}


def change(directory: Path, name: str) -> None:
    """Make another release of it, in which one file is different."""
    data = (directory / name).read_bytes() + b" "
    (directory / name).write_bytes(data)
    sums = (directory / "SHA256SUMS").read_text()
    changed = re.sub(rf"[0-9a-f]{{64}}  {re.escape(name)}\n", f"{hashlib.sha256(data).hexdigest()}  {name}\n", sums)
    (directory / "SHA256SUMS").write_text(changed)


def policy(cloud: LocalCloud, bucket: str) -> list[dict[str, Any]]:
    found = json.loads(cloud.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    return list(found["Statement"])


def test_every_file_of_the_release_arrives_the_templates_last(deployment: Deployment, page: Path) -> None:
    deployment.run("publish", "--readme", str(page)).expect(DONE)

    there = published(deployment.cloud, bucket_of(deployment))
    files = {f"efs-backup/v2.0.0/{path.name}": path.read_bytes() for path in deployment.directory.iterdir()}
    assert there == files
    puts = [call["parameters"] for call in deployment.cloud.calls if call["operation"] == "PutObject"]
    order = [put["Key"].rpartition("/")[2] for put in puts if put["Bucket"] == bucket_of(deployment)]
    assert sorted(order[-2:]) == sorted(TEMPLATES)
    assert len(order) == len(files)


def test_a_new_bucket_is_private(deployment: Deployment, page: Path) -> None:
    deployment.run("publish", "--readme", str(page)).expect(DONE)

    s3, bucket = deployment.cloud.client("s3"), bucket_of(deployment)
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    (only_tls,) = policy(deployment.cloud, bucket)
    assert (only_tls["Effect"], only_tls["Action"]) == ("Deny", "s3:*")
    assert only_tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_everyone_or_an_organization_may_read_if_that_is_said(deployment: Deployment, page: Path) -> None:
    cloud, bucket = deployment.cloud, bucket_of(deployment)
    deployment.run("publish", "--readme", str(page), ACCESS="public").expect(DONE)
    tls, read = policy(cloud, bucket)
    assert read == {
        "Sid": "Read", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }  # fmt: skip
    assert tls["Effect"] == "Deny"
    block = cloud.client("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert block == {
        "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": False, "RestrictPublicBuckets": False,
    }  # fmt: skip

    deployment.run("publish", "--readme", str(page)).expect(DONE)
    assert policy(cloud, bucket) == [tls, read], "a bucket keeps its access until another one is said"

    deployment.run("publish", "--readme", str(page), ACCESS="o-a1b2c3d4e5").expect(DONE)
    _, read = policy(cloud, bucket)
    assert read["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
    block = cloud.client("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}


def test_publishing_again_changes_nothing(deployment: Deployment, page: Path) -> None:
    deployment.run("publish", "--readme", str(page)).expect(DONE)
    before = page.read_text()
    deployment.run("publish", "--readme", str(page)).expect(DONE)
    versions = deployment.cloud.client("s3").list_object_versions(Bucket=bucket_of(deployment))["Versions"]
    assert len(versions) == len(list(deployment.directory.iterdir()))
    assert page.read_text() == before


def test_what_is_published_is_never_replaced(deployment: Deployment, page: Path) -> None:
    """A stack knows the checksum of its agent: with another one its backups would fail."""
    deployment.run("publish", "--readme", str(page), REGIONS="us-east-1").expect(DONE)
    there = published(deployment.cloud, bucket_of(deployment))
    change(deployment.directory, "orchestrator.zip")

    ran = deployment.run("publish", "--readme", str(page), REGIONS="eu-west-1 us-east-1").expect(NOT_DONE)
    assert "v2.0.0 is published already, with other content in 2 files" in ran.errors
    assert published(deployment.cloud, bucket_of(deployment)) == there
    assert published(deployment.cloud, bucket_of(deployment, "eu-west-1")) == {}, "nor put beside it anywhere"


def test_an_upload_that_was_cut_off_is_carried_on(deployment: Deployment, page: Path) -> None:
    cloud, bucket = deployment.cloud, bucket_of(deployment)
    cloud.fault("error", service="s3", operation="PutObject", first=4, times=30)
    deployment.run("publish", "--readme", str(page)).expect(NOT_DONE)
    cloud.clear_faults()
    assert 0 < len(published(cloud, bucket)) < len(list(deployment.directory.iterdir()))
    assert not [key for key in published(cloud, bucket) if key.endswith(".template")]
    assert "nothing yet" in page.read_text(), "no button leads to what is not there"

    deployment.run("publish", "--readme", str(page)).expect(DONE)
    assert len(published(cloud, bucket)) == len(list(deployment.directory.iterdir()))


def test_a_bucket_that_holds_something_else_is_left_alone(deployment: Deployment, page: Path) -> None:
    s3, bucket = deployment.cloud.client("s3"), bucket_of(deployment)
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="holidays.jpg", Body=b"sun")
    ran = deployment.run("publish", "--readme", str(page)).expect(NOT_DONE)
    assert f"the bucket {bucket} holds something else than releases" in ran.errors
    assert list(published(deployment.cloud, bucket)) == ["holidays.jpg"]
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"REGIONS": "mars-north-1"}, "REGIONS: 'mars-north-1' is no region with Amazon EFS that the templates know"),
        ({"ACCESS": "friends"}, "ACCESS='friends': say private, public, or the id of an organization"),
        ({"AWS_REGION": ""}, "no region: set AWS_REGION=…"),
    ],
)
def test_what_makes_no_sense_is_said(
    deployment: Deployment, page: Path, variables: dict[str, str], message: str
) -> None:
    ran = deployment.run("publish", "--readme", str(page), **variables).expect(BAD_USE)
    assert message in ran.errors
    with pytest.raises(ClientError, match="404"):
        deployment.cloud.client("s3").head_bucket(Bucket=bucket_of(deployment))


@pytest.mark.slow
def test_all_regions_are_those_that_the_account_may_use(deployment: Deployment, page: Path) -> None:
    ran = deployment.run("publish", "--readme", str(page), REGIONS="all").expect(DONE)
    enabled = {region["RegionName"] for region in deployment.cloud.client("ec2").describe_regions()["Regions"]}
    reached = {parsed(link).region for link in LINK.findall(ran.output)}
    assert reached == enabled & set(regions((deployment.directory / BACKUP).read_text()))
    assert len(reached) > 10
    for region in reached:
        assert published(deployment.cloud, bucket_of(deployment, region))


def test_the_buttons_go_between_their_markers(deployment: Deployment, page: Path) -> None:
    before = page.read_text().split("nothing yet")
    ran = deployment.run("publish", "--readme", str(page), REGIONS="us-east-1 eu-west-1").expect(DONE)
    after = page.read_text()
    assert after.startswith(before[0])
    assert after.endswith(before[1])
    assert LINK.findall(after) == LINK.findall(ran.output)
    assert {parsed(link).region for link in LINK.findall(after)} == {"us-east-1", "eu-west-1"}
    for image in re.findall(r"\((docs/\S+?)\)", after):
        assert (PROJECT / image).exists()

    missing = deployment.run("publish", "--readme", f"{page}.txt").expect(NOT_DONE)
    assert f"No such file or directory: '{page}.txt'" in missing.errors
    page.write_text("no markers")
    refused = deployment.run("publish", "--readme", str(page)).expect(NOT_DONE)
    assert "the README has no lines <!-- launch links" in refused.errors


def test_a_launch_link_promises_what_it_carries(deployment: Deployment, page: Path) -> None:
    """The template of the region, a name, and the template's own defaults for everything else."""
    ran = deployment.run("publish", "--readme", str(page), REGIONS="us-east-1 eu-west-1").expect(DONE)
    found = [parsed(link) for link in LINK.findall(ran.output)]
    assert [(link.region, link.fields["stackName"]) for link in found] == [
        (region, name) for region in ("us-east-1", "eu-west-1") for name in ("efs-backup", "efs-restore")
    ]
    for link, template in zip(found, (BACKUP, RESTORE) * 2, strict=True):
        assert set(link.fields) == {"templateURL", "stackName"}
        bucket = bucket_of(deployment, link.region)
        assert link.template == f"https://{bucket}.s3.{link.region}.amazonaws.com/efs-backup/v2.0.0/{template}"
        body = published(deployment.cloud, bucket)[f"efs-backup/v2.0.0/{template}"]
        assert {parameter.name for parameter in declared(body.decode())} >= {"SrcEFS", "VpcId", "Subnets", "Email"}


def test_a_fresh_checkout_publishes_with_one_command(cloud: LocalCloud, built: Built, tmp_path: Path) -> None:
    place = checkout(tmp_path / "clone")
    (place / ".venv").symlink_to(PROJECT / ".venv")
    shutil.copytree(
        PROJECT / "build", place / "build", dirs_exist_ok=True, ignore=lambda _, names: {"inputs"} & {*names}
    )
    environment = Deployment(cloud, tmp_path / "release").environment()
    command = ["make", "-o", "setup", "-o", "setup-release", "publish"]
    nowhere = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert nowhere.returncode != 0
    assert "say where: make publish BUCKET=…" in nowhere.stderr

    words = [*command, "BUCKET=of-a-clone", "REGIONS=us-west-2"]
    ran = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"efs-backup/v2.0.0/{BACKUP}" in published(cloud, "of-a-clone-us-west-2")
    assert LINK.findall((place / "README.md").read_text()) == LINK.findall(ran.stdout)
