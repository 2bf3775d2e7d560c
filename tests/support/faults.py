"""Fault injection: every system call of a run can be answered with an error, done and then denied, or be its last.

:func:`supervise` runs a command under a seccomp filter that asks this process about the calls of interest. ``decide``
gets each one, in one order over all processes and threads of the run, and says what becomes of it: :data:`GO_ON`,
:class:`Fail`, :class:`DoAndFail`, :class:`Pretend`, :data:`HOLD` or :data:`KILL`. Counting is exact, and paths are
known as bytes.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO

from tests.support import calls
from tests.support.command import DEFAULT_TIMEOUT, Finished, command_line, environment, finish

RECEIVE, SEND = 0xC0502100, 0xC0182101
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
ANSWER = struct.Struct("=QqiI")
CONTINUE_FLAG = 1
RENAME_NOREPLACE = 1
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Fail:
    """The call is not done and answers this errno."""

    errno: int


@dataclass(frozen=True)
class DoAndFail:
    """The call is done, and answers this errno all the same, as a repeated request to a file server may."""

    errno: int


@dataclass(frozen=True)
class Pretend:
    """The call is not done and answers this value, as if it were."""

    value: int = 0


GO_ON = None
HOLD = "hold"  # the caller waits until the run is released; all other callers go on
KILL = "kill"  # every process of the run dies before the call is done
Decision = Fail | DoAndFail | Pretend | str | None


@dataclass(frozen=True)
class Call:
    """A system call that waits for its answer."""

    name: str
    thread: int
    arguments: tuple[int, ...]

    def place(self, which: int = -1) -> bytes:
        """The entry the call works on, as a path through /proc that leads to it from any namespace."""
        link, rest = self._parts(which)
        return os.path.join(link, rest) if rest else link

    def path(self, which: int = -1) -> bytes:
        """The entry's path as the kernel knows it, or as the calling process said it when that is all there is."""
        link, rest = self._parts(which)
        try:
            base = os.readlink(link)
        except OSError:
            return rest
        return os.path.join(base, rest) if rest else base

    def _parts(self, which: int) -> tuple[bytes, bytes]:
        """A link in /proc (root, working directory or descriptor) and the path that is said relative to it."""
        where, process = calls.PATHS[self.name][which], b"/proc/%d" % self.thread
        text = b"" if where.path is None else self._string(self.arguments[where.path])
        if text.startswith(b"/proc/self/fd/"):
            number, _, rest = text[len(b"/proc/self/fd/") :].partition(b"/")
            return b"%s/fd/%s" % (process, number), rest
        if text.startswith(b"/"):
            return process + b"/root", text.lstrip(b"/")
        descriptor = calls.AT_FDCWD if where.directory is None else self._descriptor(where.directory)
        return process + (b"/cwd" if descriptor == calls.AT_FDCWD else b"/fd/%d" % descriptor), text

    def file_name(self, which: int = -1) -> bytes:
        """The last part of the path."""
        return self.path(which).rstrip(b"/").rsplit(b"/", 1)[-1]

    def device(self, which: int = -1) -> int | None:
        """The file system the call works on; None when that cannot be told."""
        link, rest = self._parts(which)
        try:
            return os.stat(os.path.dirname(os.path.join(link, rest)) if rest else link).st_dev
        except OSError:
            return None

    def status(self, which: int = -1) -> os.stat_result | None:
        """What the entry is; None when there is none."""
        link, rest = self._parts(which)
        try:
            return os.lstat(os.path.join(link, rest)) if rest else os.stat(link)
        except OSError:
            return None

    @property
    def modifies(self) -> bool:
        """Whether the call would change a file system."""
        if self.name in calls.OPENING:
            return calls.opens_for_writing(self.name, self.arguments)
        return self.name in calls.MODIFYING

    def _descriptor(self, index: int) -> int:
        return ctypes.c_int(self.arguments[index] & 0xFFFFFFFF).value

    def _string(self, address: int) -> bytes:
        if address == 0:
            return b""
        try:
            with open(f"/proc/{self.thread}/mem", "rb", buffering=0) as memory:
                return string_at(memory, address)
        except ProcessLookupError as error:
            raise FileNotFoundError(errno.ENOENT, f"thread {self.thread} is gone") from error

    def do(self) -> None:
        """Do the call in the caller's place: links, renames, removals and new directories."""
        if self.name in calls.LINKING:
            _link(self.place(0), self.place(1), follow=not self._parts(0)[1])
        elif self.name in calls.RENAMING:
            if self.name == "renameat2" and self.arguments[4] == RENAME_NOREPLACE and self.status(1) is not None:
                raise FileExistsError(errno.EEXIST, "there already")
            os.rename(self.place(0), self.place(1))
        elif self.name == "rmdir" or (self.name == "unlinkat" and self.arguments[2] & AT_REMOVEDIR):
            os.rmdir(self.place())
        elif self.name in calls.REMOVING:
            os.unlink(self.place())
        elif self.name in ("mkdir", "mkdirat"):
            os.mkdir(self.place(), self.arguments[1 if self.name == "mkdir" else 2])
        else:
            raise NotImplementedError(f"{self.name} cannot be done for another process")


def string_at(memory: FileIO, address: int) -> bytes:
    """The string at an address of a process; ProcessLookupError if it has ended, which leaves nothing to be read."""
    data = b""
    while b"\0" not in data and len(data) < 8192:
        memory.seek(address + len(data))
        piece = memory.read(4096 - (address + len(data)) % 4096)
        if not piece:
            raise ProcessLookupError(errno.ESRCH, "the memory of a process that has ended")
        data += piece
    return data.split(b"\0", 1)[0]


def _link(old: bytes, new: bytes, follow: bool) -> None:
    """linkat(2), as os.link does not follow without directory descriptors; only a bare descriptor is to be followed."""
    flags = AT_SYMLINK_FOLLOW if follow else 0
    if _libc.linkat(calls.AT_FDCWD, old, calls.AT_FDCWD, new, flags) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


Decide = Callable[[Call], Decision]


@dataclass
class Supervised:
    """A run whose calls are asked for: its process, and what the supervisor saw."""

    process: subprocess.Popen[bytes]
    decide: Decide
    errors: list[BaseException] = field(default_factory=list)
    killed: bool = False
    listener: int = -1
    held: list[tuple[int, Call]] = field(default_factory=list)
    released: bool = False
    _holding: threading.Lock = field(default_factory=threading.Lock)

    def release(self) -> None:
        """Let all that were held go on, and hold no others."""
        with self._holding:
            self.released = True
            waiting, self.held = self.held, []
            for identifier, call in waiting if self.listener >= 0 else ():
                self._reply(self.listener, identifier, call, GO_ON)

    def serve(self, listener: int) -> None:
        """Answer calls until the last process of the run is gone."""
        self.listener = listener
        buffer = bytearray(NOTIFICATION.size)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        try:
            while True:
                events = poll.poll()
                if events[0][1] & (select.POLLHUP | select.POLLERR):
                    return
                buffer[:] = bytes(NOTIFICATION.size)
                try:
                    fcntl.ioctl(listener, RECEIVE, buffer)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.EINTR):  # the caller died while it waited
                        continue
                    raise
                self._answer(listener, buffer)
        finally:
            with self._holding:
                self.listener = -1
                os.close(listener)

    def _answer(self, listener: int, buffer: bytearray) -> None:
        identifier, thread, _, number, _, _, *arguments = NOTIFICATION.unpack(bytes(buffer))
        call = Call(calls.NAMES[number], thread, tuple(arguments))
        try:
            decision = GO_ON if self.killed else self.decide(call)
        except FileNotFoundError:  # the caller is gone
            decision = GO_ON
        except BaseException as error:  # noqa: BLE001 - kept for the test, which fails with it; the run goes on
            self.errors.append(error)
            decision = GO_ON
        if decision == KILL:
            self.killed = True
            self.kill_all()
            return
        if decision == HOLD:
            with self._holding:
                if not self.released:
                    self.held.append((identifier, call))
                    return
            decision = GO_ON
        self._reply(listener, identifier, call, decision)

    def _reply(self, listener: int, identifier: int, call: Call, decision: Decision) -> None:
        value, code, flags = 0, 0, CONTINUE_FLAG
        if isinstance(decision, DoAndFail):
            try:
                call.do()
                code, flags = -decision.errno, 0
            except OSError as error:
                code, flags = -(error.errno or errno.EIO), 0
        elif isinstance(decision, Fail):
            code, flags = -decision.errno, 0
        elif isinstance(decision, Pretend):
            value, flags = decision.value, 0
        with contextlib.suppress(FileNotFoundError):  # the caller died while it waited
            fcntl.ioctl(listener, SEND, ANSWER.pack(identifier, value, code, flags))

    def kill_all(self) -> None:
        """SIGKILL to every process of the run: its PID namespace ends with its first process."""
        for child in children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def children(process: int) -> list[int]:
    """The children of a process, of all its threads."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children") as file:
                found += [int(word) for word in file.read().split()]
    return found


def descendants(process: int) -> list[int]:
    """All processes below a process, children before grandchildren."""
    found = children(process)
    for child in found:
        found += children(child)
    return found


def start_supervised(
    arguments: Sequence[str | bytes],
    asked: Iterable[str],
    decide: Decide,
    *,
    contained: bool = False,
    env: Mapping[str, str] | None = None,
) -> Supervised:
    """Start the command with ``arguments``; ``decide`` is asked about the calls named in ``asked``.

    ``contained`` puts it into a PID namespace of its own, which :data:`KILL` ends as the end of a machine would.
    """
    return start_line(command_line(*arguments), asked, decide, contained=contained, env=env)


def start_line(
    line: Sequence[str | bytes],
    asked: Iterable[str],
    decide: Decide,
    *,
    contained: bool = False,
    env: Mapping[str, str] | None = None,
) -> Supervised:
    """As :func:`start_supervised`, for any command line.

    ``contained`` puts it into a PID namespace of its own, which :data:`KILL` ends as the end of a machine would.
    """
    numbers = sorted({calls.NUMBERS[name] for name in asked if name in calls.NUMBERS})
    ours, theirs = socket.socketpair()
    container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"] if contained else []
    # The first process of the namespace waits for the command and collects orphans, as init does.
    container += ["sh", "-c", '"$@"; exit $?', "sh"] if contained else []
    launcher = [sys.executable, "-S", "-E", os.path.join(os.path.dirname(__file__), "confess.py")]
    launcher += [str(theirs.fileno()), ",".join(map(str, numbers))]
    with ours, theirs:
        process = subprocess.Popen(
            [os.fsencode(part) for part in (*container, *launcher, *line)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            cwd="/",
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        listener = _receive(ours, process)
    run = Supervised(process, decide)
    threading.Thread(target=run.serve, args=(listener,), daemon=True).start()
    return run


def _receive(channel: socket.socket, process: subprocess.Popen[bytes]) -> int:
    channel.settimeout(30)
    descriptors = array.array("i")
    _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_LEN(descriptors.itemsize))
    for _, _, data in ancillary:
        descriptors.frombytes(data[: descriptors.itemsize])
    if not descriptors:
        process.kill()
        raise RuntimeError(f"no seccomp filter could be installed: {process.communicate()[1]!r}")
    return descriptors[0]


def supervise_line(
    line: Sequence[str | bytes],
    asked: Iterable[str],
    decide: Decide,
    *,
    contained: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run any command line to its end, ``decide`` asked about the calls named in ``asked``; see :func:`start_line`."""
    run = start_line(line, asked, decide, contained=contained, env=env)
    finished = finish(run.process, timeout, tuple(line))
    if run.errors:
        raise run.errors[0]
    return finished


def supervise(
    arguments: Sequence[str | bytes],
    asked: Iterable[str],
    decide: Decide,
    *,
    contained: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run the command to its end, ``decide`` asked about the calls named in ``asked``."""
    line = command_line(*arguments)
    return supervise_line(line, asked, decide, contained=contained, timeout=timeout, env=env)


def slowly(seconds: float, directory: str, name: bytes = b"") -> Decide:
    """Each call on the file system of ``directory`` takes longer, if it is on an entry whose name begins so."""
    device = os.stat(directory).st_dev

    def decide(call: Call) -> None:
        if call.device() == device and call.file_name().startswith(name):
            time.sleep(seconds)

    return decide


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Look every few milliseconds until ``condition`` holds; fail after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {timeout} s"
        time.sleep(0.005)


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is surely gone afterwards, with all below it."""
    try:
        yield process
    finally:
        if process.poll() is None:
            for each in [process.pid, *descendants(process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            process.wait()
