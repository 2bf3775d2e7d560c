"""Blocks, frames, catalogs and the lines of rsync: what is written is what is read, and damage is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efs_backup.effects.frames import FrameReader, FrameWriter, unsealed_frames
from efs_backup.pure.block import Block, DirectoryAttributes, bucket_of, buckets_for, decode, encode
from efs_backup.pure.catalog import Catalog, Journal, Move, Snapshot, parse_catalog, parse_journal
from efs_backup.pure.errors import BackupError, FormatError, UsageError
from efs_backup.pure.fpsync import counted, parse_line, runs_by_directory, unescaped, without
from efs_backup.pure.layout import checked_interval, checked_label
from efs_backup.pure.records import Record

number = st.integers(0, 2**64 - 1)
time = st.integers(-(2**63), 2**63 - 1)
name = st.binary(min_size=1, max_size=20).filter(lambda b: b"\0" not in b and b"/" not in b).map(os.fsdecode)
record = st.builds(
    Record, st.integers(0, 2**17), number, number, st.integers(0, 2**50), time, time, number, number, number, number,
    st.sampled_from([b"", b"c" * 16]), st.binary(max_size=30),
)  # fmt: skip
directory = st.builds(DirectoryAttributes, number, number, number, time, time, number, number)
block = st.builds(
    Block, directory, st.dictionaries(name, record, max_size=8), st.lists(name, unique=True, max_size=4),
    st.lists(name, unique=True, max_size=4), st.sampled_from([1, 2, 64]),
)  # fmt: skip


@given(block)
def test_a_block_is_read_as_it_was_written(written: Block) -> None:
    assert decode(encode(written)) == written


@given(block, st.data())
def test_a_block_that_is_cut_off_is_an_error_and_nothing_else(written: Block, data: st.DataObject) -> None:
    raw = encode(written)
    with pytest.raises(FormatError):
        decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.lists(name, unique=True, max_size=50), st.integers(0, 7))
def test_each_name_has_one_bucket_and_halving_keeps_it(names: list[str], power: int) -> None:
    for one in names:
        assert bucket_of(one, 2**power) == bucket_of(one, 2 ** (power + 1)) % 2**power
    assert buckets_for(4096) == 1
    assert buckets_for(4097) == 2


def frames_file(path: Path) -> FrameWriter:
    return FrameWriter(os.open(path, os.O_RDWR | os.O_CREAT))


def test_of_several_frames_under_one_path_the_last_counts(tmp_path: Path) -> None:
    writer = frames_file(tmp_path / "f")
    for path, bucket, payload in [("a", 0, b"old"), ("b", 0, b"b"), ("a", 1, b"a1"), ("a", 0, b"new")]:
        writer.append(path, bucket, payload, files=1, size=len(payload))
    assert writer.totals() == (3, 3, 6)
    writer.seal({"x": 1})
    writer.close()
    reader = FrameReader(os.open(tmp_path / "f", os.O_RDONLY), "f")
    assert (reader.get("a"), reader.get("a", 1), reader.get("b"), reader.get("c")) == (b"new", b"a1", b"b", None)
    assert reader.summary == {"x": 1}


def test_a_file_without_frames_can_be_sealed_and_read(tmp_path: Path) -> None:
    writer = frames_file(tmp_path / "f")
    assert writer.totals() == (0, 0, 0)
    writer.seal({})
    writer.close()
    assert FrameReader(os.open(tmp_path / "f", os.O_RDONLY), "f").get("") is None


def test_whole_frames_of_a_torn_file_are_read_and_the_torn_one_dropped(tmp_path: Path) -> None:
    writer = frames_file(tmp_path / "f")
    writer.append("a", 0, b"first")
    writer.append("b", 0, b"second")
    writer.close()
    size = (tmp_path / "f").stat().st_size
    for cut in range(1, 10):
        os.truncate(tmp_path / "f", size - cut)
        descriptor = os.open(tmp_path / "f", os.O_RDONLY)
        assert [frame.payload for _, _, frame in unsealed_frames(descriptor)] == [b"first"]
        os.close(descriptor)


def test_one_flipped_bit_in_a_sealed_file_is_noticed(tmp_path: Path) -> None:
    writer = frames_file(tmp_path / "f")
    writer.append("a", 0, b"payload")
    writer.seal({"x": 1})
    writer.close()
    whole = (tmp_path / "f").read_bytes()
    unused = range(len(whole) - 12, len(whole) - 8)
    for at in [at for at in range(20, len(whole)) if at not in unused]:
        (tmp_path / "g").write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            found = FrameReader(os.open(tmp_path / "g", os.O_RDONLY), "g").get("a")
        except BackupError:
            continue
        assert found is None or at < 20, f"the flip at {at} went unnoticed"


def test_a_journal_is_the_next_catalog_too() -> None:
    after = Catalog((Snapshot("a", 1, True, "t", "u", 3, 4), Snapshot("b", 2, False)), Snapshot("s", 9, True))
    journal = Journal((Move(1, "staging", "daily.0"),), "a", after)
    assert parse_journal(journal.to_json(), "j") == journal
    assert parse_catalog(journal.to_json(), "j") == after


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 99}', '{"version": 1}', '{"version": 1, "snapshots": [{}], "spare": null}']
)
def test_a_damaged_catalog_is_named(text: str) -> None:
    with pytest.raises(FormatError, match="the/catalog"):
        parse_catalog(text, "the/catalog")


def test_names_are_read_as_rsync_prints_them() -> None:
    assert unescaped(rb"a\#012b\#377\#134#012") == b"a\nb\xff\\#012"
    line = parse_line(b"d41d8cd98f00b204e9800998ecf8427e:12:dir/a:b\n")
    assert line is not None
    assert (line.path, line.size, line.checksum.hex()) == (b"dir/a:b", 12, "d41d8cd98f00b204e9800998ecf8427e")


@pytest.mark.parametrize(
    "line", [b":0:dir/\n", b"\n", b"rsync: error\n", b"d41d8cd98f00b204e9800998ecf8427e:x:a\n", b":3:link\n"]
)
def test_lines_that_are_about_no_copied_file_are_passed_over(line: bytes) -> None:
    assert parse_line(line) is None


def test_lines_are_grouped_by_neighbouring_directories() -> None:
    sums = b"0" * 32
    lines = [sums + b":1:a/x\n", sums + b":1:a/y\n", b":4096:a/\n", sums + b":1:top\n", sums + b":1:a/z\n"]
    assert [(d, len(run.splitlines())) for d, run in runs_by_directory(lines)] == [(b"a", 2), (b"", 1), (b"a", 1)]


def test_names_are_taken_out_of_a_list() -> None:
    assert without(b"./a\0./b\0./c\0", [False, True, False]) == b"./a\0./c\0"


@pytest.mark.parametrize("label", ["", "a/b", ".hidden", "..", "x" * 256])
def test_a_label_that_is_no_directory_name_is_refused(label: str) -> None:
    with pytest.raises(UsageError, match="folder label"):
        checked_label(label)


@pytest.mark.parametrize("interval", ["", "a/b", "a.b", "-x", "ä"])
def test_an_interval_that_cannot_name_snapshots_is_refused(interval: str) -> None:
    with pytest.raises(UsageError, match="interval"):
        checked_interval(interval)


def test_progress_counts_files_and_the_bytes_of_regular_ones() -> None:
    checksum = b"d41d8cd98f00b204e9800998ecf8427e"
    said = b"".join(
        (
            checksum + b":1200:./a/file\n",
            b" " * 32 + b":40:./a/link\n",
            b":4096:./a/\n",
            checksum + b":34:./a/with:colons:12\n",
        )
    )
    assert counted(said) == (3, 1234)
    assert counted(b"") == (0, 0)
