"""Before anything is written, a probe of the backup file system refuses one that cannot keep what a backup needs."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from tests.support import calls
from tests.support.command import Finished, Pair, expect_one_line
from tests.support.faults import Call, Decision, Fail, Pretend, supervise
from tests.support.filesystems import ext4, is_root, make_mounts_private, mount, unmount
from tests.support.zoo import make_plain

CHOWN = tuple(name for name in ("chown", "lchown", "fchown", "fchownat") if name in calls.NUMBERS)
CHMOD = tuple(name for name in ("chmod", "fchmod", "fchmodat", "fchmodat2") if name in calls.NUMBERS)
UNFIT: dict[str, tuple[tuple[str, ...], Decision]] = {
    "owners are refused": (CHOWN, Fail(errno.EPERM)),
    "owners are squashed": (CHOWN, Pretend(0)),
    "modes are refused": (CHMOD, Fail(errno.EPERM)),
    "modes are ignored": (CHMOD, Pretend(0)),
    "hard links are refused": (calls.LINKING, Fail(errno.EPERM)),
    "hard links are not supported": (calls.LINKING, Fail(errno.EOPNOTSUPP)),
    "times are refused": (("utimensat",), Fail(errno.EPERM)),
    "times are ignored": (("utimensat",), Pretend(0)),
    "nothing may be written": ((*calls.CREATING, *calls.OPENING), Fail(errno.EROFS)),
}


def check_refused(finished: Finished, pair: Pair) -> None:
    """Refused in one line that names the directory; no snapshot, nothing of the source was copied."""
    assert finished.status in (1, 2), finished
    assert len(finished.errors) == 1, finished.stderr
    assert pair.backup in finished.errors[0], finished.errors
    assert "Traceback" not in finished.stderr
    names = [name for _, _, files in os.walk(pair.backup) for name in files]
    assert not any(name.startswith("file-") for name in names)
    assert pair.published() == set()


@pytest.mark.parametrize("what", UNFIT)
def test_an_unfit_backup_file_system_is_refused(what: str, pair: Pair) -> None:
    asked, answer = UNFIT[what]
    make_plain(pair.source, 10)
    device = os.stat(pair.backup).st_dev

    def decide(call: Call) -> Decision:
        return answer if call.device() == device and call.modifies else None

    check_refused(supervise(pair.arguments("backup"), asked, decide), pair)
    pair.back_up()


def test_a_file_system_without_nanoseconds_is_refused(pair: Pair, tmp_path: os.PathLike[str]) -> None:
    """ext4 with inodes of 128 bytes has whole seconds."""
    image, where = f"{tmp_path}/image", f"{tmp_path}/where"
    with open(image, "wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-F", "-I", "128", image], check=True, capture_output=True)
    make_plain(pair.source, 10)
    with ext4(where, image):
        coarse = Pair(pair.source, where)
        check_refused(coarse.run("backup"), coarse)


def test_a_read_only_backup_file_system_is_refused(pair: Pair) -> None:
    make_plain(pair.source, 10)
    mount("-o", "remount,ro", pair.backup)
    check_refused(pair.run("backup"), pair)


def test_a_label_that_root_may_not_open_is_told_as_squashed_and_not_as_absent(pair: Pair) -> None:
    """So NFS answers where root is another user there: the folder could be made by anybody, and is nobody's."""
    make_plain(pair.source, 10)
    label = os.fsencode(pair.label)

    def decide(call: Call) -> Decision:
        return Fail(errno.EACCES) if call.file_name() == label else None

    finished = supervise(pair.arguments("backup"), calls.OPENING, decide)
    assert finished.status == 2, finished
    assert "squash" in expect_one_line(finished, pair.backup)


def test_a_user_without_rights_is_told_so(pair: Pair) -> None:
    make_plain(pair.source, 10)
    os.chmod(pair.backup, 0o777)
    finished = pair.run("backup", prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert finished.status in (1, 2), finished
    expect_one_line(finished, "root")
    assert os.listdir(pair.backup) == []


def test_a_fit_file_system_keeps_nothing_of_the_probe(pair: Pair) -> None:
    pair.back_up()
    names = {name for _, directories, files in os.walk(pair.backup) for name in directories + files}
    assert not any("probe" in name for name in names), names


def test_a_read_only_source_is_fine(pair: Pair) -> None:
    """It is mounted so by a backup."""
    assert is_root()
    make_mounts_private()
    make_plain(pair.source, 10)
    mount("-o", "remount,ro", pair.source)
    pair.back_up()
    pair.back_up()
    unmount(pair.source)
