"""Verify: re-reads every file against its checksum and every entry against the manifest, and names what differs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
from tests.support import calls
from tests.support.changes import overwrite
from tests.support.command import DONE, NOT_DONE, expect_one_line
from tests.support.faults import Call, supervise
from tests.support.history import History
from tests.support.zoo import make_plain, make_zoo, plain_file, write

VICTIM = b"000/000000/file-0000007"


def flip_one_bit(path: str) -> None:
    """One bit, the times put back: what a failing disk does."""
    info = os.lstat(path)
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def test_a_sound_snapshot_verifies_and_the_list_says_so(history: History) -> None:
    make_plain(history.pair.source, 120)
    history.night()
    assert history.pair.list()[0]["verified"] is None
    checked = history.pair.verify().report
    assert (checked["files_checked"], checked["mismatches"]) == (120, [])
    assert history.pair.list()[0]["verified"] is True
    history.check()


def test_every_kind_of_entry_verifies(history: History) -> None:
    make_zoo(history.pair.source)
    for _ in range(3):
        history.night("--retain", "1")
    assert history.pair.verify().report["mismatches"] == []
    history.check()


def test_every_file_is_read_again(history: History) -> None:
    make_plain(history.pair.source, 40)
    history.night()
    device, opened = os.stat(history.pair.backup).st_dev, set[bytes]()

    def note(call: Call) -> None:
        if call.device() == device and call.file_name().startswith(b"file-"):
            opened.add(call.file_name())

    supervise(history.pair.arguments("verify"), calls.OPENING, note).expect(DONE)
    assert len(opened) == 40


DAMAGE: dict[str, tuple[Callable[[str], object], ...]] = {
    "one flipped bit": (lambda root: flip_one_bit(plain_file(root, 7)),),
    "a file missing": (lambda root: os.unlink(plain_file(root, 7)),),
    "a file cut": (lambda root: os.truncate(plain_file(root, 7), 5),),
    "another mode": (lambda root: os.chmod(plain_file(root, 7), 0o600),),
    "another owner": (lambda root: os.chown(plain_file(root, 7), 1, -1),),
    "another group": (lambda root: os.chown(plain_file(root, 7), -1, 1),),
    "another time, by one nanosecond": (
        lambda root: os.utime(plain_file(root, 7), ns=(0, os.stat(plain_file(root, 7)).st_mtime_ns + 1)),
    ),
    "a file become a directory": (
        lambda root: os.unlink(plain_file(root, 7)),
        lambda root: os.mkdir(plain_file(root, 7)),
    ),
    "a file become a symbolic link": (
        lambda root: os.unlink(plain_file(root, 7)),
        lambda root: os.symlink("file-0000008", plain_file(root, 7)),
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_and_named(what: str, history: History) -> None:
    make_plain(history.pair.source, 60)
    history.night()
    for step in DAMAGE[what]:
        step(history.pair.snapshot())
    checked = history.pair.verify(status=NOT_DONE)
    assert VICTIM in checked.paths("mismatches")
    assert checked.paths("mismatches") <= {VICTIM, os.path.dirname(VICTIM)}
    assert history.pair.list()[0]["verified"] is False


def test_an_extra_file_is_found_and_named(history: History) -> None:
    make_plain(history.pair.source, 60)
    history.night()
    write(f"{history.pair.snapshot()}/000/000001/extra", b"not from the source")
    assert b"000/000001/extra" in history.pair.verify(status=NOT_DONE).paths("mismatches")


def test_an_extra_and_a_missing_directory_and_a_changed_link_are_found(history: History) -> None:
    make_plain(history.pair.source, 60)
    os.symlink("here", f"{history.pair.source}/link")
    os.mkdir(f"{history.pair.source}/empty")
    history.night()
    top = history.pair.snapshot()
    os.rmdir(f"{top}/empty")
    os.mkdir(f"{top}/more")
    os.unlink(f"{top}/link")
    os.symlink("there", f"{top}/link")
    assert {b"empty", b"more", b"link"} <= history.pair.verify(status=NOT_DONE).paths("mismatches")


def test_a_broken_hard_link_group_is_found(history: History) -> None:
    write(f"{history.pair.source}/one", b"same")
    os.link(f"{history.pair.source}/one", f"{history.pair.source}/two")
    history.night()
    top = history.pair.snapshot()
    subprocess.run(["cp", "-p", f"{top}/one", f"{top}/two.new"], check=True)
    os.rename(f"{top}/two.new", f"{top}/two")
    assert history.pair.verify(status=NOT_DONE).paths("mismatches") & {b"one", b"two"}


def test_damage_in_names_that_are_not_text_is_named_by_its_bytes(history: History) -> None:
    name = b"new\nline \xff -x"
    write(os.fsencode(history.pair.source) + b"/" + name, b"content")
    history.night()
    flip_one_bit(os.fsdecode(os.fsencode(history.pair.snapshot()) + b"/" + name))
    assert history.pair.verify(status=NOT_DONE).paths("mismatches") == {name}


def test_damage_is_neither_linked_nor_recycled(history: History) -> None:
    """What verify found must not go on into the snapshots of the nights to come."""
    make_plain(history.pair.source, 60)
    for _ in range(3):
        history.night("--retain", "2")
    flip_one_bit(plain_file(history.pair.snapshot(), 7))
    history.pair.verify("--all", status=NOT_DONE)
    fresh = History(history.pair)  # the old ones are damaged now and known to be
    for _ in range(4):
        fresh.night("--retain", "2")
    assert fresh.pair.verify().report["mismatches"] == []


def test_all_snapshots_are_verified_by_all(history: History) -> None:
    make_plain(history.pair.source, 60)
    for night in range(3):
        write(f"{history.pair.source}/new", b"%d" % night)
        history.night()
    flip_one_bit(f"{history.pair.snapshot(2)}/new")
    history.pair.verify("--number", "0")
    history.pair.verify("--number", "2", status=NOT_DONE)
    checked = history.pair.verify("--all", status=NOT_DONE)
    assert checked.paths("mismatches") == {b"new"}
    assert len(checked.report["snapshots"]) == 3
    assert [snapshot["verified"] for snapshot in history.pair.list()] == [True, True, False]


def test_a_snapshot_is_verified_by_its_id_whatever_its_number(history: History) -> None:
    write(f"{history.pair.source}/file", b"first")
    first = history.night().report["id"]
    write(f"{history.pair.source}/file", b"second")
    history.night()
    flip_one_bit(f"{history.pair.snapshot(1)}/file")
    assert history.pair.verify("--snapshot", first, status=NOT_DONE).paths("mismatches") == {b"file"}


def test_against_the_source_what_changed_there_is_named(history: History) -> None:
    make_plain(history.pair.source, 60)
    history.night()
    assert history.pair.verify("--source", history.pair.source).report["mismatches"] == []
    overwrite(plain_file(history.pair.source, 7), 3)
    os.unlink(plain_file(history.pair.source, 9))
    differing = history.pair.verify("--source", history.pair.source, status=NOT_DONE).paths("mismatches")
    assert {VICTIM, b"000/000000/file-0000009"} <= differing
    assert history.pair.list()[0]["verified"] is True, "a changed source is no damage of the backup"


def test_verify_changes_nothing(history: History) -> None:
    make_zoo(history.pair.source)
    history.night()
    history.pair.verify()
    history.check()
    history.night()


@pytest.mark.parametrize("options", [("--number", "5"), ("--snapshot", "no-such-id")])
def test_a_snapshot_that_is_not_there_is_said_in_one_line(options: tuple[str, str], history: History) -> None:
    write(f"{history.pair.source}/file")
    history.night()
    finished = history.pair.run("verify", *options)
    assert finished.status in (1, 2)
    expect_one_line(finished, options[1])


def test_a_lost_manifest_is_never_taken_for_a_sound_snapshot(history: History) -> None:
    """Without what to compare with nothing is verified, and that is said."""
    make_plain(history.pair.source, 60)
    history.night()
    os.rename(f"{history.pair.folder}/.efs-backup", f"{history.pair.backup}/aside")
    assert history.pair.list()[0]["verified"] is None
    finished = history.pair.run("verify").expect(NOT_DONE)
    assert finished.report["snapshots"][0]["verified"] is None
    assert finished.report["snapshots"][0]["note"]
    assert history.pair.list()[0]["verified"] is None
