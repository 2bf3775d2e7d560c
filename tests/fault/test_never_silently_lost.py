"""Other mounts are not entered, and named; what a backup cannot keep is kept or named, never silently lost."""

from __future__ import annotations

import os
import socket
import struct

from tests.support.command import Finished
from tests.support.filesystems import bound, tmpfs
from tests.support.history import History
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain, write

USER_OBJECT, USER, GROUP_OBJECT, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


def test_another_file_system_below_the_source_is_not_entered_and_named(history: History) -> None:
    source = history.pair.source
    make_plain(source, 20)
    with tmpfs(f"{source}/000/mounted") as mounted:
        write(f"{mounted}/not ours", b"of another file system")
        for _ in range(2):
            finished = history.pair.back_up()
            assert finished.report["other_mounts"] == ["000/mounted"]
            snapshot = snapshot_of(history.pair.snapshot())
            assert b"000/mounted/not ours" not in snapshot
            assert snapshot.get(b"000/mounted") is None or snapshot[b"000/mounted"].kind == "directory"
            history.check()
            history.record()
            assert os.path.exists(f"{mounted}/not ours")


def test_a_bind_mount_of_the_same_file_system_is_not_entered_and_named(history: History) -> None:
    """The device number is the same, so it does not tell."""
    source = history.pair.source
    make_plain(source, 20)
    os.mkdir(f"{source}/again")
    with bound(f"{source}/000", f"{source}/again"):
        finished = history.pair.back_up()
        assert finished.report["other_mounts"] == ["again"]
        snapshot = snapshot_of(history.pair.snapshot())
        assert not any(path.startswith(b"again/") for path in snapshot)
        assert sum(path.startswith(b"000/000000/") for path in snapshot) == 20


def test_a_file_that_is_a_mount_is_named(history: History) -> None:
    source = history.pair.source
    make_plain(source, 5)
    write(f"{source}/covered", b"below the mount")
    write(f"{source}/000/other", b"of elsewhere")
    with tmpfs(os.path.join(os.path.dirname(source), "more")) as more:
        write(f"{more}/file", b"not ours")
        from tests.support.filesystems import mount, unmount

        mount("--bind", f"{more}/file", f"{source}/covered")
        finished = history.pair.run("backup")
        unmount(f"{source}/covered")
    assert finished.report["other_mounts"] == ["covered"]
    assert snapshot_of(history.pair.snapshot()).get(b"covered") is None or not _contains(history, b"not ours")


def _contains(history: History, text: bytes) -> bool:
    with open(f"{history.pair.snapshot()}/covered", "rb") as file:
        return file.read() == text


def test_the_mount_is_gone_and_what_it_covered_is_backed_up(history: History) -> None:
    source = history.pair.source
    make_plain(source, 20)
    with tmpfs(f"{source}/000/mounted"):
        history.pair.back_up()
    write(f"{source}/000/mounted/below", b"was covered")
    history.record()
    history.night()


def test_a_delete_in_a_restore_spares_other_mounts(history: History) -> None:
    source = history.pair.source
    make_plain(source, 20)
    with tmpfs(f"{source}/000/mounted") as mounted:
        write(f"{mounted}/not ours", b"of another file system")
        history.pair.back_up()
        write(f"{source}/mine")
        history.pair.restore("--delete")
        assert os.path.exists(f"{mounted}/not ours")
        assert not os.path.exists(f"{source}/mine")


def test_a_mount_that_came_later_is_not_deleted_by_a_restore(history: History) -> None:
    source = history.pair.source
    make_plain(source, 20)
    history.night()
    with tmpfs(f"{source}/000/later") as mounted:
        write(f"{mounted}/not ours", b"of another file system")
        history.pair.run("restore", "--delete")
        assert os.path.exists(f"{mounted}/not ours")


def kept_or_named(finished: Finished, name: str, kept: bool) -> None:
    """Fail unless it is in the snapshot as it was, or named with a reason."""
    reason = finished.report["not_kept"].get(name)
    assert kept or (isinstance(reason, str) and reason), finished.report


def test_a_socket_is_kept_or_named(history: History) -> None:
    source = history.pair.source
    make_plain(source, 5)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{source}/000/socket")
        for _ in range(3):
            finished = history.pair.back_up("--retain", "1")
            snapshot = snapshot_of(history.pair.snapshot())
            kept_or_named(finished, "000/socket", b"000/socket" in snapshot)
            history.check()
            history.record()
    assert_same(
        {path: entry for path, entry in snapshot_of(source).items() if path != b"000/socket"},
        {path: entry for path, entry in snapshot.items() if path != b"000/socket"},
    )


def test_extended_attributes_are_kept_or_named(history: History) -> None:
    source, snapshot = history.pair.source, history.pair.snapshot()
    make_plain(source, 5)
    write(f"{source}/marked", b"content")
    os.mkdir(f"{source}/marked directory")
    for name in ("marked", "marked directory"):
        os.setxattr(f"{source}/{name}", "user.colour", b"blue\0\xff")
    for _ in range(3):
        finished = history.night("--retain", "1")
        for name in ("marked", "marked directory"):
            kept_or_named(finished, name, _attribute(f"{snapshot}/{name}", "user.colour") == b"blue\0\xff")


def _attribute(path: str, name: str) -> bytes | None:
    return os.getxattr(path, name) if name in os.listxattr(path) else None


def test_file_capabilities_are_kept_or_named(history: History) -> None:
    """They are the setuid of today."""
    source = history.pair.source
    write(f"{source}/ping", b"#!", mode=0o755)
    capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    os.setxattr(f"{source}/ping", "security.capability", capability)
    for _ in range(3):
        finished = history.night("--retain", "1")
        kept = _attribute(f"{history.pair.snapshot()}/ping", "security.capability") == capability
        kept_or_named(finished, "ping", kept)


def test_access_control_lists_are_kept_or_named(history: History) -> None:
    source = history.pair.source
    write(f"{source}/shared", b"content", mode=0o640)
    entries = [(USER_OBJECT, 6, -1), (USER, 7, 1234), (GROUP_OBJECT, 4, -1), (MASK, 7, -1), (OTHER, 0, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(f"{source}/shared", "system.posix_acl_access", acl)
    for _ in range(3):
        finished = history.night("--retain", "1")
        kept = _attribute(f"{history.pair.snapshot()}/shared", "system.posix_acl_access") == acl
        kept_or_named(finished, "shared", kept)


def test_what_is_not_kept_does_not_make_a_night_fail(history: History) -> None:
    source = history.pair.source
    write(f"{source}/marked", b"content")
    os.setxattr(f"{source}/marked", "user.colour", b"blue")
    assert history.night().report["complete"] is True
    assert history.pair.verify().report["mismatches"] == []
