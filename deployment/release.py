"""What a release is called, and where it will lie. Pure."""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from pathlib import Path

from deployment.errors import UsageError

PROJECT = Path(__file__).resolve().parent.parent
SOLUTION = "efs-backup"

BACKUP, RESTORE = "efs-to-efs-backup.template", "efs-to-efs-restore.template"
TEMPLATES = (BACKUP, RESTORE)
AGENT = "efs-backup-agent.tar.gz"
MANIFEST, CHECKSUMS = "manifest.json", "SHA256SUMS"

BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,46}[a-z0-9]")
"""The name of a bucket must leave room for a hyphen and the longest name of a region, and hold no dot: TLS."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Release:
    """A release: the start of its buckets' names, its folder in them, and its version, like v2.0.0."""

    bucket: str
    solution: str
    version: str

    def __post_init__(self) -> None:
        """Refuse names that no bucket or template could have."""
        if not BUCKET.fullmatch(self.bucket):
            raise UsageError(
                f"BUCKET={self.bucket!r} cannot start the name of a bucket: use 3 to 48 lower-case letters, digits and"
                " hyphens, such as BUCKET=my-company-efs-backup"
            )
        if not NAME.fullmatch(self.solution):
            raise UsageError(
                f"SOLUTION={self.solution!r} is no folder: use letters, digits, dots, hyphens, underscores"
            )

    @property
    def prefix(self) -> str:
        """The folder of this version in each bucket."""
        return f"{self.solution}/{self.version}"

    @property
    def tokens(self) -> dict[str, str]:
        """What stands in the templates for the names, and the names."""
        return {"%%BUCKET%%": self.bucket, "%%SOLUTION%%": self.solution, "%%VERSION%%": self.version}

    def bucket_in(self, region: str) -> str:
        """Return the name of the bucket of a region."""
        return f"{self.bucket}-{region}"

    def key(self, name: str) -> str:
        """Return the key of a file of the release."""
        return f"{self.prefix}/{name}"


def project_version(project: Path = PROJECT) -> str:
    """Return the version of this source tree as releases have it, like v2.0.0."""
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read(project / "setup.cfg", encoding="utf-8")
    return f"v{parsed['metadata']['version']}"
