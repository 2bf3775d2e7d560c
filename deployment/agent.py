"""The archive that an instance fetches: scripts, the engine, its dependencies, fpart."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from deployment.archives import Entry, read_entry
from deployment.errors import DeploymentError
from deployment.fpart import fpart_entries
from deployment.inputs import Inputs
from deployment.release import PROJECT

SCRIPTS = ("boot.sh", "ssm.sh")
SOURCE = PROJECT / "ec2-scripts"
PACKAGE = "efs_backup"

SERVICES = ("autoscaling", "cloudwatch", "dynamodb", "efs", "s3", "sns")
"""The AWS services that the agent calls. botocore describes 400 services in 16 MB; only these go in."""

PURE_PYTHON = "-none-any.whl"
DESCRIPTION = re.compile(r"botocore/data/(?P<service>[^/]+)/(?P<version>[^/]+)/.+")
UNUSED = re.compile(r"botocore/data/.+/examples-1\.json|boto3/(examples|data)/.+|.+\.(pyi|rst)|.+\.dist-info/RECORD")
"""Examples, stubs, boto3's resource objects, whose place the plain clients take, and lists of what is not there."""


def agent_entries(inputs: Inputs, cache: Path) -> Iterator[Entry]:
    """Yield the files of the agent's archive.

    Raises:
        DeploymentError: one is missing, or a dependency is not pure Python.
    """
    yield from _scripts()
    yield read_entry(PROJECT / "LICENSE", "LICENSE")
    yield from _package()
    for wheel in inputs.wheels:
        yield from wheel_entries(wheel)
    yield from fpart_entries(inputs.fpart, cache)


def _scripts() -> Iterator[Entry]:
    for name in SCRIPTS:
        path = SOURCE / name
        if not path.exists():
            raise DeploymentError(f"{path} is missing: an instance could not start the agent")
        yield Entry(name, path.read_bytes(), executable=True)


def _package() -> Iterator[Entry]:
    for path in sorted((SOURCE / PACKAGE).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield read_entry(path, f"lib/{path.relative_to(SOURCE).as_posix()}")


def wheel_entries(path: Path) -> Iterator[Entry]:
    """Yield what the agent needs of a wheel.

    Raises:
        DeploymentError: it is not pure Python.
    """
    if not path.name.endswith(PURE_PYTHON):
        raise DeploymentError(f"{path.name} is not pure Python: it would run on one architecture only")
    with zipfile.ZipFile(path) as wheel:
        for name in needed(wheel.namelist()):
            yield Entry(f"lib/{name}", wheel.read(name))


def needed(names: Iterable[str]) -> list[str]:
    """Return those files of a wheel that the agent needs: of a service it calls, only the newest description."""
    files = [name for name in names if not name.endswith("/") and not UNUSED.fullmatch(name)]
    found = [match for match in map(DESCRIPTION.fullmatch, files) if match]
    newest = {match["service"]: match["version"] for match in sorted(found, key=lambda match: match["version"])}
    left_out = {m[0] for m in found if m["service"] not in SERVICES or m["version"] != newest[m["service"]]}
    return [name for name in files if name not in left_out]
