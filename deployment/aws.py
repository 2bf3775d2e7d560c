"""The AWS account that the commands work in, as the environment and the AWS configuration say."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

from deployment.errors import UsageError
from deployment.links import Partition, Region

PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 5}, read_timeout=150)
"""Longer than a function may run."""


class Account:
    """The account, its default region, and clients for it."""

    def __init__(self) -> None:
        """Read the configuration; nothing is called yet. AWS_REGION counts here, as it does everywhere but in boto3."""
        self._session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)

    @property
    def region(self) -> str:
        """The region that is configured.

        Raises:
            UsageError: none is.
        """
        if not self._session.region_name:
            raise UsageError("no region: set AWS_REGION=…, or region in your AWS configuration")
        return str(self._session.region_name)

    @cached_property
    def id(self) -> str:
        """The account's number."""
        return str(self.client("sts").get_caller_identity()["Account"])

    def client(self, service: str, region: str | None = None) -> Any:
        """Return a client."""
        return self._session.client(service, region_name=region or self.region, config=PATIENT)

    def partition(self, region: str) -> str:
        """Return the partition of a region, such as aws-cn."""
        return str(self._session.get_partition_for_region(region))

    def enabled_regions(self) -> set[str]:
        """Return the regions that this account may use."""
        found = self.client("ec2").describe_regions()["Regions"]
        return {region["RegionName"] for region in found}

    def described(self, region: str, consoles: dict[str, dict[str, str]]) -> Region:
        """Return a region with what its addresses look like; ``consoles`` is the templates' mapping of partitions.

        Raises:
            UsageError: it is in another partition.
        """
        partition = self.partition(region)
        if partition not in consoles:
            raise UsageError(f"{region} is in {partition}: the templates know {', '.join(sorted(consoles))}")
        suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
        return Region(region, Partition(consoles[partition]["Console"], suffix))
