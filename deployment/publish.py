"""Uploads a release to a bucket in each region, and gives out the launch links."""

from __future__ import annotations

from pathlib import Path

from deployment.aws import Account
from deployment.buckets import Access, Bucket
from deployment.errors import DeploymentError, UsageError
from deployment.links import Region, buttons, with_buttons
from deployment.parameters import mapping, regions
from deployment.release import BACKUP, Release

ALL = "all"


def publish(
    account: Account, release: Release, directory: Path, wanted: list[str], access: Access | None
) -> list[Region]:
    """Upload the release in ``directory`` to the buckets of the wanted regions, and return the regions.

    Nothing is uploaded anywhere if this version is published with other content somewhere.

    Raises:
        DeploymentError: it is, or a bucket cannot be used.
    """
    template = (directory / BACKUP).read_text(encoding="utf-8")
    names = _regions(account, wanted, regions(template))
    places = [_bucket(account, release, name) for name in names]
    for place in places:
        place.prepare(access)
    changed = [f"s3://{place.name}/{key}" for place in places for key in place.differing(release, directory)]
    if changed:
        raise DeploymentError(
            f"{release.version} is published already, with other content in {len(changed)} files, such as {changed[0]}."
            " Stacks rely on it: raise the version in setup.cfg, or publish in another folder with SOLUTION=…"
        )
    for place in places:
        place.upload(release, directory)
    consoles = mapping(template, "Partition")
    return [account.described(name, consoles) for name in names]


def fill_readme(path: Path, release: Release, at: list[Region]) -> None:
    """Write the launch buttons into the README."""
    text = with_buttons(path.read_text(encoding="utf-8"), buttons(release, at))
    path.write_text(text, encoding="utf-8")


def _bucket(account: Account, release: Release, region: str) -> Bucket:
    client = account.client("s3", region)
    return Bucket(release.bucket_in(region), region, account.partition(region), account.id, client)


def _regions(account: Account, wanted: list[str], possible: list[str]) -> list[str]:
    if wanted == [ALL]:
        enabled = account.enabled_regions()
        return [name for name in possible if name in enabled]
    for name in wanted:
        if name not in possible:
            raise UsageError(f"REGIONS: {name!r} is no region with Amazon EFS that the templates know")
    return wanted or _regions(account, [account.region], possible)
