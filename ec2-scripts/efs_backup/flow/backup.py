"""The backup: lock, recover, prepare staging, transfer, compare, seal, publish, prune, report."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

from efs_backup.effects import tree
from efs_backup.effects.files import exists, sync_directory, write_durably
from efs_backup.effects.frames import FrameWriter, key_of
from efs_backup.effects.ledger import Ledger
from efs_backup.effects.lock import Lock
from efs_backup.effects.manifest import Manifest, reachable, recover_progress
from efs_backup.effects.mounts import file_system_name, mounts_below
from efs_backup.effects.probe import probe, unfit
from efs_backup.effects.processes import work_directory
from efs_backup.effects.stop import StopFlag, draining_signals
from efs_backup.effects.store import Store, Survey, rotate
from efs_backup.effects.syscalls import syncfs
from efs_backup.flow import first_copy
from efs_backup.flow.directory import process_directory
from efs_backup.flow.groups import finish_directory, process_groups
from efs_backup.flow.hardlinks import unite_hard_links
from efs_backup.flow.options import BackupOptions, demand_apart, demand_directory, demand_root, workers_for
from efs_backup.flow.pool import Pool, Skills
from efs_backup.flow.progress import Progress, now_iso
from efs_backup.flow.rebuild import by_directory, rebuild
from efs_backup.flow.removal import empty_directory, remove_tree
from efs_backup.flow.scan import scan_directory
from efs_backup.flow.task import (
    DirectoryTask,
    EmptyTask,
    FinishTask,
    GroupTask,
    Outcome,
    RemoveTask,
    ScanTask,
    Trees,
    next_round,
)
from efs_backup.flow.verdicts import damaged_inodes
from efs_backup.flow.workbench import Workbench
from efs_backup.pure.catalog import Catalog, Snapshot
from efs_backup.pure.compare import Rule
from efs_backup.pure.errors import (
    NOT_DONE,
    BackupError,
    DrainedError,
    SourceError,
    UsageError,
    explain,
    one_line,
    place_of,
)
from efs_backup.pure.identity import Identity, is_another_source, same_file_system
from efs_backup.pure.layout import COPIED, JOURNAL, LOCK, MANIFESTS, PRIVATE, PROGRESS, SPARE, STAGING, TRASH
from efs_backup.pure.report import INCOMPLETE, SUCCESS, BackupReport
from efs_backup.pure.rotation import Standing, rotation

_SKILLS: Skills = {
    DirectoryTask: process_directory,
    GroupTask: process_groups,
    FinishTask: finish_directory,
    ScanTask: scan_directory,
    EmptyTask: empty_directory,
    RemoveTask: remove_tree,
}
FORMAT = 1
_FILL_TURNS = 3
_GARBAGE = 0.25
"""From which share of useless bytes on a manifest is written anew before it is sealed."""


def backup(options: BackupOptions) -> BackupReport:
    """Make one snapshot of the source; return what came of it. Raises BackupError if none was published."""
    demand_root()
    demand_directory(options.source, "--source")
    demand_directory(options.backup, "--backup")
    demand_apart(options.source, options.backup)
    tools = first_copy.find_tools()
    flag = StopFlag()
    with ExitStack() as resources:
        resources.enter_context(draining_signals(flag))
        store = _open_label(options)
        resources.callback(store.close)
        work = Path(resources.enter_context(work_directory()))
        progress = resources.enter_context(Progress(options.progress_file))

        def lost(line: str) -> NoReturn:
            """End here and now, and with this process all that it has started: without it they are killed."""
            progress.close()
            shutil.rmtree(work, ignore_errors=True)
            print(f"efs-backup: {one_line(line)}", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(NOT_DONE)

        lock = resources.enter_context(_lock(store, flag, lost))
        return BackupRun(options, tools, store, lock, flag, progress, work, resources).run()


def _open_label(options: BackupOptions) -> Store:
    """Make the folder label if it is not there, readable by root only, and open it."""
    path = f"{options.backup.rstrip('/')}/{options.label}"
    try:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        store = Store(options.backup, options.label, options.interval)
        if tree.look_at(store.root, PRIVATE) is None:
            # Also a folder that is taken over: its snapshots hold copies of files that were not readable by everybody.
            os.fchmod(store.root, 0o700)
            os.mkdir(PRIVATE, 0o700, dir_fd=store.root)
    except FileExistsError:
        pass
    except UsageError as error:
        # The folder is there, for it was made just now; that it cannot be opened is no mistake about its name.
        if isinstance(error.__cause__, PermissionError):
            raise unfit(error.__cause__, path) from error
        raise
    except OSError as error:
        raise unfit(error, path) from error
    return store


def _lock(store: Store, flag: StopFlag, lost: Callable[[str], NoReturn]) -> Lock:
    try:
        private = os.open(PRIVATE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=store.root)
    except OSError as error:
        raise explain(error, store.shown(PRIVATE)) from error
    return Lock(private, LOCK, f"{store.shown(PRIVATE)}/{LOCK}", flag, lost)


class BackupRun:
    """One run, with what its steps share."""

    def __init__(
        self,
        options: BackupOptions,
        tools: first_copy.Tools,
        store: Store,
        lock: Lock,
        flag: StopFlag,
        progress: Progress,
        work: Path,
        resources: ExitStack,
    ) -> None:
        """Take what is needed; nothing is done yet. `work` is a private directory on this machine's disk."""
        self.options, self.tools, self.store, self.lock = options, tools, store, lock
        self.flag, self.progress, self.work, self.resources = flag, progress, work, resources
        self.names = store.names
        self.total = Outcome()
        self.notes: list[str] = []
        self.started = now_iso()
        self.id = f"{self.started.replace('-', '').replace(':', '')}-{os.urandom(3).hex()}"
        self.source = tree.open_root(options.source)
        resources.callback(os.close, self.source)
        status = os.fstat(self.source)
        self.source_status = status
        name = options.source_id or file_system_name(options.source)
        self.identity = Identity(name, status.st_ino)

    def run(self) -> BackupReport:
        """Take all steps."""
        self.progress.begin("prepare")
        self._prepare_store()
        survey = self._recover()
        base = survey.standings[0] if survey.standings else None
        base_manifest = self._base_manifest(base)
        rule = self._examine_source(base, base_manifest)
        spare = self._prepare_staging(survey)
        writer, known = self._open_progress()
        ledger = Ledger(self.work / "ledger")
        self.resources.callback(ledger.close)
        trees = self._trees(base, base_manifest, spare, known, rule)
        if base is not None and base_manifest is None:
            trees = trees._replace(shared_in_base=self._shared_in(base))
        with self._pool(trees) as pool:
            try:
                if base is None:
                    self._first_copy(pool, trees)
                self._compare(pool, base, writer, ledger)
            except BaseException:
                self._keep_progress(writer)
                raise
            sealed = self._seal(writer, base_manifest)
            published, expired = self._publish(sealed)
            self._prune(pool, published)
        self.progress.end()
        return self._report(sealed, expired)

    # prepare

    def _prepare_store(self) -> None:
        """Make the engine's directories, and see that the file system can hold exact snapshots."""
        try:
            self.store.prepare()
            with tree.directory(self.store.root, self.names.private) as private:
                probe(private, "probe", self.store.shown(self.names.private))
        except OSError as error:
            raise unfit(error, self.store.shown(self.names.private)) from error

    def _recover(self) -> Survey:
        """Finish a rotation that was cut off; return what is published."""
        survey = self.store.survey()
        if survey.journal is not None:
            self.notes.append("a rotation that was cut off has been finished")
            rotate(self.store, survey.journal, self.lock.demand)
            survey = self.store.survey()
        return survey

    def _base_manifest(self, base: Standing | None) -> Manifest | None:
        """Open the base's manifest; a snapshot that was taken over has none."""
        if base is None or not base.snapshot.has_manifest:
            return None
        path = self.store.shown(self.names.manifest(base.snapshot.id))
        if not exists(path):
            self.notes.append(f"the manifest of {base.path} is lost: attributes decide what has changed")
            return None
        manifest = Manifest(path, path)
        self.resources.callback(manifest.close)
        return manifest

    def _examine_source(self, base: Standing | None, manifest: Manifest | None) -> Rule:
        """See that this is the source the base was made from, and how far it can be compared; return the rule."""
        try:
            listing = tree.list_retried(self.source)
        except OSError as error:
            raise SourceError(f"the source {self.options.source} cannot be listed: {error.strerror}") from error
        empty = not (listing.files or listing.directories or listing.failed)
        if empty and self._has_content(base) and not self.options.allow_empty:
            raise SourceError(
                f"the source {self.options.source} is empty and the last snapshot is not: is it mounted? "
                "(--allow-empty backs it up all the same)"
            )
        recorded = None
        if manifest is not None:
            was = manifest.summary["source"]
            recorded = Identity(was["file_system"], was["root"])
            self._demand_same_source(recorded, manifest, listing)
        same = same_file_system(recorded, self.identity)
        if not same:
            self.notes.append(
                "the source is on another file system than the last snapshot's: ctime and inodes are not compared"
            )
        return Rule(same, damaged_inodes(self.store))

    def _has_content(self, base: Standing | None) -> bool:
        if base is None:
            return False
        with tree.directory(self.store.root, base.path) as descriptor:
            return bool(os.listdir(descriptor))

    def _demand_same_source(self, recorded: Identity, manifest: Manifest, listing: tree.Listing) -> None:
        head = manifest.packed("")
        if head is None or self.options.accept_source:
            return
        then: dict[str, tuple[int, ...]] = {n: (r[0], r[1], r[2], r[3], r[4]) for n, r in head.sources().items()}
        then.update(dict.fromkeys(head.directories, ()))
        now: dict[str, tuple[int, ...]] = {n: (r[0], r[1], r[2], r[3], r[4]) for n, r in listing.files.items()}
        now.update(dict.fromkeys(listing.directories, ()))
        if is_another_source(recorded, self.identity, then, now):
            raise UsageError(
                f"the source {self.options.source} is not the tree that the snapshots under "
                f"{self.store.path} with interval {self.options.interval} were made from: "
                "use another --folder-label, or --accept-source if it is"
            )

    def _prepare_staging(self, survey: Survey) -> Snapshot | None:
        """See that staging is there: what the last run left, else the spare, else a new directory.

        Returns the snapshot that staging was once, if it was one.
        """
        staging, spare = self.store.staging_or_spare()
        once = survey.catalog.spare
        if staging is None:
            path = self.names.own(STAGING)
            if spare is not None and once is not None and once.inode == spare:
                if self.store.is_free(once.id):
                    tree.rename(self.store.root, self.names.own(SPARE), self.store.root, path)
                    return once
                self.notes.append("the spare is being read: this night works without it")
            tree.make_directory(self.store.root, path)
            self._forget_progress()
            return None
        return once if once is not None and once.inode == staging else None

    def _forget_progress(self) -> None:
        """What was known of a staging directory that is gone is worth nothing."""
        for name in (PROGRESS, COPIED):
            tree.unlink(self.store.root, self.names.own(name))

    def _open_progress(self) -> tuple[FrameWriter, str | None]:
        """Open the manifest that is being written; return it, and what a dead run left in it, if it did."""
        path = self.names.own(PROGRESS)
        try:
            descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.store.root
            )
            if os.fstat(descriptor).st_size == 0:
                return FrameWriter(descriptor), None
            known = self.work / "known"
            return recover_progress(descriptor, known), str(known)
        except OSError as error:
            raise explain(error, self.store.shown(path)) from error

    def _trees(
        self, base: Standing | None, manifest: Manifest | None, spare: Snapshot | None, known: str | None, rule: Rule
    ) -> Trees:
        path = self.store.shown
        spare_manifest = path(self.names.manifest(spare.id)) if spare and spare.has_manifest else None
        run = int(manifest.summary["run"]) + 1 if manifest else 0
        return Trees(
            source=self.options.source,
            staging=path(self.names.own(STAGING)),
            trash=path(self.names.own(TRASH)),
            source_device=self.source_status.st_dev,
            source_inode=self.source_status.st_ino,
            rule=rule,
            base=path(base.path) if base else None,
            base_manifest=path(self.names.manifest(base.snapshot.id)) if base and manifest else None,
            spare_manifest=spare_manifest if spare_manifest and exists(spare_manifest) else None,
            progress=known,
            copied=str(self.work / "copied") if base is None else None,
            other_mounts=frozenset(mounts_below(self.options.source)),
            fill_turn=(run, _FILL_TURNS),
        )

    def _shared_in(self, base: Standing) -> frozenset[int]:
        """Return the inodes that have several names within a base without manifest (rsync -H, or a user, made them)."""
        path = self.store.shown(base.path)
        status = os.stat(path)
        looked = Trees(path, path, str(self.work), status.st_dev, status.st_ino)
        ledger = Ledger(self.work / "base")
        workers = workers_for(self.options.workers, [self.options.backup])
        bench = Workbench(looked, self.flag, workers.threads)
        with Pool(bench, _SKILLS, self.flag, workers.processes, workers.threads) as pool:
            pool.run([ScanTask("")], lambda outcome: ledger.sight(outcome.sightings), lambda: None)
        shared = frozenset(members[0].ino for members in ledger.groups() if len(members) > 1)
        ledger.close()
        return shared

    def _pool(self, trees: Trees) -> Pool:
        workers = workers_for(self.options.workers, [self.options.source, self.options.backup])
        bench = Workbench(trees, self.flag, workers.threads)
        pool = Pool(bench, _SKILLS, self.flag, workers.processes, workers.threads)
        self.lock.start()
        return pool

    # transfer

    def _first_copy(self, pool: Pool, trees: Trees) -> None:
        """Let fpsync move the bulk, and put what it said to where workers look it up."""
        self.progress.begin("scan")
        ledger = Ledger(self.work / "scan")
        self.resources.callback(ledger.close)
        sparse: set[int] = set()
        pool.run([ScanTask("")], self._scan_taker(ledger, sparse), self._tell)
        files, count = self.total.scanned, self.total.scanned_bytes
        finished = self.store.shown(self.names.own(COPIED))
        earlier = os.path.getsize(finished) if exists(finished) else 0
        if files:
            self.progress.begin("transfer", files, count)
            self._transfer(trees, ledger, sparse, finished, files)
        if exists(finished):
            assert trees.copied is not None
            first_copy.index_of_finished(Path(finished), Path(trees.copied), earlier)

    def _tell(self) -> None:
        self.progress.update(self.total.scanned, self.total.scanned_bytes)

    def _scan_taker(self, ledger: Ledger, sparse: set[int]) -> Callable[[Outcome], None]:
        def take(outcome: Outcome) -> None:
            ledger.sight(outcome.sightings)
            sparse.update(key_of(path, 0) for path in outcome.sparse)
            outcome.sightings, outcome.sparse = [], []
            self.total.add(outcome)

        return take

    def _transfer(self, trees: Trees, ledger: Ledger, sparse: set[int], finished: str, files: int) -> None:
        workers = workers_for(self.options.workers, [self.options.source, self.options.backup])
        try:
            descriptor = os.open(finished, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with first_copy.begin_finished_log(descriptor) as log:
                work = self.work / "fpsync"
                work.mkdir()
                first_copy.Transfer(
                    self.tools, lambda: trees.source, trees.staging, workers.jobs, files, self.source_status, work, log,
                    (self.lock.descriptor,), self.flag, self.progress.update,
                    Path(self.options.log_directory) if self.options.log_directory else None,
                ).run(ledger, sparse)  # fmt: skip
        except OSError as error:
            raise explain(error, place_of(error, finished)) from error

    # compare

    def _compare(self, pool: Pool, base: Standing | None, writer: FrameWriter, ledger: Ledger) -> None:
        """Bring staging to what the source has, entry by entry."""
        if base is None:
            expected = self.total.scanned, self.total.scanned_bytes
        else:
            expected = base.snapshot.files or 0, base.snapshot.bytes or 0
        self.total.scanned = self.total.scanned_bytes = 0
        self.progress.begin("compare", *expected)
        take, tick = self._taker(writer, ledger), self._tick(writer)
        tasks = [DirectoryTask("")]
        while tasks:
            pool.run(tasks, take, tick)
            tasks, self.total.again = next_round(self.total.again)
        self.progress.begin("link")
        unite_hard_links(pool, ledger, writer, take, tick)
        self._rebuild_busy()

    def _rebuild_busy(self) -> None:
        """Get out of staging what could not be removed from it, now that no worker is in it."""
        for count, (directory, names) in enumerate(by_directory(self.total.busy).items()):
            self.lock.demand()
            try:
                if rebuild(
                    self.store.root, self.names.own(STAGING), directory, names, self.names.trash(f"{self.id}-{count}")
                ):
                    self.notes.append(
                        f"{directory or 'the root'} was made anew: this machine has files open in the spare"
                    )
            except OSError as error:
                raise explain(error, self.store.shown(f"{self.names.own(STAGING)}/{directory}")) from error

    def _taker(self, writer: FrameWriter, ledger: Ledger) -> Callable[[Outcome], None]:
        def take(outcome: Outcome) -> None:
            try:
                for block in outcome.blocks:
                    writer.append(block.path, block.bucket, block.payload, block.files, block.bytes)
            except OSError as error:
                raise explain(error, self.store.shown(self.names.own(PROGRESS))) from error
            ledger.sight(outcome.sightings)
            outcome.blocks, outcome.sightings = [], []
            self.total.add(outcome)

        return take

    def _tick(self, writer: FrameWriter) -> Callable[[], None]:
        """Return what is called twice a second: tell the progress, and make it durable now and then."""
        saved = [self.total.transferred]

        def tick() -> None:
            self._tell()
            if self.total.transferred != saved[0] and self.progress.save_is_due():
                saved[0] = self.total.transferred
                writer.sync()

        return tick

    def _keep_progress(self, writer: FrameWriter) -> None:
        """Keep what is known of staging for the next run, whatever ended this one (also a full file system)."""
        with suppress(OSError):
            writer.sync()

    # seal and publish

    def _seal(self, writer: FrameWriter, base: Manifest | None) -> Snapshot:
        """Make staging and its manifest durable, once more sure that the source is what it was."""
        self.progress.begin("seal")
        self.flag.check()
        self._demand_same_root()
        self.lock.demand()
        try:
            writer = self._compacted(writer)
        except OSError as error:
            raise explain(error, self.store.shown(self.names.own(PROGRESS))) from error
        frames, files, count = writer.totals()
        complete = not self.total.unreadable
        snapshot = Snapshot(
            self.id, self.store.inode(self.names.own(STAGING)) or 0, complete, self.started, now_iso(), files, count,
            checksums_complete=not self.total.checksums_missing,
        )  # fmt: skip
        summary = {
            "format": FORMAT, "id": self.id, "interval": self.options.interval, "started": self.started,
            "finished": snapshot.finished, "files": files, "bytes": count, "blocks": frames, "complete": complete,
            "checksum": "md5", "source": {"file_system": self.identity.file_system, "root": self.identity.root},
            "run": int(base.summary["run"]) + 1 if base else 0,
        }  # fmt: skip
        try:
            writer.seal(summary)
            writer.close()
            syncfs(self.store.root)
            sync_directory(self.store.root, self.names.private)
        except OSError as error:
            raise explain(error, self.store.shown(self.names.own(PROGRESS))) from error
        return snapshot

    def _demand_same_root(self) -> None:
        """A source that was unmounted in the middle looks empty; nothing of it may be believed."""
        try:
            now = os.stat(self.options.source)
        except OSError as error:
            raise SourceError(
                f"the source {self.options.source} is gone: {error.strerror}; nothing is published"
            ) from error
        if not os.path.samestat(now, self.source_status):
            raise SourceError(
                f"the source {self.options.source} is no longer what was mounted there: nothing is published"
            )

    def _compacted(self, writer: FrameWriter) -> FrameWriter:
        """Return a writer without what nobody will read, if that is much, or wrong: blocks of what was put away."""
        if not self.total.removed and writer.garbage() < _GARBAGE:
            return writer
        # Which directories are left is asked only where some were put away: there may be very many.
        kept = reachable(writer) if self.total.removed else None
        path = self.names.own(PROGRESS)
        fresh = os.open(
            f"{path}.new", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=self.store.root
        )
        other = FrameWriter(fresh)
        writer.copy_to(other, lambda at: kept is not None and at not in kept)
        writer.close()
        other.sync()
        os.replace(f"{path}.new", path, src_dir_fd=self.store.root, dst_dir_fd=self.store.root)
        return other

    def _publish(self, sealed: Snapshot) -> tuple[Catalog, list[str]]:
        """Rotate: from the moment the journal stands, the new set of snapshots is the one that counts.

        Returns that set, and the ids of the snapshots that have expired.
        """
        self.progress.begin("publish")
        survey = self.store.survey()
        _, spare = self.store.staging_or_spare()
        journal = rotation(self.names, survey.standings, sealed, self.options.retain, spare is None)
        if spare is not None and survey.catalog.spare is not None:
            journal = journal._replace(after=journal.after._replace(spare=survey.catalog.spare))
        self.flag.check()
        self.lock.demand()
        write_durably(
            self.store.root, self.names.own(JOURNAL), journal.to_json(), self.store.shown(self.names.own(JOURNAL))
        )
        rotate(self.store, journal, self.lock.demand)
        kept = {s.id for s in journal.after.snapshots}
        return journal.after, [s.snapshot.id for s in survey.standings if s.snapshot.id not in kept]

    def _prune(self, pool: Pool, published: Catalog) -> None:
        """Remove what has expired, but for the spare. Being stopped here is no failure: the next run goes on."""
        self.progress.begin("prune")
        tree.unlink(self.store.root, self.names.own(COPIED))
        try:
            self._drop_manifests(published)
            names = [name for name in self.store.trash_names() if self.store.is_free(name)]
            if names:
                pool.run([EmptyTask(name) for name in names], lambda outcome: None, lambda: None)
                pool.run([RemoveTask(name) for name in names], lambda outcome: None, lambda: None)
        except DrainedError:
            self.notes.append("stopped while removing what has expired: the next run goes on with that")
        except (BackupError, OSError) as error:
            self.notes.append(f"what has expired could not be removed ({error}): the next run tries again")

    def _drop_manifests(self, published: Catalog) -> None:
        """Remove the manifests of snapshots that are gone for good; one that somebody reads stays one more night."""
        known = {snapshot.id for snapshot in published.by_inode().values()}
        with tree.directory(self.store.root, self.names.own(MANIFESTS)) as manifests:
            for name in os.listdir(manifests):
                snapshot_id = name.removesuffix(".verified")
                if snapshot_id not in known and self.store.is_free(snapshot_id):
                    tree.unlink(manifests, name)

    # report

    def _report(self, sealed: Snapshot, expired: list[str]) -> BackupReport:
        total = self.total
        return BackupReport(
            outcome=SUCCESS if sealed.complete else INCOMPLETE,
            snapshot=self.store.shown(self.names.snapshot(0)),
            id=sealed.id,
            complete=sealed.complete,
            started=self.started,
            finished=sealed.finished or now_iso(),
            files=sealed.files or 0,
            directories=total.directories,
            bytes=sealed.bytes or 0,
            files_transferred=total.transferred,
            bytes_transferred=total.bytes_transferred,
            files_linked=total.linked,
            files_kept=total.kept,
            files_deleted=total.deleted,
            link_limit_copies=total.link_limit_copies,
            split_groups=sorted(set(total.split_groups)),
            changed_during_backup=sorted(set(total.changed)),
            unreadable=sorted(set(total.unreadable)),
            other_mounts=sorted(set(total.other_mounts)),
            not_kept=dict(sorted(total.not_kept)),
            notes=self.notes,
            expired=expired,
            seconds=self.progress.seconds,
            phases=self.progress.times,
        )
