"""Restore: a snapshot, or a part of it, goes back to where it came from, or to another directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from efs_backup.effects import tree
from efs_backup.effects.files import exists
from efs_backup.effects.frames import key_of
from efs_backup.effects.ledger import Ledger
from efs_backup.effects.manifest import Manifest
from efs_backup.effects.mounts import file_system_name
from efs_backup.effects.processes import work_directory
from efs_backup.effects.stop import StopFlag, draining_signals
from efs_backup.effects.store import Store
from efs_backup.effects.syscalls import syncfs
from efs_backup.flow import first_copy
from efs_backup.flow.options import demand_apart, demand_directory, demand_outside, demand_root, workers_for
from efs_backup.flow.pool import Pool, Skills
from efs_backup.flow.progress import Progress
from efs_backup.flow.reinstate import RestoreBench, restore_directory, restore_group, settle_directory
from efs_backup.flow.scan import scan_directory
from efs_backup.flow.snapshots import Held, held
from efs_backup.flow.task import (
    Outcome,
    RestoreGroupTask,
    RestoreTask,
    Restoring,
    ScanTask,
    SettleTask,
    Trees,
)
from efs_backup.flow.workbench import Workbench
from efs_backup.pure.errors import BackupError, UsageError, explain
from efs_backup.pure.layout import join
from efs_backup.pure.links import plan_group
from efs_backup.pure.report import duration, named, size

_SKILLS: Skills = {
    RestoreTask: restore_directory,
    RestoreGroupTask: restore_group,
    SettleTask: settle_directory,
}


class RestoreOptions(NamedTuple):
    """The options of `efs-backup restore`."""

    backup: str
    source: str
    label: str
    interval: str
    number: int | None
    snapshot_id: str | None
    subdirectory: str
    paths: tuple[str, ...]
    to: str | None
    dry_run: bool
    delete: bool
    workers: int | None
    source_id: str | None
    log_directory: str | None
    progress_file: str | None


@dataclass(slots=True)
class RestoreReport:
    """What a restore did, or in a preview would do. Paths are relative to the restored directory."""

    outcome: str
    snapshot: str
    id: str
    target: str
    dry_run: bool
    created: list[str]
    replaced: list[str]
    deleted: list[str]
    unchanged: int
    failed: dict[str, str]
    other_mounts: list[str]
    """Where another file system is mounted in the live tree: not touched."""
    set_aside: dict[str, str]
    """Directories that stood where a file belongs, and the names they were given."""
    files_transferred: int
    bytes_transferred: int
    notes: list[str]
    seconds: dict[str, float] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        """Return the report as what JSON has words for."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def lines(self) -> list[str]:
        """Return the report as a person reads it; a preview names everything it would do."""
        text = []
        if self.dry_run:
            for verb, paths in (("create", self.created), ("replace", self.replaced), ("delete", self.deleted)):
                text += [f"would {verb} {path}" for path in paths]
        text += named("could not be restored", [f"{path or '/'} ({why})" for path, why in self.failed.items()])
        text += named(
            "stood in the place of a file, and is kept as",
            [f"{new} (was {old})" for old, new in self.set_aside.items()],
        )
        text += named("is another file system and was not touched", self.other_mounts)
        text += [f"  note: {note}" for note in self.notes]
        would = "would be " if self.dry_run else ""
        text.append(
            f"{self.outcome}: {self.snapshot} ({self.id}) to {self.target}: {len(self.created):,} {would}created, "
            f"{len(self.replaced):,} {would}replaced, {len(self.deleted):,} {would}deleted, "
            f"{self.unchanged:,} unchanged; {size(self.bytes_transferred)} copied in "
            f"{duration(sum(self.seconds.values()))}"
        )
        return text


def checked_subdirectory(text: str) -> str:
    """Return the subdirectory to restore, without slashes around it; the whole snapshot is the empty path."""
    if not text.startswith("/"):
        raise UsageError(f"subdirectory {text!r} must begin with a slash, such as /home/")
    return _inside(text.strip("/"), "subdirectory", text)


def checked_path(text: str) -> str:
    """Return a path to restore, relative to the subdirectory."""
    if text.startswith("/") or not text.strip("/"):
        raise UsageError(f"path {text!r} must be relative to the restored directory, such as docs/letter.txt")
    return _inside(text.strip("/"), "path", text)


def _inside(path: str, what: str, text: str) -> str:
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/") if path):
        raise UsageError(f"{what} {text!r} must not have '..', '.' or empty parts: name a place inside the snapshot")
    return path


def restore(options: RestoreOptions) -> RestoreReport:
    """Restore as asked; raise BackupError if that cannot be done at all."""
    demand_root()
    demand_directory(options.backup, "--backup")
    demand_directory(options.source, "--source")
    demand_apart(options.source, options.backup)
    if options.to is not None:
        _demand_target(options.to, os.path.join(options.backup, options.label))
    tools = first_copy.find_tools()
    flag = StopFlag()
    with ExitStack() as resources:
        resources.enter_context(draining_signals(flag))
        store = Store(options.backup, options.label, options.interval)
        resources.callback(store.close)
        progress = resources.enter_context(Progress(options.progress_file))
        snapshot = resources.enter_context(held(store, options.number, options.snapshot_id))
        return _Restore(options, tools, snapshot, flag, progress, resources).run()


def _demand_target(to: str, label: str) -> None:
    """Raise UsageError unless a directory can be restored into; it, but not its parent, may be missing."""
    demand_directory(to if exists(to) else os.path.dirname(os.path.abspath(to)), "--to (or its parent)")
    demand_outside(to, label)


class _Restore:
    """One restore, with what its steps share."""

    def __init__(
        self,
        options: RestoreOptions,
        tools: first_copy.Tools,
        snapshot: Held,
        flag: StopFlag,
        progress: Progress,
        resources: ExitStack,
    ) -> None:
        self.options, self.tools, self.snapshot = options, tools, snapshot
        self.flag, self.progress, self.resources = flag, progress, resources
        self.total = Outcome()
        self.notes: list[str] = []
        self.work = Path(resources.enter_context(work_directory()))
        self.root = options.to if options.to is not None else options.source
        self.ledger = Ledger(self.work / "ledger")
        resources.callback(self.ledger.close)

    def run(self) -> RestoreReport:
        """Take all steps."""
        self.progress.begin("prepare")
        if not self.snapshot.snapshot.complete:
            self.notes.append("this snapshot is incomplete: some entries are those of an older one")
        origin = self._origin()
        plan = self._plan_of_paths(origin)
        target = self._target(origin)
        if target is None:
            # A preview of a place that does not exist: everything would be created in a directory that is empty.
            target = self.work / "nothing"
            target.mkdir()
        trees = self._trees(origin, target)
        if not self.options.dry_run and not self.options.paths and not os.listdir(target):
            trees = self._bulk(trees)
        workers = workers_for(self.options.workers, [self.options.backup, self.root])
        self.progress.begin("restore", self.snapshot.snapshot.files or 0, self.snapshot.snapshot.bytes or 0)
        bench = RestoreBench(trees, self.flag, workers.threads)
        with Pool(bench, _SKILLS, self.flag, workers.processes, workers.threads) as pool:
            pool.run(plan, self._take, self._tick)
            self._unite(pool)
        self._make_durable(target)
        self.progress.end()
        return self._report(target)

    def _origin(self) -> int:
        """Return a descriptor of the directory of the snapshot that is restored."""
        path = self.options.subdirectory
        try:
            descriptor = tree.open_directory(self.snapshot.root, path)
        except OSError as error:
            raise BackupError(
                f"there is no directory /{path}/ in {self.snapshot.path} ({error.strerror}): nothing was restored"
            ) from error
        self.resources.callback(os.close, descriptor)
        return descriptor

    def _plan_of_paths(self, origin: int) -> list[RestoreTask]:
        """Return the directories to begin with: the whole, or those that hold the paths asked for."""
        if not self.options.paths:
            return [RestoreTask("")]
        only: dict[str, set[str]] = {}
        for path in self.options.paths:
            parent, _, name = path.rpartition("/")
            try:
                with tree.directory(origin, parent) as descriptor:
                    there = tree.look_at(descriptor, name)
            except OSError:
                there = None
            if there is None:
                raise BackupError(
                    f"there is no {path!r} in {self.snapshot.path}/{self.options.subdirectory}: nothing was restored"
                )
            only.setdefault(parent, set()).add(name)
        return [RestoreTask(parent, frozenset(names)) for parent, names in only.items()]

    def _target(self, origin: int) -> Path | None:
        """Return the live directory to restore into, made with its parents where it is missing; None in a preview.

        No part of it may be a symbolic link: it could lead anywhere.
        """
        wanted = [p for p in self.options.subdirectory.split("/") if p]
        for path in self.options.paths:
            self._demand_no_link(wanted, path)
        if not exists(self.root):
            if self.options.dry_run:
                return None
            parent, name = os.path.split(os.path.abspath(self.root))
            self._make(tree.open_root(parent), name, None)
        at = tree.open_root(self.root)
        for depth, part in enumerate(wanted):
            there = tree.look_at(at, part)
            if there is not None and not tree.is_directory(there.mode):
                os.close(at)
                raise BackupError(
                    f"{'/'.join([self.root, *wanted[: depth + 1]])} is not a directory in the live tree "
                    "(a symbolic link could lead outside): nothing was restored"
                )
            if there is None and self.options.dry_run:
                os.close(at)
                return None
            if there is None:
                with tree.directory(self.snapshot.root, "/".join(wanted[: depth + 1])) as like:
                    self._make(os.dup(at), part, os.fstat(like))
            step = tree.open_directory(at, part)
            os.close(at)
            at = step
        for parent in sorted({path.rpartition("/")[0] for path in self.options.paths}):
            self._make_parents(at, origin, parent)
        os.close(at)
        return Path("/".join([self.root.rstrip("/") or "/", *wanted]))

    def _demand_no_link(self, wanted: list[str], path: str) -> None:
        """Raise BackupError if a directory on the way to a path is something else in the live tree."""
        if not exists(self.root):
            return
        parts = [*wanted, *path.split("/")[:-1]]
        at = tree.open_root(self.root)
        try:
            for depth, part in enumerate(parts):
                there = tree.look_at(at, part)
                if there is None:
                    return
                if not tree.is_directory(there.mode):
                    raise BackupError(
                        f"{'/'.join([self.root, *parts[: depth + 1]])} is not a directory: nothing was restored"
                    )
                step = tree.open_directory(at, part)
                os.close(at)
                at = step
        finally:
            os.close(at)

    def _make_parents(self, target: int, origin: int, path: str) -> None:
        """Make the directories that lead to a path asked for; in a preview they are left to be named as missing."""
        if self.options.dry_run or not path:
            return
        parts = path.split("/")
        for depth, part in enumerate(parts):
            above = "/".join(parts[:depth])
            with tree.directory(target, above) as at, tree.directory(origin, join(above, part)) as like:
                if tree.look_at(at, part) is None:
                    self._make(os.dup(at), part, os.fstat(like))
                    self.total.created.append(join(above, part))

    def _make(self, parent: int, name: str, like: os.stat_result | None) -> None:
        """Make a directory of the live tree; what holds it keeps its mtime, for it is outside of what is restored."""
        before = os.fstat(parent)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
            if like is not None:
                with tree.directory(parent, name) as made:
                    tree.apply_directory(
                        made, os.fstat(made), like.st_mode, like.st_uid, like.st_gid, like.st_mtime_ns, touched=True
                    )
            os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
        except OSError as error:
            raise explain(error, name) from error
        finally:
            os.close(parent)

    def _trees(self, origin: int, target: Path) -> Restoring:
        status = os.stat(target)
        manifest = self.snapshot.manifest
        same = False
        if manifest is not None:
            opened = Manifest(manifest, manifest)
            recorded = opened.summary["source"]
            opened.close()
            same = recorded["file_system"] == (self.options.source_id or file_system_name(self.root))
        prefix = self.options.subdirectory
        return Restoring(
            snapshot=self.snapshot.within(prefix),
            snapshot_inode=os.fstat(origin).st_ino,
            target=str(target),
            target_device=status.st_dev,
            target_inode=status.st_ino,
            manifest=manifest,
            prefix=prefix,
            copied=None,
            same_file_system=same,
            delete=self.options.delete,
            dry_run=self.options.dry_run,
        )

    # bulk

    def _bulk(self, trees: Restoring) -> Restoring:
        """Let fpsync move everything into a directory that is empty; what it did is checked by what follows."""
        self.progress.begin("scan")
        ledger = Ledger(self.work / "scan")
        scan = Outcome()
        sparse: set[int] = set()

        def take(outcome: Outcome) -> None:
            ledger.sight(outcome.sightings)
            sparse.update(key_of(path, 0) for path in outcome.sparse)
            scan.add(replace(outcome, sightings=[], sparse=[]))

        status = os.stat(trees.snapshot)
        looked = Trees(trees.snapshot, trees.target, str(self.work), status.st_dev, status.st_ino)
        workers = workers_for(self.options.workers, [self.options.backup, self.root])
        bench = Workbench(looked, self.flag, threads=1)
        with Pool(bench, {ScanTask: scan_directory}, self.flag, workers.processes, 1) as pool:
            pool.run([ScanTask("")], take, lambda: self.progress.update(scan.scanned, scan.scanned_bytes))
        if not scan.scanned:
            ledger.close()
            return trees
        self.progress.begin("transfer", scan.scanned, scan.scanned_bytes)
        finished, index = self.work / "finished", self.work / "copied"
        self._transfer(trees, ledger, sparse, finished, scan.scanned)
        ledger.close()
        first_copy.index_of_finished(finished, index)
        return trees._replace(copied=str(index))

    def _transfer(self, trees: Restoring, ledger: Ledger, sparse: set[int], finished: Path, files: int) -> None:
        work = self.work / "fpsync"
        work.mkdir()
        workers = workers_for(self.options.workers, [self.options.backup, self.root])
        log_directory = Path(self.options.log_directory) if self.options.log_directory else None
        descriptor = os.open(finished, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with first_copy.begin_finished_log(descriptor) as log:
            first_copy.Transfer(
                self.tools,
                self._where,
                trees.target,
                workers.jobs,
                files,
                os.stat(trees.snapshot),
                work,
                log,
                (),
                self.flag,
                self.progress.update,
                log_directory,
            ).run(ledger, sparse)

    def _where(self) -> str:
        """Return the path of the restored directory of the snapshot at this moment."""
        return f"{self.snapshot.find()}/{self.options.subdirectory}".rstrip("/")

    # compare

    def _take(self, outcome: Outcome) -> None:
        self.ledger.sight(outcome.sightings)
        outcome.sightings = []
        self.total.add(outcome)

    def _tick(self) -> None:
        self.progress.update(self.total.scanned, self.total.scanned_bytes)

    def _unite(self, pool: Pool) -> None:
        """Bring groups of hard links back, then see to the directories their names were made in."""
        touched: set[str] = set()

        def tasks() -> Iterator[RestoreGroupTask]:
            for members in self.ledger.groups():
                plan = plan_group(members)
                if plan is not None:
                    touched.update(member.directory for member in members)
                    yield RestoreGroupTask(plan)

        pool.run(tasks(), self._take, self._tick)
        if not self.options.dry_run:
            pool.run([SettleTask(path) for path in touched], self._take, self._tick)

    def _make_durable(self, target: Path) -> None:
        if self.options.dry_run:
            return
        with suppress(FileNotFoundError):
            descriptor = tree.open_root(str(target))
            try:
                syncfs(descriptor)
            except OSError as error:
                raise explain(error, str(target)) from error
            finally:
                os.close(descriptor)

    def _report(self, target: Path) -> RestoreReport:
        total = self.total
        shown = target if target.name != "nothing" else Path(self.root, self.options.subdirectory)
        return RestoreReport(
            outcome="Incomplete" if total.failed else "Success",
            snapshot=self.snapshot.path,
            id=self.snapshot.snapshot.id,
            target=str(shown),
            dry_run=self.options.dry_run,
            created=sorted(set(total.created)),
            replaced=sorted(set(total.replaced)),
            deleted=sorted(set(total.deletions)),
            unchanged=total.kept,
            failed=dict(sorted(total.failed)),
            other_mounts=sorted(set(total.other_mounts)),
            set_aside=dict(sorted(total.set_aside)),
            files_transferred=total.transferred,
            bytes_transferred=total.bytes_transferred,
            notes=self.notes,
            seconds=self.progress.seconds,
        )
