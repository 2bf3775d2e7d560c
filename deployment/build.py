"""Builds a release into a directory. Touches no network, and yields the same bytes each time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deployment.agent import agent_entries
from deployment.archives import tar_gz
from deployment.checksums import listing, sha256, write_manifest
from deployment.fpart import MACHINES, compiler_version
from deployment.functions import function_names, function_zip
from deployment.inputs import FPART, FPART_SOURCE, Inputs, wheel_pins
from deployment.release import AGENT, TEMPLATES, Release
from deployment.templates import release_template


def build(release: Release, inputs: Inputs, cache: Path, directory: Path) -> None:
    """Build a release; ``directory`` then holds it whole, or what it held before.

    Raises:
        DeploymentError: something that it needs is missing.
    """
    agent = list(agent_entries(inputs, cache))
    archive = tar_gz(agent)
    with _replaced(directory) as place:
        (place / AGENT).write_bytes(archive)
        for name in function_names():
            (place / f"{name}.zip").write_bytes(function_zip(name))
        for name in TEMPLATES:
            (place / name).write_text(release_template(name, release, sha256(archive)), encoding="utf-8")
        # Whoever gets the static programs can get what they were made from.
        shutil.copyfile(inputs.fpart, place / FPART_SOURCE)
        write_manifest(place, release, {AGENT: listing(agent), **_made_from()})


def _made_from() -> dict[str, Any]:
    pins = [asdict(pin) for pin in (*wheel_pins(), FPART)]
    return {"inputs": pins, "compilers": {machine.name: compiler_version(machine) for machine in MACHINES}}


@contextmanager
def _replaced(directory: Path) -> Iterator[Path]:
    """Give a new directory that takes the place of ``directory`` once it is complete."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as scratch:
        place = Path(scratch) / "new"
        place.mkdir()
        yield place
        if directory.exists():
            directory.rename(Path(scratch) / "old")
        place.rename(directory)
