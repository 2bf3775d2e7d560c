"""What a release says about itself: its files' checksums, and what is in its archives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deployment.archives import Entry
from deployment.errors import DeploymentError
from deployment.release import CHECKSUMS, MANIFEST, Release


def sha256(data: bytes) -> str:
    """Return a checksum."""
    return hashlib.sha256(data).hexdigest()


def listing(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return the names, sizes and checksums of files."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    return [{"name": entry.name, "bytes": len(entry.data), "sha256": sha256(entry.data)} for entry in ordered]


def write_manifest(directory: Path, release: Release, facts: Mapping[str, Any]) -> None:
    """Write what the release in ``directory`` is called, what it was made from, and its files; then all checksums."""
    files = listing(Entry(path.name, path.read_bytes()) for path in directory.iterdir())
    manifest = {**asdict(release), "files": files, **facts}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    lines = [f"{sha256(path.read_bytes())}  {path.name}\n" for path in sorted(directory.iterdir())]
    (directory / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def read_release(directory: Path) -> Release:
    """Return the release in ``directory``, after a look at every file's checksum.

    Raises:
        DeploymentError: there is none, or it is not as it was built.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        lines = (directory / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DeploymentError(f"there is no release in {directory}: build one with: make release") from error
    for wanted, name in (line.split("  ", 1) for line in lines):
        path = directory / name
        if not path.exists() or sha256(path.read_bytes()) != wanted:
            raise DeploymentError(f"{path} is not as it was built: build the release again with: make release")
    return Release(manifest["bucket"], manifest["solution"], manifest["version"])
