"""Runs the programs that a build needs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from deployment.errors import DeploymentError


def run(command: Iterable[str | Path], directory: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a program in ``directory`` and return what it said.

    Raises:
        DeploymentError: it is not installed, or failed; the message has its last line.
    """
    words = [str(word) for word in command]
    try:
        ran = subprocess.run(
            words,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise DeploymentError(f"{words[0]} is not installed: install it with: deployment/setup.sh release") from error
    if ran.returncode != 0:
        last = ran.stdout.strip().splitlines()[-1:]
        raise DeploymentError(f"{words[0]} failed with status {ran.returncode}: {' '.join(last)}")
    return ran.stdout
