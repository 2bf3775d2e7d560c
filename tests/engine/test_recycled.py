"""Recycled: with the snapshots and a spare in place, a night makes and removes links only for what differs.

And nothing is stored twice because of what only looks like a change.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import Pair, command_line, environment
from tests.support.faults import Call, supervise
from tests.support.filesystems import ext4, two_file_systems
from tests.support.history import History
from tests.support.tree import assert_same, inodes_of, snapshot_of
from tests.support.zoo import OLD_NS, make_plain, plain_file, write

# Names and attributes; how often a manifest of some size is written to is another matter.
COUNTED = (*calls.LINKING, *calls.RENAMING, *calls.REMOVING, *calls.CREATING, *calls.SETTING)


def counted_night(pair: Pair, log: str) -> Counter[str]:
    """Back up under strace; how often each counted call was done, and each creation of a file."""
    names = ",".join(f"?{name}" for name in (*COUNTED, *calls.OPENING))  # strace need not know them all
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "0", "-o", log, "-e", f"trace={names}"]
    line = [*map(os.fsencode, strace), *command_line(*pair.arguments("backup", "--retain", "1"))]
    env = environment({"PYTHONDONTWRITEBYTECODE": "1"})
    done = subprocess.run(line, capture_output=True, env=env, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    counts: Counter[str] = Counter()
    with open(log, errors="replace") as file:
        for text in file:
            found = re.match(r"\d+ +(\w+)\(", text)
            if found and (found[1] in COUNTED or "O_CREAT" in text):
                counts[found[1]] += 1
    return counts


def change_twenty(pair: Pair, files: int, night: int) -> None:
    for number in range(20):
        write(plain_file(pair.source, number * files // 20 + night), content(night, 400), mtime_ns=OLD_NS + night)


def test_twenty_changed_files_cost_the_same_in_a_tree_of_5000_and_of_50000(tmp_path: os.PathLike[str]) -> None:
    counts: dict[int, Counter[str]] = {}
    for files in (5_000, 50_000):
        with two_file_systems() as (source, backup):
            pair = Pair(source, backup)
            make_plain(source, files, per_directory=100, size=20)
            for night in range(3):
                change_twenty(pair, files, night)
                pair.back_up("--retain", "1")
            change_twenty(pair, files, 3)
            counts[files] = counted_night(pair, os.path.join(tmp_path, "strace.log"))
            assert_same(snapshot_of(source), snapshot_of(pair.snapshot()))
    few, many = (sum(counts[files].values()) for files in (5_000, 50_000))
    assert few >= 20, counts
    assert many <= few * 1.10, f"{few} calls in the small tree, {many} in the large one: {counts}"
    assert few < 1000, counts


def test_a_quiet_night_stores_nothing_and_reads_no_file(history: History) -> None:
    make_plain(history.pair.source, 300)
    for _ in range(3):
        finished = history.night("--retain", "1")
    assert finished.report["files_transferred"] == 0
    assert finished.report["bytes_transferred"] == 0
    assert opened_files(history.pair) == set()


def opened_files(pair: Pair) -> set[bytes]:
    """Back up; which regular files of the source were opened to be read."""
    device, opened = os.stat(pair.source).st_dev, set[bytes]()

    def note(call: Call) -> None:
        if call.device() == device and not _only_a_handle(call):
            info = call.status()
            if info is not None and (info.st_mode & 0o170000) == 0o100000:
                opened.add(call.file_name())

    supervise(pair.arguments("backup", "--retain", "1"), calls.OPENING, note).expect(0)
    return opened


def _only_a_handle(call: Call) -> bool:
    return call.name == "openat" and bool(call.arguments[2] & os.O_PATH)


def test_the_night_reads_the_files_that_changed_and_no_others(history: History) -> None:
    make_plain(history.pair.source, 300)
    for _ in range(2):
        history.night("--retain", "1")
    write(plain_file(history.pair.source, 7), b"changed")
    assert opened_files(history.pair) == {b"file-0000007"}


def stored_again(history: History) -> set[bytes]:
    """Names that have another inode in snapshot 0 than in snapshot 1."""
    newest, older = inodes_of(history.pair.snapshot(0)), inodes_of(history.pair.snapshot(1))
    return {path for path in newest.keys() & older.keys() if newest[path] != older[path]}


def test_a_hard_link_added_to_a_source_file_stores_nothing_again(history: History) -> None:
    make_plain(history.pair.source, 100)
    history.night()
    os.link(plain_file(history.pair.source, 3), f"{history.pair.source}/second name")
    finished = history.night()
    assert finished.report["files_transferred"] == 0
    assert stored_again(history) == set()
    newest = inodes_of(history.pair.snapshot())
    assert newest[b"second name"] == newest[b"000/000000/file-0000003"]


def test_a_chown_that_changes_nothing_stores_nothing_again(history: History) -> None:
    make_plain(history.pair.source, 100)
    history.night()
    for number in range(100):
        os.chown(plain_file(history.pair.source, number), 0, 0)
    finished = history.night()
    assert finished.report["files_transferred"] == 0
    assert stored_again(history) == set()


def test_a_file_that_was_read_in_vain_is_not_read_again(history: History) -> None:
    make_plain(history.pair.source, 100)
    history.night("--retain", "1")
    os.chown(plain_file(history.pair.source, 5), 0, 0)
    assert opened_files(history.pair) <= {b"file-0000005"}
    assert opened_files(history.pair) == set()
    assert opened_files(history.pair) == set()


def test_a_source_on_another_file_system_stores_nothing_again(history: History, scratch: str) -> None:
    pair = history.pair
    make_plain(pair.source, 200)
    history.night("--source-id", "before the move")
    subprocess.run(["cp", "-a", f"{pair.source}/.", scratch], check=True)
    moved = History(Pair(scratch, pair.backup))
    moved.seen.update(history.seen)
    finished = moved.night("--source-id", "after the move", "--accept-source")
    assert finished.report["files_transferred"] == 0
    assert stored_again(moved) == set()


def test_the_same_source_mounted_elsewhere_is_known_and_stores_nothing_again(tmp_path: os.PathLike[str]) -> None:
    top = os.fspath(tmp_path)
    with two_file_systems() as (_, backup):
        for number, where in enumerate(("monday", "tuesday")):
            with ext4(f"{top}/{where}", f"{top}/image", 0 if number else 32) as source:
                if not number:
                    make_plain(source, 100)
                finished = History(Pair(source, backup)).night("--source-id", "fs-12345678")
        assert finished.report["files_transferred"] == 0
        assert stored_again(History(Pair(source, backup))) == set()


@pytest.mark.parametrize("linked", [1, 2])
def test_links_are_made_for_the_whole_tree_only_where_no_spare_is(linked: int, history: History) -> None:
    make_plain(history.pair.source, 500)
    retain = str(linked)
    for _ in range(linked):
        history.night("--retain", retain)
    history.night("--retain", retain)  # the last one without a spare
    device, links = os.stat(history.pair.backup).st_dev, Counter[str]()

    def count(call: Call) -> None:
        if call.device() == device:
            links[call.name] += 1

    supervise(history.pair.arguments("backup", "--retain", retain), calls.LINKING + calls.REMOVING, count).expect(0)
    assert sum(links.values()) < 50, links
    history.check()
    assert_same(snapshot_of(history.pair.source), snapshot_of(history.pair.snapshot()))
