"""Directories that are looked at again: never two workers in one, never one below another, none forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from efs_backup.flow.task import DirectoryTask, Mode, next_round
from efs_backup.pure.layout import ancestors

paths = st.lists(st.sampled_from("abc"), max_size=4).map("/".join)
tasks = st.builds(
    DirectoryTask, paths, st.sampled_from([Mode.COMPARE, Mode.AGAIN]), st.integers(min_value=1, max_value=2)
)


@given(st.lists(tasks, max_size=12))
def test_a_round_has_no_directory_twice_and_none_below_another(again: list[DirectoryTask]) -> None:
    now, _ = next_round(again)
    names = [task.path for task in now]
    assert len(names) == len(set(names))
    assert not [path for path in names if set(ancestors(path)).intersection(names)]


@given(st.lists(tasks, max_size=12))
def test_rounds_come_to_an_end_and_forget_no_directory(again: list[DirectoryTask]) -> None:
    done: list[DirectoryTask] = []
    waiting = again
    for _ in range(len(again) + 1):
        now, waiting = next_round(waiting)
        done.extend(now)
    assert not waiting
    assert sorted(task.path for task in done) == sorted({task.path for task in again})
    for task in done:
        same = [other for other in again if other.path == task.path]
        assert task.attempt == max(other.attempt for other in same)
        assert (task.mode is Mode.COMPARE) == any(other.mode is Mode.COMPARE for other in same)


def test_the_root_is_above_everything_and_below_nothing() -> None:
    root, below = DirectoryTask("", Mode.AGAIN, 1), DirectoryTask("a/b", Mode.AGAIN, 1)
    assert next_round([below, root]) == ([root], [below])
