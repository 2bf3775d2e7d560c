"""Progress and reports: one JSON object on standard output, progress for people and logs on standard error."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import threading
import time

import pytest
from tests.support import calls
from tests.support.changes import content
from tests.support.command import Pair, command_line, environment, finish
from tests.support.faults import ended, slowly, start_supervised, supervise
from tests.support.history import History
from tests.support.zoo import make_plain, plain_file, write

BACKUP_KEYS = {
    "outcome": str,
    "snapshot": str,
    "id": str,
    "complete": bool,
    "files": int,
    "files_kept": int,
    "files_transferred": int,
    "files_linked": int,
    "files_deleted": int,
    "directories": int,
    "bytes": int,
    "bytes_transferred": int,
    "link_limit_copies": int,
    "changed_during_backup": list,
    "unreadable": list,
    "other_mounts": list,
    "not_kept": dict,
    "seconds": dict,
}
LIST_KEYS = {"number", "path", "id", "started", "finished", "files", "bytes", "verified", "complete"}


def test_the_report_of_a_backup_has_every_key(history: History) -> None:
    make_plain(history.pair.source, 60)
    report = history.night().report
    assert BACKUP_KEYS.keys() <= report.keys()
    for key, kind in BACKUP_KEYS.items():
        assert isinstance(report[key], kind), (key, report[key])
    assert report["seconds"] and all(isinstance(value, int | float) for value in report["seconds"].values())


def test_the_numbers_of_a_first_backup_are_those_of_the_tree(history: History) -> None:
    source = history.pair.source
    make_plain(source, 100, size=84)
    os.symlink("x", f"{source}/link")
    os.link(plain_file(source, 1), f"{source}/again")
    report = history.night().report
    assert report["files"] == 102
    assert report["bytes"] == 101 * 100
    assert report["files_transferred"] == 101  # inodes: the second name is none
    assert report["bytes_transferred"] == 100 * 100
    assert report["directories"] in (3, 4)  # with or without the root
    assert report["files_linked"] + report["files_kept"] + report["files_deleted"] <= 1
    listed = history.pair.list()[0]
    assert (listed["files"], listed["bytes"]) == (102, 101 * 100)


def test_the_numbers_of_a_night_are_those_of_the_changes(history: History) -> None:
    make_plain(history.pair.source, 100, size=84)
    history.night()
    write(plain_file(history.pair.source, 1), b"12345")
    os.unlink(plain_file(history.pair.source, 2))
    report = history.night().report
    assert (report["files"], report["files_transferred"], report["bytes_transferred"]) == (99, 1, 5)
    assert report["files_linked"] == 98
    assert report["bytes"] == 98 * 100 + 5


def test_the_numbers_of_a_recycled_night_count_what_was_kept(history: History) -> None:
    make_plain(history.pair.source, 100)
    for _ in range(3):
        report = history.night("--retain", "1").report
    assert (report["files_kept"], report["files_linked"], report["files_transferred"]) == (100, 0, 0)
    os.unlink(plain_file(history.pair.source, 2))
    assert history.night("--retain", "1").report["files_deleted"] == 1


def test_the_list_has_every_key_newest_first_and_times_in_order(history: History) -> None:
    make_plain(history.pair.source, 10)
    for _ in range(3):
        history.night()
    listed = history.pair.list()
    assert [snapshot["number"] for snapshot in listed] == [0, 1, 2]
    for snapshot in listed:
        assert snapshot.keys() >= LIST_KEYS
        assert snapshot["started"] <= snapshot["finished"]
        assert snapshot["complete"] is True
    assert listed[1]["finished"] <= listed[0]["started"]


def test_an_empty_backup_is_an_empty_list(pair: Pair) -> None:
    assert pair.list() == []
    assert os.listdir(pair.backup) == [], "list writes nothing"


def test_without_json_people_can_read_it(history: History) -> None:
    pair = history.pair
    make_plain(pair.source, 10)
    for verb in ("backup", "list", "verify", "restore"):
        arguments = [argument for argument in pair.arguments(verb) if argument != "--json"]
        done = subprocess.run(command_line(*arguments), capture_output=True, env=environment(), timeout=60)
        assert done.returncode == 0, done.stderr
        text = (done.stdout + done.stderr).decode()
        assert text.strip()
        assert not done.stdout.startswith(b"{")
        if verb == "list":
            assert "complete" in done.stdout.decode()


@pytest.mark.parametrize("verb", ["backup", "list", "verify", "restore"])
def test_with_json_there_is_one_object_and_nothing_else_on_standard_output(verb: str, history: History) -> None:
    make_plain(history.pair.source, 10)
    history.night()
    finished = history.pair.run(verb).expect(0)
    assert finished.stdout.count(b"\n") == 1 or json.loads(finished.stdout)
    assert finished.report


def test_a_log_gets_a_line_every_few_seconds(history: History) -> None:
    make_plain(history.pair.source, 900)
    history.night()
    slow = slowly(0.01, history.pair.source, b"file-")
    finished = supervise(history.pair.arguments("backup"), calls.LOOKING, slow, timeout=200).expect(0)
    assert finished.seconds > 8, "too quick to tell; slow it down"
    lines = finished.stderr.splitlines()
    assert 2 <= len(lines) <= finished.seconds * 3 + 20, finished.stderr
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_the_progress_file_is_rewritten_and_always_whole(history: History, tmp_path: os.PathLike[str]) -> None:
    make_plain(history.pair.source, 900)
    history.night()
    where = os.path.join(tmp_path, "progress.json")
    seen: list[dict[str, object]] = []
    arguments = history.pair.arguments("backup", "--progress-file", where)
    run = start_supervised(arguments, calls.LOOKING, slowly(0.01, history.pair.source, b"file-"))
    with ended(run.process):
        watcher = threading.Thread(target=_watch, args=(where, run.process, seen))
        watcher.start()
        finish(run.process, 200).expect(0)
        watcher.join()
    assert len(seen) >= 2, seen
    assert all(isinstance(value, dict) for value in seen)


def _watch(where: str, process: subprocess.Popen[bytes], seen: list[dict[str, object]]) -> None:
    while process.poll() is None:
        try:
            with open(where, "rb") as file:
                value = json.loads(file.read())
        except FileNotFoundError:
            value = None
        if value is not None and (not seen or seen[-1] != value):
            seen.append(value)
        time.sleep(0.05)


def test_a_terminal_gets_a_progress_bar(history: History) -> None:
    pair = history.pair
    for number in range(20):
        write(f"{pair.source}/large-{number}", content(number, 1 << 20))
    ours, theirs = pty.openpty()
    line = command_line(*pair.arguments("backup"))
    env = environment({"TERM": "xterm-256color", "COLUMNS": "120"})
    process = subprocess.Popen(line, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=env)
    os.close(theirs)
    shown = _read_terminal(ours, process)
    assert process.stdout is not None
    assert json.loads(process.stdout.read())["files"] == 20
    assert process.wait() == 0
    assert b"\x1b[" in shown or b"\r" in shown
    assert "━" in shown.decode(errors="replace") or b"%" in shown, shown[-500:]


def _read_terminal(terminal: int, process: subprocess.Popen[bytes]) -> bytes:
    shown = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if not ready:
            if process.poll() is not None:
                break
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    return shown


def test_the_fpsync_log_is_kept_where_it_was_asked_for(history: History, tmp_path: os.PathLike[str]) -> None:
    make_plain(history.pair.source, 300)
    logs = os.path.join(tmp_path, "logs")
    os.mkdir(logs)
    history.night("--log-dir", logs)
    texts = []
    for directory, _, names in os.walk(logs):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                texts.append(file.read())
    assert any(b"fpart" in text or b"fpsync" in text.lower() or b"Syncing" in text for text in texts), os.listdir(logs)
