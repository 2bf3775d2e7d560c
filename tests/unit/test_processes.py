"""Confined tools: when the call that ran one returns, nothing of it is left, so its files can be removed."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from efs_backup.effects import processes
from efs_backup.pure.errors import DrainedError

MANY = 150


def alive(marker: str) -> int:
    """How many processes sleep for this long."""
    found = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += Path(f"/proc/{process}/cmdline").read_text() == f"sleep\0{marker}\0"
        except OSError:  # ended while it was looked at
            continue
    return found


@pytest.mark.parametrize("raises", [False, True])
def test_a_tool_that_is_stopped_is_gone_with_all_it_started(tmp_path: Path, raises: bool) -> None:
    (tmp_path / "world").mkdir()
    marker = f"84600.{os.getpid()}"
    script = f"for i in $(seq {MANY}); do sleep {marker} & done; wait"
    command = processes.confined(["/bin/sh", "-c", script], [], str(tmp_path / "world"), [])
    end = time.monotonic() + 30

    def watch() -> bool:
        if alive(marker) < MANY and time.monotonic() < end:
            return True
        if raises:
            raise DrainedError("stop")
        return False

    with tempfile.TemporaryFile() as output:
        if raises:
            with pytest.raises(DrainedError):
                processes.run(command, output, (), processes.search_path([]), watch)
        else:
            assert processes.run(command, output, (), processes.search_path([]), watch) != 0
        assert alive(marker) == 0
    assert time.monotonic() < end
