"""Exact: after a backup, snapshot 0 equals the source in every attribute of every entry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from tests.support.changes import content, overwrite
from tests.support.command import Pair
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import OLD_NS, make_plain, make_zoo, write


def test_every_kind_of_entry_attribute_and_name_arrives_as_it_is(history: History) -> None:
    make_zoo(history.pair.source)
    history.night()


def test_every_kind_of_entry_is_linked_and_recycled_as_it_is(history: History) -> None:
    make_zoo(history.pair.source)
    for _ in range(4):
        finished = history.night("--retain", "1")
    assert finished.report["files_transferred"] == 0


def test_every_kind_of_entry_arrives_on_ext4(ext4_pair: Pair) -> None:
    make_zoo(ext4_pair.source)
    history = History(ext4_pair)
    for _ in range(3):
        history.night("--retain", "1")


def test_an_empty_source_is_an_empty_snapshot(history: History) -> None:
    history.night()
    history.night()


def test_the_snapshot_holds_nothing_that_the_source_has_not(history: History) -> None:
    write(f"{history.pair.source}/only")
    history.night()
    assert os.listdir(history.pair.snapshot()) == ["only"]
    assert history.pair.names() == {"daily.0", ".efs-backup"}


def test_the_folder_is_closed_to_other_users(history: History) -> None:
    os.chmod(history.pair.source, 0o777)
    history.night()
    assert os.stat(history.pair.folder).st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_names_like_those_of_files_that_nfs_keeps_open_are_names_like_any_other(kind: str, history: History) -> None:
    """Beside hard links and changes, for which a directory is looked through again before it is sealed."""
    source = history.pair.source
    write(f"{source}/one", b"two names")
    os.link(f"{source}/one", f"{source}/other")
    for name in (".nfs-not", ".nfs", ".nfs0123456789abcdef"):
        write(f"{source}/{name}" if kind == "file" else f"{source}/{name}/inside", b"the user's own")
    for night in range(3):
        write(f"{source}/changing", b"%d" % night)
        history.night("--retain", "1")


def test_times_before_1970_are_kept(history: History) -> None:
    write(f"{history.pair.source}/old", b"from 1960", mtime_ns=-300_000_000 * 10**9)
    write(f"{history.pair.source}/older", b"just before", mtime_ns=-1)
    history.night()
    history.night()


def test_paths_longer_than_a_system_call_takes_arrive_or_are_named(history: History) -> None:
    here = os.open(history.pair.source, os.O_RDONLY)
    for _ in range(25):
        os.mkdir(b"d" * 200, dir_fd=here)
        below = os.open(b"d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with open(os.open("deep", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as file:
        file.write(b"bottom")
    os.close(here)
    finished = history.pair.run("backup")
    if finished.report["not_kept"]:
        assert any(path.startswith("d" * 200) for path in finished.report["not_kept"]), finished.report
    else:
        assert_same(snapshot_of(history.pair.source), snapshot_of(history.pair.snapshot()))


def test_a_directory_of_thousands_of_entries_arrives(history: History) -> None:
    make_plain(history.pair.source, 4000, per_directory=4000, size=10)
    history.night()
    history.night()


def test_owners_modes_and_times_of_the_root_are_those_of_the_source(history: History) -> None:
    source = history.pair.source
    for mode, owner in ((0o2711, 5), (0o1777, 6)):
        os.chown(source, owner, owner + 1)
        os.chmod(source, mode)
        os.utime(source, ns=(OLD_NS, OLD_NS + owner))
        history.night("--allow-empty")


# What may happen to an entry between two nights, in steps. Each gets a directory with the same content, see _prepare.
NIGHT: dict[str, tuple[Callable[[str], object], ...]] = {
    "a file becomes a directory": (
        lambda top: os.unlink(f"{top}/file"),
        lambda top: write(f"{top}/file/inside", b"in"),
    ),
    "a directory becomes a file": (
        lambda top: shutil.rmtree(f"{top}/directory"),
        lambda top: write(f"{top}/directory", b"now"),
    ),
    "a file becomes a symbolic link": (
        lambda top: os.unlink(f"{top}/file"),
        lambda top: os.symlink("twin", f"{top}/file"),
    ),
    "a symbolic link becomes a directory": (
        lambda top: os.unlink(f"{top}/link"),
        lambda top: write(f"{top}/link/inside"),
    ),
    "a directory becomes a symbolic link to its like": (
        lambda top: os.rename(f"{top}/directory", f"{top}/moved"),
        lambda top: os.symlink("moved", f"{top}/directory"),
    ),
    "a FIFO becomes a file": (
        lambda top: os.unlink(f"{top}/fifo"),
        lambda top: write(f"{top}/fifo"),
    ),
    "a directory is renamed": (lambda top: os.rename(f"{top}/directory", f"{top}/other"),),
    "two directories change places": (
        lambda top: os.rename(f"{top}/directory", f"{top}/t"),
        lambda top: os.rename(f"{top}/empty", f"{top}/directory"),
        lambda top: os.rename(f"{top}/t", f"{top}/empty"),
    ),
    "two files change places": (
        lambda top: os.rename(f"{top}/file", f"{top}/t"),
        lambda top: os.rename(f"{top}/twin", f"{top}/file"),
        lambda top: os.rename(f"{top}/t", f"{top}/twin"),
    ),
    "chmod of a file": (lambda top: os.chmod(f"{top}/file", 0o4711),),
    "chmod of a hard-linked file": (lambda top: os.chmod(f"{top}/hard", 0o600),),
    "chmod of a directory": (lambda top: os.chmod(f"{top}/directory", 0o1777),),
    "chown of a file": (lambda top: os.chown(f"{top}/file", 1001, 1002),),
    "chown of a symbolic link": (lambda top: os.lchown(f"{top}/link", 1001, 1002),),
    "chown of a directory": (lambda top: os.chown(f"{top}/directory", 1001, -1),),
    "a file touched by one nanosecond": (lambda top: os.utime(f"{top}/file", ns=(OLD_NS, OLD_NS + 1)),),
    "a file touched back by one nanosecond": (lambda top: os.utime(f"{top}/file", ns=(OLD_NS, OLD_NS - 1)),),
    "a directory touched by one nanosecond": (lambda top: os.utime(f"{top}/directory", ns=(OLD_NS, OLD_NS + 1)),),
    "a symbolic link touched": (lambda top: os.utime(f"{top}/link", ns=(OLD_NS, OLD_NS + 1), follow_symlinks=False),),
    "an overwrite that keeps size and mtime": (lambda top: overwrite(f"{top}/file", 7),),
    "an overwrite of a hard-linked file that keeps size and mtime": (lambda top: overwrite(f"{top}/hard", 8),),
    "a file grows": (lambda top: write(f"{top}/file", content(9, 9000)),),
    "a file shrinks": (lambda top: os.truncate(f"{top}/file", 10),),
    "a file is emptied": (lambda top: os.truncate(f"{top}/file", 0),),
    "a file becomes sparse": (lambda top: os.truncate(f"{top}/file", 4 << 20),),
    "a hard link is added": (lambda top: os.link(f"{top}/file", f"{top}/directory/new name"),),
    "a hard link is added to a group": (lambda top: os.link(f"{top}/hard", f"{top}/empty/third"),),
    "a hard link is removed": (lambda top: os.unlink(f"{top}/hard"),),
    "a hard link moves to another directory": (lambda top: os.rename(f"{top}/hard", f"{top}/empty/hard"),),
    "a hard link is broken, content and attributes the same": (
        lambda top: shutil.copy2(f"{top}/hard", f"{top}/t"),
        lambda top: os.rename(f"{top}/t", f"{top}/hard"),
    ),
    "two equal files become one": (
        lambda top: os.unlink(f"{top}/twin"),
        lambda top: os.link(f"{top}/file", f"{top}/twin"),
    ),
    "a group's names change hands": (
        lambda top: os.unlink(f"{top}/directory/hard"),
        lambda top: os.link(f"{top}/file", f"{top}/directory/hard"),
    ),
    "a symbolic link is pointed elsewhere": (lambda top: _retarget(f"{top}/link"),),
    "a directory is emptied": (
        lambda top: shutil.rmtree(f"{top}/directory"),
        lambda top: os.mkdir(f"{top}/directory"),
    ),
    "everything goes": (lambda top: shutil.rmtree(top),),
    "a new tree comes": (
        lambda top: write(f"{top}/new/a/b/c/file", b"new"),
        lambda top: os.mkdir(f"{top}/new/a/empty"),
    ),
}


def _retarget(path: str) -> None:
    before = os.lstat(path)
    os.unlink(path)
    os.symlink("twin", path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)


def _prepare(top: str) -> None:
    for name in ("file", "twin", "directory/one", "directory/deeper/two"):
        write(f"{top}/{name}", content(len(name) % 4, 3000), mtime_ns=OLD_NS)
    write(f"{top}/hard", b"two names", mtime_ns=OLD_NS)
    os.link(f"{top}/hard", f"{top}/directory/hard")
    os.symlink("file", f"{top}/link")
    os.mkfifo(f"{top}/fifo")
    os.mkdir(f"{top}/empty")
    os.utime(f"{top}/directory", ns=(OLD_NS, OLD_NS))


def test_every_single_change_of_a_night_arrives_and_changes_no_older_snapshot(history: History) -> None:
    tops = {what: os.path.join(history.pair.source, what) for what in NIGHT}
    for top in tops.values():
        _prepare(top)
    history.night("--retain", "3")
    for what, steps in NIGHT.items():
        for step in steps:
            step(tops[what])
    history.night("--retain", "3")
    history.night("--retain", "3")


def test_every_single_change_arrives_in_a_recycled_tree(history: History) -> None:
    tops = {what: os.path.join(history.pair.source, what) for what in NIGHT}
    for top in tops.values():
        _prepare(top)
    for _ in range(3):
        history.night("--retain", "1")
    for what, steps in NIGHT.items():
        for step in steps:
            step(tops[what])
    for _ in range(3):
        history.night("--retain", "1")


def test_a_change_that_is_taken_back_is_taken_back_in_the_recycled_tree_too(history: History) -> None:
    top = os.path.join(history.pair.source, "here")
    _prepare(top)
    history.night("--retain", "1")
    for number in range(4):
        overwrite(f"{top}/file", number % 2)
        os.chmod(f"{top}/hard", 0o600 if number % 2 else 0o644)
        os.chown(f"{top}/directory", number % 2, 0)
        history.night("--retain", "1")
