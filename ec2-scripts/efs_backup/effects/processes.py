"""The only module that starts processes: tools confined and bound to die with this one, and what the agent needs."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from efs_backup.pure.errors import ToolError, UsageError

_CONFINE = Path(__file__).with_name("confine.sh")
_POLL_SECONDS = 0.2
_GONE_SECONDS = 10.0
_SYSTEM = ("/usr/", "/bin/", "/sbin/", "/lib")


class Binding(NamedTuple):
    """A directory of this machine, and where the confined tool sees it.

    `status` is what the directory was when it was looked at: another one in its place is not bound.
    """

    outside: str
    inside: str
    writable: bool
    status: os.stat_result

    def words(self) -> list[str]:
        """Return the binding as arguments of confine.sh."""
        return [
            "rw" if self.writable else "ro",
            self.outside,
            self.inside,
            f"{self.status.st_dev}:{self.status.st_ino}",
        ]


def find_tool(name: str, package: str) -> str:
    """Return the path of a program; raise UsageError that says what to install if it is missing."""
    path = shutil.which(name)
    if path is None:
        raise UsageError(f"{name} is not installed: install the package {package}")
    return os.path.realpath(path)


def confined(tool: Sequence[str], bindings: Sequence[Binding], root: str, programs: Sequence[str]) -> list[str]:
    """Return the command line that runs a tool where it sees only its bindings and the machine's programs.

    The tool and all it starts get process ids of their own with a /proc to match, and are killed when the process
    that runs this command line ends, however it ends. `root` is an empty directory; `programs` are the paths of the
    tools it will start, whose directories are shown to it where they are not the system's.
    """
    own = sorted({os.path.dirname(p) for p in programs if not p.startswith(_SYSTEM)})
    shown = [*(Binding(d, d, writable=False, status=os.stat(d)) for d in own), *bindings]
    words = [word for binding in shown for word in binding.words()]
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", "--",
        "/bin/sh", str(_CONFINE), root, *words, "--", *tool,
    ]  # fmt: skip


def run(
    command: Sequence[str],
    output: IO[bytes],
    inherit: Sequence[int],
    search_path: str,
    watch: Callable[[], bool],
) -> int:
    """Run a command to its end and return its exit status; its standard output and error go to `output`.

    `inherit` are descriptors it keeps open (the lock: as long as one of its processes lives, nobody else gets it).
    `watch` is called several times a second; when it says False, or raises, the command and all it started are killed.
    """
    environment = {"PATH": search_path, "LC_ALL": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108  /tmp of the tool's own world
    # The command and all it starts hold one end of a pipe. It is at its end when the last of them is gone.
    reading, writing = os.pipe()
    try:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                pass_fds=[*inherit, writing], env=environment, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ToolError(f"cannot run {command[0]}: {error.strerror}") from error
        finally:
            os.close(writing)
        try:
            while True:
                try:
                    return process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    if not watch():
                        return _killed(process, reading)
        except BaseException:
            _killed(process, reading)
            raise
    finally:
        os.close(reading)


def _killed(process: subprocess.Popen[bytes], reading: int) -> int:
    """Kill a command, and wait until the kernel has killed all in its process namespace: that ends after its parent.

    One that hangs in the kernel (a server that does not answer) is not waited for for ever; it, too, is killed before
    it does anything more.
    """
    process.send_signal(signal.SIGKILL)
    status = process.wait()
    select.select([reading], [], [], _GONE_SECONDS)
    return status


class Called(NamedTuple):
    """How a short command ended, and all that it said."""

    status: int
    said: str


def call(command: Sequence[str], seconds: float) -> Called:
    """Run a command of the system that ends soon; one that takes longer is killed and has the status 124."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode("utf-8", "backslashreplace")
        return Called(124, f"{said}\n{command[0]} timed out after {seconds:.0f} s")
    except OSError as error:
        return Called(127, f"cannot run {command[0]}: {error.strerror}")
    return Called(done.returncode, done.stdout.decode("utf-8", "backslashreplace"))


def start(
    command: Sequence[str], output: IO[bytes], errors: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command that is asked to stop (SIGTERM) when this process dies; return its process."""
    bound = ["setpriv", "--pdeathsig", "TERM", "--", *command]
    return subprocess.Popen(
        bound,
        stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, start_new_session=True,
    )  # fmt: skip


def search_path(programs: Sequence[str]) -> str:
    """Return a PATH on which the given programs come first."""
    own = [os.path.dirname(p) for p in programs]
    return ":".join(dict.fromkeys([*own, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]))


def work_directory() -> tempfile.TemporaryDirectory[str]:
    """Return a private directory on this machine's disk, removed when the block that uses it ends."""
    return tempfile.TemporaryDirectory(prefix="efs-backup-")
