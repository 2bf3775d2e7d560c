"""Verify: every file of a snapshot is read and held against its checksum, every entry against the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from efs_backup.effects.stop import StopFlag, draining_signals
from efs_backup.effects.store import Store
from efs_backup.flow.check import CheckBench, check_directory
from efs_backup.flow.options import demand_directory, workers_for
from efs_backup.flow.pool import Pool
from efs_backup.flow.progress import Progress, now_iso
from efs_backup.flow.snapshots import Held, held
from efs_backup.flow.task import Checking, CheckTask, Outcome
from efs_backup.flow.verdicts import Verdict, write_verdict
from efs_backup.pure.errors import BackupError
from efs_backup.pure.report import duration, named, size


class VerifyOptions(NamedTuple):
    """The options of `efs-backup verify`; `everything` asks for all snapshots."""

    backup: str
    label: str
    interval: str
    number: int | None
    snapshot_id: str | None
    everything: bool
    source: str | None
    workers: int | None


@dataclass(slots=True)
class Checked:
    """What the verify of one snapshot found. `verified` is None where something could not be verified."""

    number: int
    id: str
    verified: bool | None
    files_checked: int
    files_without_checksum: int
    bytes: int
    mismatches: dict[str, str]
    note: str = ""


@dataclass(slots=True)
class VerifyReport:
    """What a verify found in all snapshots it was asked about."""

    interval: str
    snapshots: list[Checked] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Tell whether everything could be verified, and was found as it should be."""
        return all(checked.verified for checked in self.snapshots)

    def to_plain(self) -> dict[str, Any]:
        """Return the report as what JSON has words for; `mismatches` are those of all snapshots together."""
        return {
            "files_checked": sum(c.files_checked for c in self.snapshots),
            "bytes_checked": sum(c.bytes for c in self.snapshots),
            "mismatches": sorted({path for checked in self.snapshots for path in checked.mismatches}),
            "snapshots": [asdict(c) for c in self.snapshots],
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """Return the report as a person reads it."""
        text = []
        for checked in self.snapshots:
            verdict = {True: "sound", False: "DAMAGED", None: "not verified"}[checked.verified]
            text.append(
                f"{self.interval}.{checked.number} ({checked.id}): {verdict}; {checked.files_checked:,} files, "
                f"{size(checked.bytes)} checked"
            )
            if checked.note:
                text.append(f"  {checked.note}")
            text += named("wrong", [f"{path or '/'} ({why})" for path, why in checked.mismatches.items()])
        return [*text, f"done in {duration(self.seconds)}"]


def verify(options: VerifyOptions) -> VerifyReport:
    """Verify one snapshot, or all of them, newest first; raise BackupError if that cannot be done."""
    demand_directory(options.backup, "--backup")
    if options.source is not None:
        demand_directory(options.source, "--source")
    flag = StopFlag()
    report = VerifyReport(options.interval)
    with ExitStack() as resources:
        resources.enter_context(draining_signals(flag))
        store = Store(options.backup, options.label, options.interval)
        resources.callback(store.close)
        progress = resources.enter_context(Progress())
        newer: str | None = None
        damaged: set[int] = set()
        for number, snapshot_id in _wanted(store, options):
            with held(store, number, snapshot_id) as snapshot:
                checked = _check(options, snapshot, newer, damaged, flag, progress)
                report.snapshots.append(checked)
                if options.source is None or not checked.mismatches:
                    # Held against a source that may have changed, a mismatch says nothing of the snapshot.
                    _keep_verdict(store, checked, damaged)
                if snapshot.manifest is not None:
                    newer = snapshot.manifest
    report.seconds = round(sum(progress.seconds.values()), 3)
    return report


def _wanted(store: Store, options: VerifyOptions) -> Sequence[tuple[int | None, str | None]]:
    if not options.everything:
        return [(options.number, options.snapshot_id)]
    everything = [(None, standing.snapshot.id) for standing in store.survey().standings]
    if not everything:
        raise BackupError(f"there are no snapshots under {store.path}")
    return everything


def _check(
    options: VerifyOptions, snapshot: Held, newer: str | None, damaged: set[int], flag: StopFlag, progress: Progress
) -> Checked:
    checked = Checked(snapshot.number, snapshot.snapshot.id, None, 0, 0, 0, {})
    if snapshot.manifest is None:
        checked.note = "it was taken over without a manifest: there is nothing to hold it against"
        return checked
    total = Outcome()
    trees = Checking(
        snapshot.within(""), snapshot.snapshot.inode, snapshot.manifest, newer, options.source, frozenset(damaged)
    )
    workers = workers_for(options.workers, [options.backup])
    progress.begin("verify", snapshot.snapshot.files or 0, snapshot.snapshot.bytes or 0)
    bench = CheckBench(trees, flag, workers.threads)
    with Pool(bench, {CheckTask: check_directory}, flag, workers.processes, workers.threads) as pool:
        pool.run([CheckTask("")], total.add, lambda: progress.update(total.scanned, total.scanned_bytes))
    progress.end()
    damaged.update(total.damaged)
    checked.files_checked, checked.bytes = total.checked, total.scanned_bytes
    checked.files_without_checksum = total.unverified
    checked.mismatches = dict(sorted(total.mismatches))
    checked.verified = False if checked.mismatches else None if total.unverified else True
    if total.unverified:
        checked.note = f"{total.unverified:,} files have no checksum yet: the coming backups fill them in"
    return checked


def _keep_verdict(store: Store, checked: Checked, damaged: set[int]) -> None:
    """Keep the result where list and the next backup find it. One that is mounted read-only can be verified too."""
    if checked.files_checked == 0 and checked.verified is None:
        return
    sound = not checked.mismatches
    verdict = Verdict(now_iso(), sound, checked.verified is not None, () if sound else tuple(sorted(damaged)))
    try:
        write_verdict(store, checked.id, verdict)
    except BackupError as error:
        checked.note = f"{checked.note}; the result could not be kept ({error})".lstrip("; ")
