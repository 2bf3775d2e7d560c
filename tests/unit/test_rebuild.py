"""A directory of staging that holds a file nobody can remove is made anew, everything else as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.tree import Tree, assert_same, snapshot_of

from efs_backup.flow.rebuild import by_directory, rebuild

OLD_NS = 1_600_000_000_123_456_789


@pytest.fixture
def label(tmp_path: Path) -> Path:
    """A label's folder with a tree in ``staging`` that has busy files, and an empty ``trash``."""
    below = tmp_path / "staging" / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "trash").mkdir()
    (below / "file").write_text("content")
    os.link(below / "file", tmp_path / "staging" / "link")
    os.mkfifo(below / "fifo")
    (below / "dangling").symlink_to("nowhere")
    (below / "sub").mkdir()
    for directory in (below / "sub", below, below.parent, tmp_path / "staging"):
        (directory / ".nfs0001").write_text("busy")
        directory.chmod(0o2750)
        os.utime(directory, ns=(OLD_NS, OLD_NS))
    return tmp_path


def without_busy(tree: Tree) -> Tree:
    """The tree but for the busy files."""
    return {path: entry for path, entry in tree.items() if not path.endswith(b".nfs0001")}


@pytest.mark.parametrize("directory", ["", "a", "a/b", "a/b/sub"])
def test_everything_but_the_busy_name_is_as_it_was(label: Path, directory: str) -> None:
    staging = label / "staging"
    busy = f"{directory}/.nfs0001".lstrip("/")
    wanted = {path: entry for path, entry in snapshot_of(str(staging)).items() if path != os.fsencode(busy)}
    inodes = {path: os.lstat(staging / os.fsdecode(path)).st_ino for path in wanted if wanted[path].kind != "directory"}
    root = os.open(label, os.O_RDONLY)
    assert rebuild(root, "staging", directory, {".nfs0001"}, "trash/1")
    os.close(root)
    assert_same(wanted, snapshot_of(str(staging)))
    assert {path: os.lstat(staging / os.fsdecode(path)).st_ino for path in inodes} == inodes
    assert [path.name for path in (label / "trash").rglob(".nfs*")] == [".nfs0001"]


def test_all_busy_directories_of_a_tree_one_after_the_other(label: Path) -> None:
    staging = label / "staging"
    wanted = without_busy(snapshot_of(str(staging)))
    busy = [f"{d}.nfs0001" for d in ("a/b/", "", "a/b/sub/", "a/")]
    root = os.open(label, os.O_RDONLY)
    for count, (directory, names) in enumerate(by_directory(busy).items()):
        assert rebuild(root, "staging", directory, names, f"trash/{count}")
    os.close(root)
    assert_same(wanted, snapshot_of(str(staging)))


def test_what_was_closed_or_put_away_meanwhile_costs_nothing(label: Path) -> None:
    (label / "staging" / ".nfs0001").unlink()
    before = os.stat(label / "staging").st_ino
    root = os.open(label, os.O_RDONLY)
    assert not rebuild(root, "staging", "", {".nfs0001"}, "trash/1")
    assert not rebuild(root, "staging", "gone", {".nfs0001"}, "trash/2")
    os.close(root)
    assert os.stat(label / "staging").st_ino == before
    assert not list((label / "trash").iterdir())
