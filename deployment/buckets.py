"""The buckets of a release: made, given the right access, filled.

A bucket is only changed if it was made for releases, which its tag says, or is empty. What is published stays as it is:
stacks fetch it again with every backup, and know its checksum.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from deployment.errors import DeploymentError, UsageError
from deployment.release import TEMPLATES, Release

TAG = {"Key": "efs-backup", "Value": "release"}
PRIVATE, PUBLIC = "private", "public"
ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")


@dataclass(frozen=True)
class Access:
    """Who may read a release: the account alone, an organization, or everyone."""

    who: str

    def __post_init__(self) -> None:
        """Refuse what is none of these."""
        if self.who not in (PRIVATE, PUBLIC) and not ORGANIZATION.fullmatch(self.who):
            raise UsageError(
                f"ACCESS={self.who!r}: say private, public, or the id of an organization, such as o-a1b2c3d4e5"
            )

    @property
    def public(self) -> bool:
        """Whether everyone may."""
        return self.who == PUBLIC

    def policy(self, arn: str) -> dict[str, Any]:
        """Return the policy of a bucket with this ARN."""
        everything = [arn, f"{arn}/*"]
        insecure = {"Bool": {"aws:SecureTransport": "false"}}
        tls = {"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": everything}
        statements: list[dict[str, Any]] = [{**tls, "Condition": insecure}]
        if self.who != PRIVATE:
            read = {
                "Sid": "Read",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"{arn}/*",
            }
            within = {} if self.public else {"Condition": {"StringEquals": {"aws:PrincipalOrgID": self.who}}}
            statements.append({**read, **within})
        return {"Version": "2012-10-17", "Statement": statements}


@dataclass(frozen=True)
class Bucket:
    """A bucket of one region, as one account sees it."""

    name: str
    region: str
    partition: str
    account: str
    s3: Any

    def prepare(self, access: Access | None) -> None:
        """Make the bucket if it is missing, and give it the access; without one, a bucket that is there keeps its own.

        Raises:
            DeploymentError: somebody else owns it, or it holds something else.
        """
        if not self._exists():
            location = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
            extra = {"CreateBucketConfiguration": location} if location else {}
            self.s3.create_bucket(Bucket=self.name, **extra)
            access = access or Access(PRIVATE)
        elif not self._is_ours():
            self._refuse_unless_empty()
            access = access or Access(PRIVATE)
        if access is not None:
            self._set(access)

    def differing(self, release: Release, directory: Path) -> list[str]:
        """Return the keys that are published with another content than in ``directory``."""
        paths = sorted(directory.iterdir())
        return [
            release.key(path.name)
            for path in paths
            if self.checksum(release.key(path.name)) not in (None, _sha256(path))
        ]

    def upload(self, release: Release, directory: Path) -> None:
        """Put the files of a release into the bucket; the templates last: who sees one finds all that it fetches."""
        for path in sorted(directory.iterdir(), key=lambda path: (path.name in TEMPLATES, path.name)):
            if self.checksum(release.key(path.name)) is not None:
                continue  # published before, with the same content
            self.s3.put_object(
                Bucket=self.name,
                Key=release.key(path.name),
                Body=path.read_bytes(),
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=_sha256(path),
                ExpectedBucketOwner=self.account,
            )

    def checksum(self, key: str) -> str | None:
        """Return the SHA-256 of what lies at a key, or None if nothing does."""
        try:
            found = self.s3.head_object(
                Bucket=self.name, Key=key, ChecksumMode="ENABLED", ExpectedBucketOwner=self.account
            )
        except ClientError as error:
            if _status(error) == 404:
                return None
            raise
        return str(found.get("ChecksumSHA256", "unknown"))

    def _exists(self) -> bool:
        try:
            self.s3.head_bucket(Bucket=self.name, ExpectedBucketOwner=self.account)
        except ClientError as error:
            if _status(error) == 404:
                return False
            if _status(error) == 403:
                raise DeploymentError(
                    f"the bucket {self.name} is not yours, or you may not read it: choose another BUCKET"
                ) from error
            raise
        return True

    def _is_ours(self) -> bool:
        try:
            return TAG in self.s3.get_bucket_tagging(Bucket=self.name)["TagSet"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchTagSet":
                return False
            raise

    def _refuse_unless_empty(self) -> None:
        if self.s3.list_objects_v2(Bucket=self.name, MaxKeys=1).get("KeyCount", 0):
            raise DeploymentError(
                f"the bucket {self.name} holds something else than releases: choose another BUCKET, or give it the tag"
                f" {TAG['Key']}={TAG['Value']}"
            )

    def _set(self, access: Access) -> None:
        """The tag comes first: a run that ends here can be repeated."""
        self.s3.put_bucket_tagging(Bucket=self.name, Tagging={"TagSet": [TAG]})
        self.s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})
        block = {"BlockPublicAcls": True, "IgnorePublicAcls": True}
        block |= dict.fromkeys(("BlockPublicPolicy", "RestrictPublicBuckets"), not access.public)
        self.s3.put_public_access_block(Bucket=self.name, PublicAccessBlockConfiguration=block)
        policy = access.policy(f"arn:{self.partition}:s3:::{self.name}")
        self.s3.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))


def _sha256(path: Path) -> str:
    """Return a checksum as Amazon S3 writes it."""
    return base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
