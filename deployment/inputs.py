"""What a build takes from elsewhere: pinned by checksum, fetched once, then read from a folder.

Python packages come from the configured package index through pip, the source of fpart from Debian's archive through
apt, which also checks Debian's signature. Only :func:`fetch` touches the network.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deployment.errors import DeploymentError
from deployment.programs import run
from deployment.release import PROJECT

REQUIREMENTS = PROJECT / "deployment" / "agent-requirements.txt"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Input:
    """A file from elsewhere."""

    name: str
    version: str
    sha256: str


FPART = Input("fpart", "1.7.0", "61ce1603edba028495ab25d11007950bd932c9b01c11a8940d2b88cd3eac69e8")
FPART_PACKAGE, FPART_SUITE = "1.7.0-1", "trixie"
FPART_SOURCE = f"fpart_{FPART.version}.orig.tar.gz"


@dataclass(frozen=True)
class Inputs:
    """All that a build needs, verified."""

    wheels: tuple[Path, ...]
    fpart: Path


def wheel_pins() -> list[Input]:
    """Return the Python packages of the agent."""
    lines = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return [Input(**_parsed(line)) for line in lines]


def missing(directory: Path) -> list[str]:
    """Return what is not in ``directory``, or is there with other content than the pinned one."""
    known = _by_checksum(directory)
    return [f"{pin.name} {pin.version}" for pin in (*wheel_pins(), FPART) if pin.sha256 not in known]


def verified(directory: Path) -> Inputs:
    """Return the inputs from ``directory``.

    Raises:
        DeploymentError: some are not there.
    """
    if lacking := missing(directory):
        raise DeploymentError(f"{directory} lacks {', '.join(lacking)}: fetch them with: python -m deployment fetch")
    known = _by_checksum(directory)
    return Inputs(tuple(known[pin.sha256] for pin in wheel_pins()), known[FPART.sha256])


def fetch(directory: Path) -> None:
    """Fetch what is missing in ``directory``.

    Raises:
        DeploymentError: it is not to be had, or is not what was pinned.
    """
    directory.mkdir(parents=True, exist_ok=True)
    known = _by_checksum(directory)
    if any(pin.sha256 not in known for pin in wheel_pins()):
        _fetch_wheels(directory)
    if FPART.sha256 not in known:
        _fetch_fpart(directory)
    if lacking := missing(directory):
        raise DeploymentError(f"what was fetched has other checksums than those pinned: {', '.join(lacking)}")


def _parsed(line: str) -> dict[str, str]:
    found = REQUIREMENT.fullmatch(line)
    if found is None:
        raise DeploymentError(f"{REQUIREMENTS.name}: {line!r} is not NAME==VERSION --hash=sha256:CHECKSUM")
    return found.groupdict()


def _by_checksum(directory: Path) -> dict[str, Path]:
    files = [path for pattern in ("*.whl", "*.tar.gz") for path in sorted(directory.glob(pattern))]
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in files}


def _fetch_wheels(directory: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
    run([*pip, "--only-binary", ":all:", "--require-hashes", "-r", REQUIREMENTS, "-d", directory], PROJECT)


def _fetch_fpart(directory: Path) -> None:
    """Fetch the source through an apt of its own, so that the machine's list of sources stays as it is."""
    with tempfile.TemporaryDirectory() as scratch:
        own = Path(scratch)
        (own / "sources.list").write_text(
            f"deb-src [signed-by={KEYRING}] http://deb.debian.org/debian {FPART_SUITE} main\n", encoding="utf-8"
        )
        places = {"Dir::Etc::sourcelist": own / "sources.list", "Dir::State::lists": own / "lists", "Dir::Cache": own}
        for folder in ("lists/partial", "archives/partial"):
            (own / folder).mkdir(parents=True)
        fixed = ["-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User=root"]
        apt = ["apt-get", "-qq", *fixed, *(word for key, at in places.items() for word in ("-o", f"{key}={at}"))]
        run([*apt, "update"], directory)
        run([*apt, "source", "--download-only", "--tar-only", f"fpart={FPART_PACKAGE}"], directory)
