"""The oracle of these tests sees every difference they rest on: a copy by cp(1) is the same, one changed bit is not."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable

import pytest
from hypothesis import given
from tests.support.changes import Change, apply_all, overwrite
from tests.support.command import Pair
from tests.support.strategies import nights, trees
from tests.support.tree import below, differences, inodes_of, snapshot_of
from tests.support.zoo import make_zoo, write


def _touch(path: str, by: int) -> None:
    info = os.lstat(path)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + by), follow_symlinks=False)


def _keeping_directory_time(path: str, do: Callable[[], object]) -> None:
    directory = os.path.dirname(path)
    before = os.stat(directory).st_mtime_ns
    do()
    os.utime(directory, ns=(before, before))


def _fill_holes(path: str) -> None:
    info = os.stat(path)
    with open(path, "r+b") as file:
        data = file.read()
        file.seek(0)
        file.write(data)
    os.utime(path, ns=(info.st_mtime_ns, info.st_mtime_ns))


def _break_link(path: str) -> None:
    subprocess.run(["cp", "-p", path, path + ".new"], check=True)
    _keeping_directory_time(path, lambda: os.rename(path + ".new", path))


CHANGES: dict[str, tuple[str, Callable[[str], object]]] = {
    "one nanosecond of a file": ("attributes/page", lambda path: _touch(path, 1)),
    "one nanosecond of a directory": ("kinds", lambda path: _touch(path, 1)),
    "one nanosecond of a symbolic link": ("links/up", lambda path: _touch(path, 1)),
    "content of equal size and time": ("attributes/large", lambda path: overwrite(path, 99)),
    "the sticky bit": ("empty", lambda path: os.chmod(path, 0o1755)),
    "owner of a symbolic link": ("links/up", lambda path: os.lchown(path, 5, 0)),
    "group of a FIFO": ("kinds/fifo", lambda path: os.chown(path, 0, 5)),
    "a hole filled": ("kinds/sparse", _fill_holes),
    "a hard link broken": ("links/b/three", _break_link),
    "mode of the root": (".", lambda path: os.chmod(path, 0o700)),
    "a file less": ("names/-rf", lambda path: _keeping_directory_time(path, lambda: os.unlink(path))),
    "a file more": ("names/more", lambda path: _keeping_directory_time(path, lambda: write(path))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_oracle_sees(what: str, pair: Pair) -> None:
    make_zoo(pair.source)
    subprocess.run(["cp", "-a", f"{pair.source}/.", pair.backup], check=True)
    before = snapshot_of(pair.backup)
    assert differences(snapshot_of(pair.source), before) == []
    name, change = CHANGES[what]
    change(os.path.join(pair.backup, name))
    found = differences(before, snapshot_of(pair.backup))
    assert found and all(os.fsencode(name) in os.fsencode(line) or "hard link" in what for line in found), found


@given(tree=trees, night=nights)
def test_the_oracle_agrees_with_cp_about_any_tree(tree: list[Change], night: list[Change]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as top:
        source, copy = f"{top}/source", f"{top}/copy"
        os.mkdir(source)
        apply_all([*tree, *night], source)
        subprocess.run(["cp", "-a", source, copy], check=True)
        assert differences(snapshot_of(source), snapshot_of(copy), ignore=["occupied"]) == []
        assert len(inodes_of(copy)) == sum(entry.kind != "directory" for entry in snapshot_of(copy).values())


def test_a_part_of_a_tree_is_the_tree_of_that_part(pair: Pair) -> None:
    make_zoo(pair.source)
    assert differences(below(snapshot_of(pair.source), b"links/b"), snapshot_of(f"{pair.source}/links/b")) == []
