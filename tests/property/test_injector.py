"""The fault injector of these tests does what it says: counts exactly, kills before the call, does and then denies."""

from __future__ import annotations

import errno
import os

import pytest
from tests.support import calls
from tests.support.command import Pair
from tests.support.faults import KILL, Call, Decide, Decision, DoAndFail, Fail, Pretend, supervise_line

MAKE_THREE = "(sleep 60 &) ; for name in 1 2 3; do mkdir $0/$name; done"
LINKS = r"""
import os, sys
os.chdir(sys.argv[1])
here = os.open('.', os.O_RDONLY)
file = os.open(b'\xff', os.O_CREAT | os.O_RDWR)

def denied(do, *arguments, **options):
    try:
        do(*arguments, **options)
    except FileNotFoundError:
        return
    raise SystemExit(9)

denied(os.link, b'\xff', 'b', src_dir_fd=here, dst_dir_fd=here)
denied(os.link, f'/proc/self/fd/{file}', 'c', dst_dir_fd=here, follow_symlinks=True)
denied(os.rename, 'b', 'e', src_dir_fd=here, dst_dir_fd=here)
denied(os.unlink, b'\xff')
os.mkdir('g')
denied(os.rmdir, 'g')
"""


def on_backup(pair: Pair, answers: dict[int, Decision]) -> tuple[list[tuple[str, bytes]], Decide]:
    """Answer by the number of the call that modifies the backup file system; the list has those that came."""
    device = os.stat(pair.backup).st_dev
    seen: list[tuple[str, bytes]] = []

    def decide(call: Call) -> Decision:
        if not call.modifies or call.device() != device:
            return None
        seen.append((call.name, call.file_name()))
        return answers.get(len(seen))

    return seen, decide


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_comes_before_the_call_and_ends_the_children_too(number: int, pair: Pair) -> None:
    seen, decide = on_backup(pair, {number: KILL})
    line = ["sh", "-c", MAKE_THREE + "; sleep 60", pair.backup]
    run = supervise_line(line, calls.MODIFYING, decide, contained=True, timeout=20)
    assert run.status != 0
    assert len(seen) == number
    assert sorted(os.listdir(pair.backup)) == [str(done) for done in range(1, number)]


def test_a_kill_that_never_comes_leaves_the_run_alone(pair: Pair) -> None:
    seen, decide = on_backup(pair, {4: KILL})
    run = supervise_line(["sh", "-c", MAKE_THREE, pair.backup], calls.MODIFYING, decide, contained=True, timeout=20)
    assert (run.status, len(seen)) == (0, 3)


def test_calls_are_refused_done_and_denied_or_pretended(pair: Pair) -> None:
    seen, decide = on_backup(pair, {1: Fail(errno.EDQUOT), 2: DoAndFail(errno.EEXIST), 3: Pretend()})
    script = "cd $0; for name in 1 2 3 4; do mkdir $name && echo $name; done"
    run = supervise_line(["sh", "-c", script, pair.backup], calls.MODIFYING, decide)
    assert run.stdout == b"3\n4\n"
    assert "quota exceeded" in run.stderr and "File exists" in run.stderr
    assert sorted(os.listdir(pair.backup)) == ["2", "4"]
    assert [name for _, name in seen] == [b"1", b"2", b"3", b"4"]


def test_links_and_renames_are_done_in_the_callers_place(pair: Pair) -> None:
    seen, count = on_backup(pair, {})

    def decide(call: Call) -> Decision:
        count(call)
        return DoAndFail(errno.ENOENT) if call.name in calls.LINKING + calls.RENAMING + calls.REMOVING else None

    run = supervise_line(["python3", "-c", LINKS, pair.backup], calls.MODIFYING + calls.OPENING, decide)
    assert run.status == 0, run.stderr
    assert sorted(os.listdir(pair.backup)) == ["c", "e"]
    assert {b"e", b"\xff", b"g"} <= {name for _, name in seen}
    assert os.stat(f"{pair.backup}/c").st_nlink == 2
