"""The lock of a folder label, and the heartbeat that shows it is still held.

On NFS a lock is no fence: after the lease another machine gets it while the old holder's mkdir still works. Only a
write and fsync through the locked descriptor fails then. So a thread does that every few seconds, and a beat is
demanded before each step that cannot be taken back.

A beat that fails ends the run at once, and so does a server that answers neither it nor anything else for long (where
much is being written a beat may wait; each answer renews the lease). Asking the workers to stop would not do: what they
wait for in the kernel is sent again when the server can be reached, and done in what another machine has published by
then. The kernel forgets the requests of a process that is killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from efs_backup.effects.mounts import NETWORK_TYPES, answers, mount_of
from efs_backup.effects.stop import StopFlag
from efs_backup.pure.errors import BackupError, LockedError, SpaceError, explain

BEAT_SECONDS = 4.0
LATE_SECONDS = 40.0
"""A lease is at least 45 seconds; a holder that has heard nothing for this long ends before another can have the lock.
A server that was silent for 20 is heard again after up to 33, because TCP doubles its pauses."""
_WATCH_SECONDS = 0.5
DEAD_HOLDER_SECONDS = 120.0
"""How long to wait for the lock of a holder whose heartbeat stands still: a dead machine's lease must run out."""
_POLL_SECONDS = 0.25
_LINE = 128


class Lock:
    """The exclusive lock of a folder label, as a context manager. Raises LockedError if another run holds it."""

    def __init__(self, directory: int, name: str, path: str, flag: StopFlag, lost: Callable[[str], NoReturn]) -> None:
        """Prepare to lock the file `name` in a directory; `path` is what a person calls it.

        `lost` ends the process and all it has started, at once, saying the line it is given. It is called when the lock
        is lost or cannot be written, from any thread, while others may hang.
        """
        self._directory, self._name, self._path, self._flag, self._lost = directory, name, path, flag, lost
        self._descriptor = -1
        self._beats = 0
        self._last = 0.0
        self._done = threading.Event()
        self._beating = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._nfs: str | None = None

    def __enter__(self) -> Lock:
        """Take the lock and write the first beat. The heartbeat itself is started by `start`."""
        self._descriptor = os.open(
            self._name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._directory
        )
        try:
            self._wait()
            self._write_beat()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the heartbeat and let go of the lock."""
        self._done.set()
        for thread in self._threads:
            thread.join()
        os.close(self._descriptor)

    @property
    def descriptor(self) -> int:
        """Return the locked descriptor: whatever process inherits it keeps the lock until it has ended."""
        return self._descriptor

    def start(self) -> None:
        """Start the heartbeat (after the worker processes have been forked; until then nothing is risked)."""
        self._write_beat()
        mount = mount_of(os.path.dirname(self._path))
        self._nfs = mount.point if mount.kind in NETWORK_TYPES else None
        for name, task in (("heartbeat", self._beat_until_done), ("watch", self._watch_until_done)):
            self._threads.append(threading.Thread(target=task, name=name, daemon=True))
            self._threads[-1].start()

    def demand(self) -> None:
        """Beat now; the run ends unless the lock is still held. Called before each step that counts."""
        with self._beating:
            try:
                self._write_beat()
            except SpaceError as error:
                self._lost(str(error))
            except BackupError:
                self._end()

    def _wait(self) -> None:
        """Take the lock, waiting only for a holder whose heartbeat stands still."""
        began = time.monotonic()
        first: bytes | None = None
        while not self._try():
            beat = self._read_beat()
            first = beat if first is None else first
            waited = time.monotonic() - began
            if beat != first or waited > DEAD_HOLDER_SECONDS:
                raise LockedError(f"another run holds the lock {self._path} ({self._holder(beat)}): wait for it to end")
            self._flag.check()
            time.sleep(_POLL_SECONDS)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise explain(error, self._path) from error
        return True

    def _read_beat(self) -> bytes:
        """Read what the holder wrote last; opened anew, because NFS looks for others' writes only on open."""
        descriptor = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            return os.pread(descriptor, _LINE, 0)
        finally:
            os.close(descriptor)

    @staticmethod
    def _holder(beat: bytes) -> str:
        return beat.decode("utf-8", "replace").strip() or "its holder has written nothing"

    def _write_beat(self) -> None:
        self._beats += 1
        line = f"beat {self._beats} of process {os.getpid()} on {socket.gethostname()}"[: _LINE - 1]
        try:
            os.pwrite(self._descriptor, line.ljust(_LINE - 1).encode("utf-8")[: _LINE - 1] + b"\n", 0)
            os.fsync(self._descriptor)
        except OSError as error:
            raise explain(error, self._path) from error
        self._last = _now()

    def _beat_until_done(self) -> None:
        while not self._done.wait(BEAT_SECONDS):
            self.demand()

    def _watch_until_done(self) -> None:
        """End the run when nothing was heard for too long, while a beat, like all else, may wait for ever."""
        answered: int | None = None
        heard = looked = _now()
        while not self._done.wait(_WATCH_SECONDS):
            if _now() - self._last < 2 * BEAT_SECONDS:
                continue
            now, count = _now(), answers(self._nfs) if self._nfs else None
            if count != answered:
                answered, heard = count, looked
            if now - max(self._last, heard) >= LATE_SECONDS:
                self._end()
            looked = now

    def _end(self) -> NoReturn:
        self._lost(f"the lock {self._path} was lost: nothing more is written; run again")


def _now() -> float:
    """Return the seconds since boot, those included in which the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
