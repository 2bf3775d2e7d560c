"""A release built as `make release` builds it, and what is in its agent archive, as on an instance."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from deployment.__main__ import CACHE, INPUTS
from deployment.build import build
from deployment.inputs import verified
from deployment.release import AGENT, PROJECT, Release, project_version

BUCKET = "release"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Built:
    """A release on disk."""

    directory: Path
    release: Release

    def text(self, name: str) -> str:
        """Return the text of one of its files."""
        return (self.directory / name).read_text(encoding="utf-8")

    def unpack_agent(self, place: Path) -> Agent:
        """Unpack the agent as the user data does."""
        place.mkdir(exist_ok=True)
        subprocess.run(["tar", "-xzf", self.directory / AGENT, "-C", place], check=True)
        return Agent(place)

    def agent_names(self) -> list[str]:
        """Return the names in the agent's archive."""
        with tarfile.open(self.directory / AGENT) as archive:
            return archive.getnames()


@dataclass(frozen=True)
class Agent:
    """An unpacked agent."""

    root: Path

    def environment(self, machine: str = "x86_64") -> dict[str, str]:
        """Return an environment with the agent's own packages and programs, and none of this project's."""
        path = f"{self.root}/fpart/{machine}/bin:{SYSTEM_PATH}"
        return {"PATH": path, "PYTHONPATH": str(self.root / "lib"), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C"}

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the system's Python with the agent's packages and no others."""
        command = ["/usr/bin/python3", "-S", *arguments]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)


def checkout(place: Path) -> Path:
    """Copy this source tree: to another folder, with nothing built, and the inputs of a build linked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        if (PROJECT / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, place / name)
    (place / "build").mkdir()
    (place / "build" / "inputs").symlink_to(INPUTS)
    return place


def build_release(directory: Path, bucket: str = BUCKET) -> Built:
    """Build a release from this source tree."""
    release = Release(bucket, "efs-backup", project_version())
    build(release, verified(INPUTS), CACHE, directory)
    return Built(directory, release)
