"""Bad use: a mistake of the caller's ends with status 2, one line that names it, and nothing written."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

import pytest
from tests.support.command import BAD_USE, Pair, expect_one_line, run
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import write


@pytest.fixture
def filled(pair: Pair) -> Iterator[Pair]:
    """A pair whose source holds a file and whose backup must stay empty."""
    write(f"{pair.source}/file", b"content")
    before = snapshot_of(pair.source)
    yield pair
    assert_same(before, snapshot_of(pair.source), what="the source")


def refused(pair: Pair, *arguments: str | bytes, names: str = "", env: dict[str, str] | None = None) -> str:
    """Run the arguments; they must be refused in one line, and the backup file system stay as it was."""
    before = snapshot_of(pair.backup)
    line = expect_one_line(run(*arguments, env=env).expect(BAD_USE), names)
    assert_same(before, snapshot_of(pair.backup), what="the backup file system")
    return line


BAD_OPTIONS = {
    "retain 0": ("--retain", "0"),
    "a negative retain": ("--retain", "-3"),
    "retain that is no number": ("--retain", "seven"),
    "retain that is no whole number": ("--retain", "1.5"),
    "retain that is nothing": ("--retain", ""),
    "a label with a slash": ("--folder-label", "a/b"),
    "a label that leads up": ("--folder-label", ".."),
    "a label that is the directory itself": ("--folder-label", "."),
    "an empty label": ("--folder-label", ""),
    "a label that is too long": ("--folder-label", "x" * 256),
    "an interval with a slash": ("--interval", "daily/x"),
    "an empty interval": ("--interval", ""),
    "an interval that leads up": ("--interval", ".."),
    "no workers": ("--workers", "0"),
    "workers that are no number": ("--workers", "many"),
}


@pytest.mark.parametrize("what", BAD_OPTIONS)
def test_an_impossible_option_is_refused(what: str, filled: Pair) -> None:
    option, value = BAD_OPTIONS[what]
    refused(filled, "backup", "--source", filled.source, "--backup", filled.backup, option, value, names=value[:60])


def test_a_source_that_is_not_there_is_refused(filled: Pair) -> None:
    missing = os.path.join(filled.source, "missing")
    refused(filled, "backup", "--source", missing, "--backup", filled.backup, names=missing)


def test_a_source_that_is_a_file_is_refused(filled: Pair) -> None:
    file = os.path.join(filled.source, "file")
    refused(filled, "backup", "--source", file, "--backup", filled.backup, names=file)


def test_a_backup_that_is_not_there_is_refused(filled: Pair) -> None:
    missing = os.path.join(filled.backup, "missing")
    refused(filled, "backup", "--source", filled.source, "--backup", missing, names=missing)
    for verb in ("list", "verify"):
        refused(filled, verb, "--backup", missing, names=missing)


def test_a_backup_that_is_a_file_is_refused(filled: Pair) -> None:
    file = os.path.join(filled.source, "file")
    refused(filled, "backup", "--source", filled.source, "--backup", file, names=file)


def test_a_backup_inside_of_the_source_is_refused(filled: Pair) -> None:
    inside = os.path.join(filled.backup, "source", "backup")
    os.makedirs(inside)
    refused(filled, "backup", "--source", os.path.dirname(inside), "--backup", inside, names=inside)


def test_a_source_inside_of_the_backups_folder_is_refused(filled: Pair) -> None:
    inside = os.path.join(filled.folder, "daily.0")
    os.makedirs(inside)
    refused(filled, "backup", "--source", inside, "--backup", filled.backup, names=inside)


def test_a_source_that_is_the_backup_is_refused(filled: Pair) -> None:
    refused(filled, "backup", "--source", filled.backup, "--backup", filled.backup, names=filled.backup)


def test_a_backup_inside_of_the_source_is_known_behind_a_symbolic_link(filled: Pair) -> None:
    inside = os.path.join(filled.backup, "source", "backup")
    os.makedirs(inside)
    link = os.path.join(filled.backup, "link")
    os.symlink(inside, link)
    refused(filled, "backup", "--source", os.path.dirname(inside), "--backup", link)


@pytest.mark.parametrize("missing", ["rsync", "fpsync"])
def test_a_missing_tool_is_named(missing: str, filled: Pair, tmp_path: os.PathLike[str]) -> None:
    tools = os.path.join(tmp_path, "bin")
    os.mkdir(tools)
    for directory in os.environ["PATH"].split(":"):
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            link = os.path.join(tools, name)
            if name != missing and not os.path.lexists(link):
                os.symlink(os.path.join(directory, name), link)
    assert shutil.which(missing, path=tools) is None
    arguments = ("backup", "--source", filled.source, "--backup", filled.backup)
    refused(filled, *arguments, names=missing, env={"PATH": tools})


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("no-such-verb",),
        ("backup",),
        ("backup", "--source", "/tmp"),
        ("backup", "--no-such-option"),
        ("list",),
        ("verify", "--backup", "/tmp", "--number", "x"),
        ("verify", "--backup", "/tmp", "--number", "0", "--all"),
        ("restore", "--backup", "/tmp"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(arguments: tuple[str, ...], filled: Pair) -> None:
    finished = run(*arguments)
    assert finished.status == BAD_USE
    assert finished.errors, finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == b""


def test_another_source_under_the_same_label_is_refused_unless_asked_for(filled: Pair, scratch: str) -> None:
    filled.back_up("--source-id", "fs-1")
    write(f"{scratch}/other", b"of another source")
    other = Pair(scratch, filled.backup)
    published = snapshot_of(filled.snapshot())
    finished = other.run("backup", "--source-id", "fs-2")
    assert finished.status in (1, BAD_USE)
    expect_one_line(finished, "source")
    assert filled.published() == {"daily.0"}
    assert_same(published, snapshot_of(filled.snapshot()))
    other.back_up("--source-id", "fs-2", "--accept-source")
    assert_same(snapshot_of(scratch), snapshot_of(filled.snapshot()))
    other.back_up("--source-id", "fs-2")


def test_a_file_where_the_state_directory_should_be_is_refused(filled: Pair) -> None:
    write(f"{filled.folder}/.efs-backup", b"not a directory")
    before = snapshot_of(filled.backup)
    finished = filled.run("backup")
    assert finished.status in (1, BAD_USE)
    assert len(finished.errors) == 1, finished.stderr
    assert_same(before, snapshot_of(filled.backup))


def test_help_is_no_mistake() -> None:
    for arguments in (("--help",), ("backup", "--help"), ("restore", "--help")):
        finished = run(*arguments).expect(0)
        assert b"--" in finished.stdout
    assert sys.executable
