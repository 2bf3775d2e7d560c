"""The first backup: fpsync moves the bulk into staging. The compare that follows checks and repairs it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from efs_backup.effects import processes
from efs_backup.effects.frames import FrameWriter, key_of
from efs_backup.effects.ledger import Ledger
from efs_backup.effects.processes import Binding
from efs_backup.effects.stop import StopFlag
from efs_backup.flow.workbench import EARLIER
from efs_backup.pure.errors import BackupError, DrainedError, SpaceError, ToolError
from efs_backup.pure.fpsync import (
    Paths,
    counted,
    prepare_arguments,
    run_arguments,
    runs_by_directory,
    transfer_arguments,
    unescaped,
    without,
)
from efs_backup.pure.layout import join

_BYTES_PER_FILE = 1024
"""What fpsync's lists and logs may take of this machine's disk for each file: two paths and a line of log."""
_SPARE_BYTES = 64 << 20
_LISTINGS = 3
"""How often fpsync is called where fpart gives up before anything is moved."""
_TAIL_SECONDS = 3.0
_STALLED_SECONDS = 900.0
MOVED_AWAY = 98
"""Exit status of confine.sh where a directory is no longer the one that was looked at."""


class Tools(NamedTuple):
    """Paths of the programs that fpsync needs."""

    fpsync: str
    fpart: str
    rsync: str

    def all(self) -> list[str]:
        """Return all paths."""
        return [self.fpsync, self.fpart, self.rsync]


def find_tools() -> Tools:
    """Return the paths of fpsync, fpart and rsync; raise UsageError naming the one that is missing."""
    fpsync = processes.find_tool("fpsync", "fpart")
    return Tools(fpsync, processes.find_tool("fpart", "fpart"), processes.find_tool("rsync", "rsync"))


@dataclass(slots=True)
class Transfer:
    """One run of fpsync: from where to where, how many jobs, and where its lines of finished files are kept."""

    tools: Tools
    source: Callable[[], str]
    """Where the source is at this moment: a snapshot that is restored may be moved by a rotation."""
    target: str
    jobs: int
    files: int
    status: os.stat_result
    """What the source was when it was opened."""
    work: Path
    finished_log: IO[bytes]
    inherit: tuple[int, ...]
    flag: StopFlag
    tell: Callable[[int, int], None]
    """Told how many files, and bytes in them, are done."""
    log_directory: Path | None = None
    _offsets: dict[str, int] = field(default_factory=dict)
    _seen: float = 0.0
    _moved: float = 0.0
    _free: int = 0
    _spoke: bool = False
    """Whether rsync has said of anything, be it a directory, that it moved it."""
    _files: int = 0
    _bytes: int = 0
    _said: bytes = b""
    """What fpsync said when it was called last."""

    def run(self, ledger: Ledger, sparse: set[int]) -> None:
        """Transfer everything but the second and further names of files that have several, and sparse files (by key).

        Without punching holes, which NFSv4.1 cannot, rsync fills a hole at the end of a file that it writes in place.

        Raises ToolError if fpsync does nothing at all, DrainedError if the run is to stop.
        """
        self._demand_room()
        for name in ("queue", "shared", "world"):
            (self.work / name).mkdir()
        log_path = self.work / "fpsync.log"
        try:
            with log_path.open("ab") as log:
                status = self._transfer(log, followers(ledger) | sparse)
                self._tail_all()
                if status != 0 and not self._spoke and not self._cut_off():
                    raise self._useless(status)
        except DrainedError:
            # What was finished since the last look is not copied again by the next run.
            self._tail_all()
            raise
        finally:
            self._keep_logs(log_path)

    def _transfer(self, log: IO[bytes], left_out: set[int]) -> int:
        """Have fpsync list and transfer; in two steps only where names must be taken out of its lists in between.

        What it does not list, for the source moves, is left to the compare.
        """
        parts = (self._paths(), self.jobs, files_per_part(self.files, self.jobs))
        arguments = prepare_arguments(*parts) if left_out else transfer_arguments(*parts)
        status = self._call(arguments, log)
        for _ in range(_LISTINGS - 1):
            self._tail_all()
            if not self._cut_off() or self._spoke:
                break
            # fpsync's name of a run is made of the second it begins in.
            time.sleep(1.1)
            shutil.rmtree(self.work / "queue")
            (self.work / "queue").mkdir()
            status = self._call(arguments, log)
        if not left_out or self._cut_off():
            return status
        run = self._prepared_run()
        self._leave_out(run, left_out)
        return self._call(run_arguments(self._paths(), self.jobs, run), log)

    def _paths(self) -> Paths:
        return Paths("/source", "/target", "/work", self.tools.rsync)

    def _demand_room(self) -> None:
        """A full queue makes fpsync lose files and say that all is well, so there must be room before it starts."""
        room = os.statvfs(self.work)
        wanted = self.files * _BYTES_PER_FILE + _SPARE_BYTES
        if room.f_bavail * room.f_frsize < wanted or (room.f_files > 0 and room.f_favail < 4096):
            raise SpaceError(
                f"no space for fpsync's lists in {self.work.parent}: {wanted >> 20} MiB and 4096 inodes are needed "
                "(TMPDIR names another directory)"
            )

    def _call(self, arguments: list[str], log: IO[bytes]) -> int:
        """Run fpsync confined, its words going to `log`; return its exit status if it got as far as working."""
        source = self.source()
        bindings = [
            Binding(source, "/source", writable=False, status=self.status),
            Binding(self.target, "/target", writable=True, status=os.stat(self.target)),
            Binding(str(self.work), "/work", writable=True, status=self.work.stat()),
        ]
        # Under dash, which Debian's /bin/sh is, fpsync complains that there is no terminal.
        tool = ["/bin/bash", self.tools.fpsync, *arguments]
        command = processes.confined(tool, bindings, str(self.work / "world"), self.tools.all())
        log.flush()
        before = log.tell()
        status = processes.run(command, log, self.inherit, processes.search_path(self.tools.all()), self._watch)
        self.flag.check()
        if status == MOVED_AWAY and source != self.source():
            return self._call(arguments, log)
        self._said = Path(log.name).read_bytes()[before:]
        if b"Run ID" not in self._said and status != 0:
            raise ToolError(f"fpsync failed with exit status {status}: {_last_line(self._said)}")
        return status

    def _cut_off(self) -> bool:
        """Tell whether fpart gave up listing, which it does where a directory goes that it is about to enter."""
        return b"Fpart exited with errors" in self._said

    def _useless(self, status: int) -> BackupError:
        """Return the error of a transfer that ended badly and moved not one file."""
        said = b"".join(path.read_bytes() for path in self._error_logs())
        if b"No space left on device" in said or b"Disk quota exceeded" in said:
            return SpaceError(
                f"no space left on the file system written to, at {self.target}: make room, then run again"
            )
        return ToolError(f"fpsync failed with exit status {status} and transferred nothing: {_last_line(said)}")

    def _error_logs(self) -> list[Path]:
        logs = self.work / "shared" / "log"
        return sorted(p for p in logs.glob("*/*.stderr") if p.stat().st_size) if logs.is_dir() else []

    def _prepared_run(self) -> str:
        """Return the name of the run that fpsync prepared; every part it listed must have been queued."""
        runs = (
            [p.name for p in (self.work / "queue" / "queue").iterdir()]
            if (self.work / "queue" / "queue").is_dir()
            else []
        )
        if len(runs) != 1:
            raise ToolError("fpsync failed: it prepared nothing, see its log")
        return runs[0]

    def _leave_out(self, run: str, left_out: set[int]) -> None:
        """Take the names that will be hard links out of the lists: each inode is transferred once."""
        for part in (self.work / "shared" / "parts" / run).iterdir():
            listed = part.read_bytes()
            marks = (key_of(_relative(name), 0) in left_out for name in listed.split(b"\0")[:-1])
            part.write_bytes(without(listed, marks))

    def _watch(self) -> bool:
        """Called while fpsync works: keep what it finished, tell how far it is, stop it when it stands still."""
        self.flag.check()
        if time.monotonic() - self._seen >= _TAIL_SECONDS:
            self._seen = time.monotonic()
            moved = self._tail_all()
            free = os.statvfs(self.target).f_bfree
            if moved or free != self._free or not self._moved:
                self._free, self._moved = free, time.monotonic()
        return time.monotonic() - self._moved < _STALLED_SECONDS

    def _tail_all(self) -> int:
        """Append to the log of finished files what rsync has said since the last look; return how many files."""
        before = self._files
        for path in (self.work / "shared" / "log").glob("*/*.stdout"):
            with path.open("rb") as file:
                file.seek(self._offsets.get(str(path), 0))
                said = file.read()
            whole = said[: said.rfind(b"\n") + 1]
            self._offsets[str(path)] = self._offsets.get(str(path), 0) + len(whole)
            self.finished_log.write(whole)
            self._spoke = self._spoke or bool(whole)
            files, count = counted(whole)
            self._files, self._bytes = self._files + files, self._bytes + count
        self.finished_log.flush()
        self.tell(self._files, self._bytes)
        return self._files - before

    def _keep_logs(self, log_path: Path) -> None:
        if self.log_directory is None:
            return
        self.log_directory.mkdir(parents=True, exist_ok=True)
        with (self.log_directory / "fpsync.log").open("ab") as kept:
            for path in [log_path, *self._error_logs()]:
                if path.exists():
                    with path.open("rb") as said:
                        shutil.copyfileobj(said, kept)


def files_per_part(files: int, jobs: int) -> int:
    """Return how many files fpsync puts into one part.

    Each part costs fpsync a pause of its own, so each job gets one, as long as a part's list stays small; parts of
    large files are cut by fpsync's own limit of bytes.
    """
    return max(500, min(50_000, files // jobs + 1))


def followers(ledger: Ledger) -> set[int]:
    """Return the keys of the names that are left out: all but the first of each inode. (A key is short.)"""
    return {key_of(join(member.directory, member.name), 0) for group in ledger.groups() for member in group[1:]}


def _relative(listed: bytes) -> str:
    return os.fsdecode(listed.removeprefix(b"./").rstrip(b"/"))


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "backslashreplace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def index_of_finished(finished: Path, target: Path, earlier: int = 0) -> None:
    """Put the lines about finished files, by directory, into a file that workers can look them up in.

    The first `earlier` bytes are of a run before this one. Its summary says since when: the time, in
    nanoseconds since the epoch, before which no transfer had begun.
    """
    since = 0
    writer = FrameWriter(os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    with finished.open("rb") as lines:
        first = lines.readline()
        if first.startswith(b"since "):
            since = int(first[6:])
        before = lines.read(max(0, earlier - len(first))).splitlines(keepends=True)
        _append_runs(writer, before, EARLIER)
        _append_runs(writer, lines, 0)
    writer.seal({"since_ns": since})
    writer.close()


def _append_runs(writer: FrameWriter, lines: Iterable[bytes], bucket: int) -> None:
    """Append each directory's lines under buckets that count up from a first one."""
    parts: dict[str, int] = {}
    for directory, run in runs_by_directory(_whole(lines)):
        path = _relative(unescaped(directory))
        writer.append(path, bucket + parts.get(path, 0), run)
        parts[path] = parts.get(path, 0) + 1


def _whole(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines that were written to their end."""
    return (line for line in lines if line.endswith(b"\n"))


def begin_finished_log(descriptor: int) -> IO[bytes]:
    """Return the log of finished files, opened to be appended to; a new one begins with the time of now."""
    file = os.fdopen(descriptor, "ab")
    if os.fstat(descriptor).st_size == 0:
        file.write(b"since %d\n" % time.time_ns())
        file.flush()
    return file
