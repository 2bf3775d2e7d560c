"""What the agent decides, as tables: which backup, when to stop, how to mount, what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from efs_backup.agent.pure.lease import Lease, Nothing, Work, work_for, work_without_table
from efs_backup.agent.pure.mounting import (
    NFS_OPTIONS,
    Mount,
    MountTarget,
    mount_arguments,
    nearest,
    why_not_mounted,
    worth_another_try,
)
from efs_backup.agent.pure.outcome import EngineRun, in_terms_of, outcome_of, sentence
from efs_backup.agent.pure.stopping import (
    FINISH_SECONDS,
    LEAST_SECONDS,
    SPOT,
    TERMINATED,
    TOLD,
    WINDOW,
    Signs,
    Stop,
    decide_stop,
)
from efs_backup.pure import errors
from efs_backup.pure.report import BackupReport

NOW = 1_795_572_000.0  # 2026-11-25T02:00:00Z
END = NOW + 3 * 3600
DRAIN = 10
DEADLINE = END - DRAIN * 60
LEASE = Lease("daily-1", END)


@pytest.mark.parametrize(
    ("lease", "item", "now", "expected"),
    [
        (LEASE, {}, NOW, Work("daily-1", DEADLINE)),
        (LEASE, None, NOW, Work("daily-1", DEADLINE)),
        (Lease("daily-1", END, instance_id="i-other"), {}, NOW, Work("daily-1", DEADLINE)),
        (LEASE, {}, DEADLINE - 1, Work("daily-1", DEADLINE)),
        (None, None, NOW, Nothing("no backup is to run")),
        (
            LEASE,
            {"BackupStatus": "Success"},
            NOW,
            Nothing("backup daily-1 has the status Success already", "daily-1"),
        ),
        (
            Lease("daily-1", END, stop_requested=True),
            {},
            NOW,
            Nothing("backup daily-1 is being stopped", "daily-1", "Incomplete"),
        ),
        (LEASE, {}, DEADLINE, Nothing("the window of backup daily-1 is over", "daily-1", "Incomplete")),
    ],
)
def test_which_backup_an_instance_runs(
    lease: Lease | None, item: dict[str, Any] | None, now: float, expected: Work | Nothing
) -> None:
    assert work_for(lease, item, DRAIN, now) == expected


def test_the_lease_is_read_from_the_orchestrators_item() -> None:
    item = {"BackupId": "@running", "RunningBackupId": "daily-1", "WindowEnd": 1795582800, "LeaseEnd": 1795584300}
    assert Lease.from_item(item) == Lease("daily-1", 1795582800.0)
    assert Lease.from_item(item | {"StopRequested": True, "InstanceId": "i-1"}) == Lease(
        "daily-1", 1795582800.0, True, "i-1"
    )
    assert Lease.from_item(None) is None


def test_without_a_table_the_window_begins_now_under_an_id_of_its_own() -> None:
    work = work_without_table("weekly", 180, DRAIN, NOW, "i-1")
    assert work == Work("weekly-i-1-1795572000", DEADLINE)


def spot(action: str, seconds: int) -> str:
    return json.dumps({"action": action, "time": f"2026-11-25T02:{seconds // 60:02d}:{seconds % 60:02d}Z"})


@pytest.mark.parametrize(
    ("now", "signs", "expected"),
    [
        (NOW, Signs("InService"), None),
        (NOW, Signs(), None),
        (DEADLINE - 1, Signs("InService"), None),
        (DEADLINE, Signs("InService"), Stop(WINDOW, DEADLINE + 600)),
        (NOW, Signs("Terminated"), Stop(TERMINATED, NOW + 600)),
        (NOW, Signs("InService", told=True), Stop(TOLD, NOW + 600)),
        (NOW, Signs("InService", spot("terminate", 120)), Stop(SPOT, NOW + 120 - FINISH_SECONDS)),
        (NOW, Signs("Terminated", spot("stop", 120), told=True), Stop(SPOT, NOW + 120 - FINISH_SECONDS)),
        (NOW, Signs("InService", spot("terminate", 10)), Stop(SPOT, NOW + LEAST_SECONDS)),
        (NOW, Signs("InService", spot("hibernate", 120)), None),
        (NOW, Signs("InService", "not what is documented"), None),
    ],
)
def test_when_the_work_stops(now: float, signs: Signs, expected: Stop | None) -> None:
    assert decide_stop(now, DEADLINE, DRAIN, signs) == expected


def test_a_restore_has_no_window() -> None:
    assert decide_stop(NOW + 10**9, None, DRAIN, Signs("InService")) is None


TARGETS = (MountTarget("10.0.0.5", "us-east-1a"), MountTarget("10.0.1.5", "us-east-1b"))


@pytest.mark.parametrize(
    ("targets", "zone", "expected"),
    [
        (TARGETS, "us-east-1b", "10.0.1.5"),
        (TARGETS, "us-east-1c", "10.0.0.5"),
        (TARGETS, None, "10.0.0.5"),
        ((), "us-east-1a", None),
    ],
)
def test_the_mount_target_of_its_own_zone_comes_first(
    targets: tuple[MountTarget, ...], zone: str | None, expected: str | None
) -> None:
    assert nearest(targets, zone) == expected


SOURCE = Mount("fs-1", "/app data/'x", "/mnt/source", writable=False)
BACKUP = Mount("fs-2", "/", "/mnt/backup", writable=True)
NAME = "fs-1.efs.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("mount", "address", "efs_utils", "kind", "options", "device"),
    [
        (SOURCE, None, True, "efs", "tls,iam,ro", "fs-1:/app data/'x"),
        (SOURCE, "10.0.0.5", True, "efs", "tls,iam,ro,mounttargetip=10.0.0.5", "fs-1:/app data/'x"),
        (BACKUP, None, True, "efs", "tls,iam", "fs-2:/"),
        (SOURCE, None, False, "nfs4", f"{NFS_OPTIONS},ro", f"{NAME}:/app data/'x"),
        (BACKUP, "10.0.0.5", False, "nfs4", NFS_OPTIONS, "10.0.0.5:/"),
    ],
)
def test_how_a_file_system_is_mounted(
    mount: Mount, address: str | None, efs_utils: bool, kind: str, options: str, device: str
) -> None:
    expected = ["mount", "-t", kind, "-o", options, device, mount.point]
    assert mount_arguments(mount, address, NAME, efs_utils) == expected


def test_the_plain_clients_options_are_the_recommended_ones() -> None:
    wanted = {"nfsvers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2", "noresvport"}
    assert set(NFS_OPTIONS.split(",")) == wanted


@pytest.mark.parametrize(
    ("said", "again", "why"),
    [
        ("mount.nfs4: Connection timed out", True, "could not be mounted: mount.nfs4: Connection timed out."),
        ("mount.nfs4: Network is unreachable", True, "could not be mounted: mount.nfs4: Network is unreachable."),
        ("a\nmount.nfs4: access denied by server", False, "could not be mounted: mount.nfs4: access denied by server."),
        (
            "mounting failed, reason given by server: No such file or directory",
            False,
            "The directory /app data/'x does not exist on the file system fs-1.",
        ),
        ("", False, "could not be mounted: mount said nothing."),
    ],
)
def test_why_a_mount_failed_and_whether_to_try_again(said: str, again: bool, why: str) -> None:
    assert worth_another_try(said) is again
    assert why_not_mounted(SOURCE, said).endswith(why)


def report(**changed: Any) -> dict[str, Any]:
    """What the engine says after a good night, with what a test changes of it."""
    made = BackupReport(
        "Success", "/mnt/b/daily.0", "20261125T020007Z-59d43b", True, "2026-11-25T02:00:07Z", "2026-11-25T02:10:00Z",
        files=100, directories=6, bytes=95000, files_transferred=7, bytes_transferred=900, files_linked=90,
        files_kept=3, files_deleted=1, link_limit_copies=0, split_groups=[], changed_during_backup=[], unreadable=[],
        other_mounts=[], not_kept={}, notes=[], expired=[],
        phases={
            "compare": ["2026-11-25T02:00:10Z", "2026-11-25T02:05:00Z"],
            "link": ["2026-11-25T02:05:00Z", "2026-11-25T02:06:00Z"],
            "prune": ["2026-11-25T02:09:00Z", "2026-11-25T02:10:00Z"],
        },
    )  # fmt: skip
    return made.to_plain() | changed


def test_a_good_night_fills_the_items_attributes() -> None:
    outcome = outcome_of(EngineRun(0, report(), ""))
    assert (outcome.status, outcome.reason) == ("Success", "")
    assert outcome.attributes == {
        "SnapshotId": "20261125T020007Z-59d43b",
        "NumberOfFiles": 100,
        "NumberOfFilesTransferred": 7,
        "TotalFileSize": 95000,
        "TotalTransferredFileSize": 900,
        "CreateHardlinksStartTime": "2026-11-25T02:00:10",
        "CreateHardlinksStopTime": "2026-11-25T02:06:00",
        "RsyncDeleteStartTime": "2026-11-25T02:00:10",
        "RsyncDeleteStopTime": "2026-11-25T02:05:00",
        "RemoveSnapshotStartTime": "2026-11-25T02:09:00",
        "RemoveSnapshotStopTime": "2026-11-25T02:10:00",
    }


def failed_runs() -> Iterator[Any]:
    unreadable = [f"d/{number}" for number in range(7)]
    yield pytest.param(
        EngineRun(1, report(outcome="Incomplete", complete=False, unreadable=unreadable), ""), "Incomplete",
        "7 entries of the source could not be read, and taken from the last snapshot: "
        "/d/0, /d/1, /d/2, /d/3, /d/4 and 2 more.", id="unreadable",
    )  # fmt: skip
    yield pytest.param(
        EngineRun(0, report(notes=["what has expired could not be removed (EIO): the next run tries again"]), ""),
        "Rsync Delete Incomplete",
        "The snapshot itself is complete; what has expired could not be removed (EIO): the next run tries again.",
        id="not removed",
    )  # fmt: skip
    yield pytest.param(EngineRun(1, None, "efs-backup: stopped", stopped=True), "Incomplete", "", id="stopped")
    yield pytest.param(EngineRun(-9, None, ""), "Incomplete", "The backup process was killed by signal 9.", id="killed")
    yield pytest.param(
        EngineRun(2, None, "efs-backup: fpsync is not installed: install the package fpart"), "fpsync failed",
        "fpsync is not installed: install the package fpart.", id="no fpsync",
    )  # fmt: skip
    yield pytest.param(
        EngineRun(1, None, "efs-backup: fpsync failed with exit status 1: oh"), "fpsync failed",
        "fpsync failed with exit status 1: oh.", id="fpsync fails",
    )  # fmt: skip
    yield pytest.param(
        EngineRun(1, None, "efs-backup: no space left on the file system written to: make room, then run again"),
        "Unsuccessful", "No space left on the file system written to: make room, then run again.", id="no space",
    )  # fmt: skip
    yield pytest.param(EngineRun(3, None, ""), "Unsuccessful", "The process ended with status 3.", id="without a word")


@pytest.mark.parametrize(("run", "status", "reason"), list(failed_runs()))
def test_what_a_run_that_failed_is_called(run: EngineRun, status: str, reason: str) -> None:
    outcome = outcome_of(run)
    assert (outcome.status, outcome.reason) == (status, reason)


def test_what_the_engine_says_of_its_tools_is_recognised() -> None:
    """The words are the engine's own: were they to change, fpsync's failures would go by another name."""
    from efs_backup.effects.processes import find_tool

    with pytest.raises(errors.UsageError) as missing:
        find_tool("fpsync-that-is-nowhere", "fpart")
    said = str(missing.value).replace("-that-is-nowhere", "")
    assert outcome_of(EngineRun(2, None, f"efs-backup: {said}")).status == "fpsync failed"


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (
            {"phase": "compare", "files": 40, "bytes": 400, "files_expected": 90, "bytes_expected": 900},
            {"NumberOfFiles": 40, "TotalFileSize": 400},
        ),
        (
            {"phase": "transfer", "files": 40, "bytes": 300, "files_expected": 90, "bytes_expected": 900},
            {
                "NumberOfFiles": 90,
                "TotalFileSize": 900,
                "NumberOfFilesTransferred": 40,
                "TotalTransferredFileSize": 300,
            },
        ),
        ({"phase": "prepare", "files": 0, "bytes": 0, "files_expected": 0, "bytes_expected": 0}, {}),
        (None, {}),
    ],
)
def test_a_run_that_was_cut_off_counts_what_it_saw(progress: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    assert outcome_of(EngineRun(1, None, "", progress, stopped=True)).attributes == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the source is empty", "The source is empty."),
        ("rsync failed: x", "rsync failed: x."),
        ("Is it mounted?", "Is it mounted?"),
        ("a" * 2000, "A" + "a" * 999 + " …"),
    ],
)
def test_a_reason_is_a_sentence(text: str, expected: str) -> None:
    assert sentence(text) == expected


def test_a_reason_names_file_systems_not_the_instances_directories() -> None:
    names = {"/mnt/efs-backup/backup": "fs-2"}
    assert in_terms_of("cannot write /mnt/efs-backup/backup/x", names) == "cannot write fs-2/x"
