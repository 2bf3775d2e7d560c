"""Restore: brings a snapshot, or a part of it, back to where it came from or elsewhere, and touches nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from typing import Any

import pytest
from tests.support import calls
from tests.support.changes import content, overwrite
from tests.support.command import BAD_USE, DONE, NOT_DONE, Finished, Pair, expect_one_line, finish
from tests.support.faults import KILL, Call, Decision, ended, slowly, start_supervised, supervise, wait_until
from tests.support.history import History
from tests.support.tree import Tree, assert_same, below, inodes_of, snapshot_of
from tests.support.zoo import OLD_NS, make_flat, make_plain, make_zoo, plain_file, spoil_flat, write


def restored(history: History, *options: str) -> Finished:
    """Restore; the backup must be as it was before."""
    finished = history.pair.restore(*options)
    history.check()
    return finished


def test_everything_comes_back_as_it_was(history: History) -> None:
    pair = history.pair
    make_zoo(pair.source)
    history.night()
    wanted = snapshot_of(pair.source)
    for name in os.listdir(pair.source):
        shutil.rmtree(os.path.join(pair.source, name))
    os.chmod(pair.source, 0o700)
    finished = restored(history)
    assert_same(wanted, snapshot_of(pair.source))
    assert finished.report["failed"] == {}


def test_everything_comes_back_into_another_directory(history: History, scratch: str) -> None:
    make_zoo(history.pair.source)
    history.night()
    wanted = snapshot_of(history.pair.source)
    restored(history, "--to", scratch)
    assert_same(wanted, snapshot_of(scratch))
    assert_same(wanted, snapshot_of(history.pair.source), what="the source beside it")


def test_restored_files_share_no_inode_with_the_backup(scratch: str) -> None:
    """Where both lie on one file system a restore could link, and the next write would change a snapshot."""
    pair = Pair(f"{scratch}/source", f"{scratch}/backup")
    os.mkdir(pair.source)
    os.mkdir(pair.backup)
    make_plain(pair.source, 60)
    History(pair).night()
    for number in range(0, 60, 2):
        os.unlink(plain_file(pair.source, number))
    os.mkdir(f"{scratch}/elsewhere")
    for options in ((), ("--to", f"{scratch}/elsewhere")):
        pair.restore(*options)
        where = options[1] if options else pair.source
        assert len(inodes_of(where)) == 60
        assert not set(inodes_of(where).values()) & set(inodes_of(pair.folder).values())


def test_an_older_snapshot_is_restored_by_number_and_by_id(history: History, scratch: str) -> None:
    write(f"{history.pair.source}/file", b"first")
    first = history.night().report["id"]
    write(f"{history.pair.source}/file", b"second")
    write(f"{history.pair.source}/new", b"new")
    history.night()
    for options in (("--number", "1"), ("--snapshot", first)):
        restored(history, *options, "--to", scratch, "--delete")
        assert_same(history.seen[first], snapshot_of(scratch))
        restored(history, "--to", scratch, "--delete")
        assert_same(snapshot_of(history.pair.source), snapshot_of(scratch))


def damage_live_tree(pair: Pair) -> None:
    write(plain_file(pair.source, 1), b"changed")
    overwrite(plain_file(pair.source, 2), 77)
    os.chmod(plain_file(pair.source, 3), 0o600)
    os.unlink(plain_file(pair.source, 4))
    os.unlink(plain_file(pair.source, 5))
    os.mkdir(plain_file(pair.source, 5))
    write(f"{pair.source}/000/000000/mine", b"made after the backup")
    shutil.rmtree(f"{pair.source}/000/000001")
    write(f"{pair.source}/000/000001", b"a file now")


def test_only_what_differs_is_replaced_and_by_a_new_inode(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 120)
    history.night()
    before = inodes_of(pair.source)
    damage_live_tree(pair)
    os.link(plain_file(pair.source, 1), f"{pair.source}/beside")
    restored(history)
    after = inodes_of(pair.source)
    same = {path for path in before if after.get(path) == before[path]}
    replaced = before.keys() - same
    assert {b"000/000000/file-0000001", b"000/000000/file-0000002"} <= replaced
    assert len(same) >= 120 - 50 - 6, "files that are right are left alone"
    with open(f"{pair.source}/beside", "rb") as file:
        assert file.read() == b"changed", "a file is replaced, never written to"


def test_files_only_on_the_source_stay(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 120)
    history.night()
    wanted = snapshot_of(pair.source)
    damage_live_tree(pair)
    write(f"{pair.source}/mine/own", b"made after the backup")
    finished = restored(history)
    now = snapshot_of(pair.source)
    assert now[b"mine/own"].kind == now[b"000/000000/mine"].kind == "file"
    for path in wanted.keys() - {b".", b"000", b"000/000000"}:
        assert now[path] == wanted[path], path
    assert finished.report["deleted"] == [] or set(finished.paths("deleted")) == {b"000/000000/file-0000005/inside"}, (
        "only what stands where a file of the snapshot belongs may go"
    )


def test_delete_makes_the_source_exactly_the_snapshot(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 120)
    history.night()
    wanted = snapshot_of(pair.source)
    damage_live_tree(pair)
    write(f"{pair.source}/mine/own", b"made after the backup")
    finished = restored(history, "--delete")
    assert_same(wanted, snapshot_of(pair.source))
    assert {b"mine/own", b"000/000000/mine"} <= finished.paths("deleted")


def test_a_damaged_live_file_of_equal_size_and_time_is_repaired(history: History) -> None:
    make_plain(history.pair.source, 60)
    history.night()
    wanted = snapshot_of(history.pair.source)
    overwrite(plain_file(history.pair.source, 7), 5)
    finished = restored(history)
    assert finished.paths("replaced") == {b"000/000000/file-0000007"}
    assert finished.report["unchanged"] == 59
    assert_same(wanted, snapshot_of(history.pair.source))


def test_hard_link_groups_come_back(history: History) -> None:
    pair = history.pair
    write(f"{pair.source}/a/one", b"same")
    for name in ("a/two", "b/three", "b/four"):
        os.makedirs(f"{pair.source}/b", exist_ok=True)
        os.link(f"{pair.source}/a/one", f"{pair.source}/{name}")
    os.utime(f"{pair.source}/a", ns=(0, OLD_NS))
    os.utime(f"{pair.source}/b", ns=(0, OLD_NS))
    history.night()
    wanted = snapshot_of(pair.source)
    os.unlink(f"{pair.source}/a/two")
    shutil.copy2(f"{pair.source}/a/one", f"{pair.source}/b/new")
    os.rename(f"{pair.source}/b/new", f"{pair.source}/b/three")
    write(f"{pair.source}/b/four", b"else")
    restored(history)
    assert_same(wanted, snapshot_of(pair.source))


@pytest.mark.parametrize("subdirectory", ["/000/000001/", "/000/"])
def test_a_subdirectory_goes_back_to_its_own_place_and_nothing_else_changes(
    subdirectory: str, history: History
) -> None:
    pair = history.pair
    make_plain(pair.source, 150)
    make_zoo(f"{pair.source}/zoo")
    history.night()
    saved = snapshot_of(pair.source)
    for number in (1, 60, 110):
        write(plain_file(pair.source, number), b"changed")
    overwrite(f"{pair.source}/zoo/attributes/page", 5)
    before = snapshot_of(pair.source)
    restored(history, "--subdir", subdirectory)
    now = snapshot_of(pair.source)
    part = os.fsencode(subdirectory.strip("/"))
    assert_same(below(saved, part), below(now, part), what="the subdirectory")
    assert_same(_without(before, part), _without(now, part), what="what is outside of the subdirectory")


def _without(tree: Tree, part: bytes) -> Tree:
    return {path: entry for path, entry in tree.items() if path != part and not path.startswith(part + b"/")}


def test_a_subdirectory_that_is_gone_from_the_source_comes_back(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 150)
    history.night()
    saved = snapshot_of(pair.source)
    shutil.rmtree(f"{pair.source}/000")
    restored(history, "--subdir", "/000/000002/")
    assert_same(below(saved, b"000/000002"), snapshot_of(f"{pair.source}/000/000002"))
    assert os.listdir(f"{pair.source}/000") == ["000002"]


def test_a_subdirectory_goes_below_another_directory(history: History, scratch: str) -> None:
    make_plain(history.pair.source, 150)
    history.night()
    restored(history, "--subdir", "/000/000001/", "--to", scratch)
    wanted = below(snapshot_of(history.pair.source), b"000/000001")
    assert_same(wanted, snapshot_of(f"{scratch}/000/000001"))
    assert os.listdir(scratch) == ["000"] and os.listdir(f"{scratch}/000") == ["000001"]


def test_a_hard_link_outside_of_the_subdirectory_keeps_its_mode_and_content(history: History) -> None:
    pair = history.pair
    write(f"{pair.source}/inside/file", b"saved", mtime_ns=OLD_NS)
    history.night()
    write(f"{pair.source}/inside/file", b"later", mode=0o600)
    os.link(f"{pair.source}/inside/file", f"{pair.source}/outside")
    before = os.stat(f"{pair.source}/outside")
    restored(history, "--subdir", "/inside/")
    after = os.stat(f"{pair.source}/outside")
    with open(f"{pair.source}/outside", "rb") as outside, open(f"{pair.source}/inside/file", "rb") as inside:
        assert (outside.read(), inside.read()) == (b"later", b"saved")
    assert (after.st_mode, after.st_mtime_ns, after.st_ino) == (before.st_mode, before.st_mtime_ns, before.st_ino)


def test_single_paths_are_restored_and_no_others(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 150)
    history.night()
    saved = snapshot_of(pair.source)
    for number in (1, 2, 60, 61, 110):
        write(plain_file(pair.source, number), b"changed")
    os.unlink(plain_file(pair.source, 1))
    finished = restored(history, "--path", "000/000000/file-0000001", "--path", "000/000001")
    now = snapshot_of(pair.source)
    right = {path for path in saved if saved[path] == now.get(path) and saved[path].kind == "file"}
    assert saved.keys() - right - {p for p in saved if saved[p].kind == "directory"} == {
        b"000/000000/file-0000002",
        b"000/000002/file-0000110",
    }
    assert finished.paths("created") == {b"000/000000/file-0000001"}


def test_a_path_is_relative_to_the_subdirectory(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    for number in (1, 2):
        write(plain_file(pair.source, number), b"changed")
    restored(history, "--subdir", "/000/000000/", "--path", "file-0000001")
    with open(plain_file(pair.source, 1), "rb") as first, open(plain_file(pair.source, 2), "rb") as second:
        assert first.read() != b"changed"
        assert second.read() == b"changed"


def test_an_odd_name_is_restored_by_its_bytes(history: History) -> None:
    name = b"-new\nline \xff"
    path = os.path.join(os.fsencode(history.pair.source), name)
    write(path, b"saved")
    history.night()
    os.unlink(path)
    history.pair.restore(b"--path=" + name)
    with open(path, "rb") as file:
        assert file.read() == b"saved"


def preview(history: History, *options: str) -> dict[str, Any]:
    """What a restore would do; it must not have done anything."""
    before = snapshot_of(history.pair.source)
    inodes = inodes_of(history.pair.source)
    finished = history.pair.restore("--dry-run", *options)
    assert_same(before, snapshot_of(history.pair.source), what="after a preview the source")
    assert inodes == inodes_of(history.pair.source)
    history.check()
    return finished.report


@pytest.mark.parametrize("options", [(), ("--delete",), ("--subdir", "/000/"), ("--path", "000/000000")])
def test_the_preview_says_what_the_restore_then_does(options: tuple[str, ...], history: History) -> None:
    make_plain(history.pair.source, 120)
    make_zoo(f"{history.pair.source}/zoo")
    history.night()
    damage_live_tree(history.pair)
    write(f"{history.pair.source}/mine/own", b"made after the backup")
    said = preview(history, *options)
    done = restored(history, *options).report
    for key in ("created", "replaced", "deleted"):
        assert sorted(said[key]) == sorted(done[key]), key
    assert said["unchanged"] == done["unchanged"]
    again = preview(history, *options)
    assert again["created"] == again["replaced"] == again["deleted"] == []


def test_the_preview_names_created_replaced_and_deleted(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    os.unlink(plain_file(pair.source, 1))
    write(plain_file(pair.source, 2), b"changed")
    write(f"{pair.source}/mine", b"new")
    said = preview(history, "--delete")
    assert "000/000000/file-0000001" in said["created"]
    assert "000/000000/file-0000002" in said["replaced"]
    assert said["deleted"] == ["mine"]
    assert preview(history)["deleted"] == []


BAD = {
    "no such number": ("--number", "9"),
    "no such id": ("--snapshot", "no-such-snapshot"),
    "a number that is none": ("--number", "x"),
    "a negative number": ("--number", "-1"),
    "no such subdirectory": ("--subdir", "/not there/"),
    "a subdirectory that is a file": ("--subdir", "/000/000000/file-0000001/"),
    "a subdirectory that leads outside": ("--subdir", "/../"),
    "a subdirectory that leads outside further down": ("--subdir", "/000/../../../etc/"),
    "a subdirectory that is a symbolic link": ("--subdir", "/way out/"),
    "a subdirectory below a symbolic link": ("--subdir", "/way out/etc/"),
    "a path that is not there": ("--path", "not there"),
    "a path that leads outside": ("--path", "../../etc/passwd"),
    "an absolute path": ("--path", "/etc/passwd"),
    "a path below a symbolic link": ("--path", "way out/etc"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_restored_is_said_in_one_line_and_the_source_is_untouched(what: str, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    os.symlink("/", f"{pair.source}/way out")
    history.night()
    write(plain_file(pair.source, 2), b"changed")
    before = snapshot_of(pair.source)
    finished = pair.run("restore", *BAD[what])
    assert finished.status in (NOT_DONE, BAD_USE)
    expect_one_line(finished)
    assert_same(before, snapshot_of(pair.source))
    history.check()


def test_an_empty_folder_and_a_wrong_label_are_said(pair: Pair) -> None:
    write(f"{pair.source}/file")
    for options in ((), ("--folder-label", "no-such-label")):
        finished = pair.run("restore", *options)
        assert finished.status in (NOT_DONE, BAD_USE)
        expect_one_line(finished)
    assert os.listdir(pair.backup) == []


def test_a_source_inside_of_the_backup_is_refused(history: History) -> None:
    write(f"{history.pair.source}/file")
    history.night()
    for inside in (history.pair.snapshot(), history.pair.folder):
        finished = Pair(inside, history.pair.backup).run("restore")
        assert finished.status in (NOT_DONE, BAD_USE)
        expect_one_line(finished)
        history.check()


def test_a_symbolic_link_on_the_source_is_replaced_and_never_followed(history: History, scratch: str) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    saved = snapshot_of(pair.source)
    shutil.rmtree(f"{pair.source}/000/000000")
    write(f"{scratch}/precious", b"outside")
    os.symlink(scratch, f"{pair.source}/000/000000")
    before = snapshot_of(scratch)
    restored(history)
    assert_same(before, snapshot_of(scratch), what="what is outside")
    assert_same(saved, snapshot_of(pair.source))


def test_the_way_to_the_subdirectory_is_never_through_a_symbolic_link(history: History, scratch: str) -> None:
    pair = history.pair
    make_plain(pair.source, 60)
    history.night()
    shutil.rmtree(f"{pair.source}/000")
    os.symlink(scratch, f"{pair.source}/000")
    pair.run("restore", "--subdir", "/000/000000/")
    assert os.listdir(scratch) == []


def test_a_file_in_the_way_of_a_directory_is_replaced_and_the_other_way_round(history: History) -> None:
    pair = history.pair
    write(f"{pair.source}/a/file")
    write(f"{pair.source}/b")
    history.night()
    saved = snapshot_of(pair.source)
    shutil.rmtree(f"{pair.source}/a")
    write(f"{pair.source}/a")
    os.unlink(f"{pair.source}/b")
    os.mkdir(f"{pair.source}/b")
    restored(history)
    assert_same(saved, snapshot_of(pair.source), ignore=["mtime_ns"])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_restore_can_be_run_again(how: signal.Signals, history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 400)
    history.night()
    saved = snapshot_of(pair.source)
    shutil.rmtree(f"{pair.source}/000")
    asked = calls.OPENING + calls.RENAMING
    run = start_supervised(pair.arguments("restore"), asked, slowly(0.01, pair.source))
    with ended(run.process):
        wait_until(lambda: len(_files(pair.source)) > 20, 60, "some files are restored")
        os.kill(run.process.pid, how)
        interrupted = finish(run.process, 30)
    assert interrupted.status == (-how if how == signal.SIGKILL else NOT_DONE)
    assert len(_files(pair.source)) < 400
    restored(history)
    # Killed, it could not clean up; what lies about then has the name of a temporary file.
    litter = {path for path in snapshot_of(pair.source) if how == signal.SIGKILL and b"/.file-" in path}
    for path in litter:
        os.unlink(os.path.join(os.fsencode(pair.source), path))
    restored(history)
    assert_same(saved, snapshot_of(pair.source), ignore=["mtime_ns"] if litter else [])


def _files(top: str) -> list[str]:
    return [name for _, _, names in os.walk(top) for name in names]


def test_nothing_half_done_is_left_beside_the_restored_files(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 200)
    history.night()
    saved = snapshot_of(pair.source)
    shutil.rmtree(f"{pair.source}/000")
    run = start_supervised(pair.arguments("restore"), calls.OPENING, slowly(0.01, pair.source))
    with ended(run.process):
        wait_until(lambda: len(_files(pair.source)) > 20, 60, "some files are restored")
        os.kill(run.process.pid, signal.SIGKILL)
    restored(history, "--delete")
    assert_same(saved, snapshot_of(pair.source))


def test_a_restore_into_a_full_file_system_is_said_and_goes_on_when_there_is_room(
    small_backup: Pair, scratch: str
) -> None:
    pair = Pair(scratch, small_backup.source)
    for number in range(30):
        write(f"{scratch}/file-{number}", content(number, 250_000))
    pair.back_up()
    finished = pair.run("restore", "--to", small_backup.backup).expect(NOT_DONE)
    assert any("space" in line.lower() for line in finished.errors), finished.stderr
    for number in range(30):
        os.unlink(f"{scratch}/file-{number}")
    pair.restore()
    assert len(os.listdir(scratch)) == 30


def test_the_restored_setuid_and_owner_are_those_of_the_snapshot(history: History) -> None:
    path = f"{history.pair.source}/tool"
    write(path, b"#!/bin/sh\n")
    os.chown(path, 1000, 1001)
    os.chmod(path, 0o6755)
    history.night()
    os.unlink(path)
    restored(history)
    info = os.stat(path)
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (1000, 1001, 0o6755)


def test_restore_twice_changes_nothing_the_second_time(history: History) -> None:
    make_zoo(history.pair.source)
    history.night()
    shutil.rmtree(f"{history.pair.source}/names")
    restored(history)
    before = inodes_of(history.pair.source)
    again = restored(history).report
    assert again["created"] == again["replaced"] == again["deleted"] == []
    assert inodes_of(history.pair.source) == before
    assert history.pair.run("list").status == DONE


@pytest.mark.parametrize("workers", ["1", "8"])
def test_a_large_directory_comes_back(workers: str, history: History) -> None:
    pair = history.pair
    make_flat(pair.source)
    history.night()
    wanted = snapshot_of(pair.source)
    spoil_flat(pair.source)
    options = ("--delete", "--workers", workers)
    told = pair.restore(*options, "--dry-run").report
    done = restored(history, *options).report
    assert_same(wanted, snapshot_of(pair.source))
    for what in ("created", "replaced", "deleted", "unchanged", "failed"):
        assert told[what] == done[what], what
    assert pair.restore(*options).report["unchanged"] == 202


def test_what_is_only_in_a_large_directory_stays(history: History) -> None:
    pair = history.pair
    make_flat(pair.source)
    history.night()
    wanted = snapshot_of(pair.source)
    spoil_flat(pair.source)
    (aside,) = restored(history).report["set_aside"].values()
    found = snapshot_of(pair.source)
    extra = {b"flat/surplus", os.fsencode(aside), os.fsencode(aside) + b"/only here"}
    assert extra == set(found) - set(wanted)
    assert_same(wanted, {path: entry for path, entry in found.items() if path not in extra})


def restore_killed_at(pair: Pair, number: int, *options: str) -> None:
    """Restore in eight threads; all of it dies before its ``number``-th rename in the live tree."""
    device, renamed = os.stat(pair.source).st_dev, 0

    def decide(call: Call) -> Decision:
        nonlocal renamed
        renamed += call.device() == device
        return KILL if renamed == number else None

    supervise(pair.arguments("restore", "--workers", "8", *options), calls.RENAMING, decide, contained=True)
    assert renamed == number


@pytest.mark.parametrize("copied", [1, 20, 90])
def test_a_large_directory_whose_restore_is_killed_comes_back_the_next_time(copied: int, history: History) -> None:
    pair = history.pair
    make_flat(pair.source)
    history.night()
    wanted = snapshot_of(pair.source)
    spoil_flat(pair.source)
    restore_killed_at(pair, copied, "--delete")
    history.check()
    restored(history, "--delete")
    assert_same(wanted, snapshot_of(pair.source))


def test_a_restore_that_is_killed_leaves_no_large_directory_closed(history: History) -> None:
    """A new directory is closed until it has its attributes, and not until the whole restore is over."""
    pair = history.pair
    make_flat(pair.source)
    write(f"{pair.source}/beside", b"so that fpsync has no part in it")
    os.chown(f"{pair.source}/flat", 4711, 4712)
    history.night()
    wanted = snapshot_of(pair.source)
    shutil.rmtree(f"{pair.source}/flat")
    restore_killed_at(pair, 100)
    left = os.stat(f"{pair.source}/flat")
    assert (stat.S_IMODE(left.st_mode), left.st_uid, left.st_gid) == (0o755, 4711, 4712)
    restored(history)
    assert_same(wanted, snapshot_of(pair.source))
