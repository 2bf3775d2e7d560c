"""The pool: each task and all it leads to is done once, however short the units are and however many threads work."""

from __future__ import annotations

import time
from typing import Any

import pytest

from efs_backup.effects.stop import StopFlag
from efs_backup.flow import pool
from efs_backup.flow.task import Outcome, ScanTask

DEPTH, WIDTH = 4, 5
TASKS = sum(WIDTH**level for level in range(DEPTH + 1))


def _branch(bench: Any, task: ScanTask, outcome: Outcome) -> None:
    """Take a moment, count itself, and lead to more of its kind."""
    time.sleep(len(task.path) % 3 / 2_000)
    outcome.scanned += 1
    if len(task.path) < DEPTH:
        outcome.tasks.extend(ScanTask(task.path + str(number)) for number in range(WIDTH))


@pytest.mark.parametrize(("processes", "threads"), [(1, 1), (1, 16), (2, 1), (2, 16)])
@pytest.mark.parametrize("seconds", [0.002, 1.0])
def test_everything_is_done_once(monkeypatch: pytest.MonkeyPatch, seconds: float, processes: int, threads: int) -> None:
    monkeypatch.setattr(pool, "_UNIT_SECONDS_THREADED", seconds)
    total = Outcome()
    with pool.Pool(None, {ScanTask: _branch}, StopFlag(), processes, threads) as workers:
        for _ in range(2):
            workers.run([ScanTask("")], total.add, lambda: None)
    assert total.scanned == 2 * TASKS
