"""What somebody took out of a published snapshot by hand is copied again; no night fails for it."""

from __future__ import annotations

import os
import shutil

import pytest
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain, make_zoo, write


@pytest.mark.parametrize("nights", [1, 4])
@pytest.mark.parametrize("gone", ["attributes", "links", "kinds/fifo", "attributes/page"])
def test_what_was_taken_out_of_the_newest_snapshot_is_copied_again(history: History, nights: int, gone: str) -> None:
    pair = history.pair
    make_zoo(pair.source)
    for _ in range(nights):
        pair.back_up("--retain", "2")
    path = f"{pair.snapshot()}/{gone}"
    (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
    write(f"{pair.source}/another")
    pair.back_up("--retain", "2")
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
    assert pair.verify().report["mismatches"] == []


def test_what_was_taken_out_of_a_snapshot_without_manifest_is_copied_again(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    os.makedirs(pair.folder)
    shutil.copytree(pair.source, f"{pair.folder}/daily.0")
    shutil.rmtree(f"{pair.folder}/daily.0/000/000000")
    pair.back_up()
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))


def test_a_file_where_the_newest_snapshot_had_a_directory_is_no_base(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    pair.back_up()
    shutil.rmtree(f"{pair.snapshot()}/000")
    write(f"{pair.snapshot()}/000")
    pair.back_up()
    assert_same(snapshot_of(pair.source), snapshot_of(pair.snapshot()))
