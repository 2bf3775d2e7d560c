"""NFSv4.1 cannot punch holes, as a local file system can: what is sparse stays so without that."""

from __future__ import annotations

import errno
import os

import pytest
from tests.support.command import DONE
from tests.support.faults import Call, Fail, supervise
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import write

MIB = 1 << 20


def refuse(call: Call) -> Fail:
    return Fail(errno.EOPNOTSUPP)


@pytest.fixture
def sparse(history: History) -> History:
    """Files with holes at the beginning, in the middle, at the end, and nothing else but one."""
    top = history.pair.source
    for name, pieces in {"all": [], "front": [3], "middle": [0, 4], "back": [0], "many": [1, 3]}.items():
        write(f"{top}/{name}", b"")
        with open(f"{top}/{name}", "r+b") as file:
            for piece in pieces:
                file.seek(piece * MIB)
                file.write(os.urandom(MIB))
            file.truncate(5 * MIB)
    os.link(f"{top}/back", f"{top}/second name")
    for number in range(20):
        write(f"{top}/plain-{number}", os.urandom(20_000))
    return history


def test_a_first_backup_and_a_restore_keep_holes(sparse: History) -> None:
    pair = sparse.pair
    saved = snapshot_of(pair.source)
    report = supervise(pair.arguments("backup"), ["fallocate"], refuse).expect(DONE).report
    assert (report["files"], report["files_transferred"]) == (26, 25)
    assert_same(saved, snapshot_of(pair.snapshot()))
    for name in os.listdir(pair.source):
        os.unlink(f"{pair.source}/{name}")
    supervise(pair.arguments("restore"), ["fallocate"], refuse).expect(DONE)
    assert_same(saved, snapshot_of(pair.source))
