"""The local cloud from the command line, as `make cloud` starts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.client import PROJECT, free_port
from tests.support.release import Built


def localcloud(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localcloud", "--directory", str(directory), *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory for a cloud, which is ended with the test."""
    yield tmp_path / "cloud"
    localcloud(tmp_path / "cloud", "stop")


@pytest.mark.slow
def test_a_cloud_that_stays_with_a_stack_that_backs_up_as_days_pass(place: Path, built: Built) -> None:
    started = localcloud(place, "start", "--port", str(free_port()), "--release", str(built.directory))
    assert started.returncode == 0, started.stderr
    assert "The backup stack nightly is deployed" in started.stdout
    assert "export AWS_ENDPOINT_URL=http://localhost:" in started.stdout
    assert localcloud(place, "advance", "1d").returncode == 0
    assert "Subject: EFS backup Success: " in localcloud(place, "mails").stdout
    (hello,) = place.glob("file-systems/*/efs-backup/daily.0/hello")
    assert hello.read_text() == "a file to back up\n"
    assert localcloud(place, "instances").stdout == localcloud(place, "problems").stdout == ""
    again = localcloud(place, "start")
    assert again.returncode == 2 and "end it with: python -m localcloud stop" in again.stderr
    assert localcloud(place, "stop").returncode == 0
    after = localcloud(place, "mails")
    assert after.returncode == 2 and after.stderr.count("\n") == 1 and "no local cloud runs in" in after.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("start", "--release", "/nowhere"), 1, "there is no release in /nowhere: build one with: make release"),
        (("advance", "1 day"), 2, "no local cloud runs in"),
    ],
)
def test_a_mistake_is_said_in_one_line(place: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    done = localcloud(place, *arguments)
    assert done.returncode == status and said in done.stderr and done.stderr.count("\n") == 1
