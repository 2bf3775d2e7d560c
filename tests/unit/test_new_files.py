"""What stands under the name of a new file in staging is never written to, whatever it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from efs_backup.effects import copy, tree

CONTENT = b"what the source has"


def _linked(path: Path) -> None:
    path.with_name("published").write_bytes(b"")
    path.hardlink_to(path.with_name("published"))


def _full(path: Path) -> None:
    path.write_bytes(b"something else, and longer than the source")


def _symbolic_link(path: Path) -> None:
    path.with_name("published").write_bytes(b"")
    path.symlink_to("published")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("stands", [None, _linked, _full, _symbolic_link, _fifo])
def test_a_new_file_is_a_new_inode(tmp_path: Path, stands: Callable[[Path], None] | None, exclusive: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "name").write_bytes(CONTENT)
    (source / "name").chmod(0o640)
    os.utime(source / "name", ns=(1, 1_234_567_890_123_456_789))
    if stands:
        stands(target / "name")
    with tree.directory(tree.open_root(str(tmp_path)), "source") as one, tree.directory(one, "../target") as other:
        entry = tree.look_at(one, "name")
        assert entry is not None
        copied = copy.copy_entry(one, other, "name", entry, lambda: None, exclusive=exclusive)
    made = (target / "name").lstat()
    assert (target / "name").read_bytes() == CONTENT
    assert (made.st_ino, made.st_nlink, made.st_mode, made.st_mtime_ns) == (
        copied.record.bino,
        1,
        0o100640,
        1_234_567_890_123_456_789,
    )
    published = target / "published"
    assert not published.exists() or (published.read_bytes() == b"" and published.stat().st_nlink == 1)
