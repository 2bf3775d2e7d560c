"""What a person at a terminal sees: help with examples that work, a table in colour, a progress bar."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess

import pytest
from tests.support.command import Pair, command_line, environment

ESCAPE = "\x1b["
VERBS = ("backup", "list", "verify", "restore")


def on_a_terminal(*arguments: str, extra: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the command on a terminal of 160 columns; return its status and what was seen there."""
    ours, theirs = pty.openpty()
    settings = environment({"TERM": "xterm-256color", "COLUMNS": "160", **(extra or {})})
    process = subprocess.Popen(
        command_line(*arguments), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=settings
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    return process.wait(), seen.decode()


def printed(*arguments: str) -> str:
    """Return what the command prints into a pipe."""
    return subprocess.run(
        command_line(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        check=True,
        text=True,
    ).stdout


def examples(verb: str) -> list[list[str]]:
    """Return the calls that the help of a verb gives as examples, without the command's name."""
    text = printed(verb, "--help").partition("examples:")[2]
    return [shlex.split(line.partition("efs-backup ")[2]) for line in text.splitlines() if "efs-backup " in line]


@pytest.fixture
def backed_up(pair: Pair) -> Pair:
    """A pair with one snapshot of each interval that the examples name."""
    os.makedirs(f"{pair.source}/home")
    for path in ("home/notes.txt", "more"):
        with open(f"{pair.source}/{path}", "w") as file:
            file.write(path)
    for interval in ("daily", "weekly"):
        pair.run("backup", "--interval", interval).expect(0)
    pair.run("backup").expect(0)
    return pair


@pytest.mark.parametrize("verb", VERBS)
def test_every_example_of_the_help_works_as_it_is_printed(backed_up: Pair, verb: str) -> None:
    given = examples(verb)
    assert len(given) >= 2, f"{verb} --help shows {len(given)} examples"
    for words in given:
        real = [w.replace("/mnt/source", backed_up.source).replace("/mnt/backup", backed_up.backup) for w in words]
        done = subprocess.run(command_line(*real), stdin=subprocess.DEVNULL, capture_output=True, env=environment())
        assert done.returncode == 0, (words, done.stderr)


def test_list_has_colour_on_a_terminal_only(backed_up: Pair) -> None:
    call = ("list", "--backup", backed_up.backup)
    status, seen = on_a_terminal(*call)
    assert status == 0
    assert ESCAPE in seen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    piped = printed(*call)
    assert ESCAPE not in piped
    # The same cells in the same order, whatever the width of the columns and the age that goes on.
    assert [row.split()[0] for row in plain.splitlines()] == [row.split()[0] for row in piped.splitlines()]
    assert [row.split()[-1] for row in plain.splitlines()] == [row.split()[-1] for row in piped.splitlines()]
    assert "daily.1" in plain and "complete" in plain


def test_no_color_is_minded(backed_up: Pair) -> None:
    status, seen = on_a_terminal("list", "--backup", backed_up.backup, extra={"NO_COLOR": "1"})
    assert status == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", seen), seen


def test_a_terminal_sees_a_bar_and_a_log_sees_none(backed_up: Pair) -> None:
    call = ("backup", "--source", backed_up.source, "--backup", backed_up.backup)
    status, seen = on_a_terminal(*call)
    assert status == 0
    assert "compare" in seen and "files" in seen and "\r" in seen
    logged = subprocess.run(command_line(*call), stdin=subprocess.DEVNULL, capture_output=True, env=environment())
    assert ESCAPE.encode() not in logged.stderr + logged.stdout
