"""Run a command and say which system calls its RPCs came from, through the kernel's tracing (tracefs).

usage: calls.py OUTPUT COMMAND...
OUTPUT gets lines of 'COUNT SYSTEM-CALL OPERATION'; the exit status is the command's.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

TRACING = Path("/sys/kernel/tracing")
CALLS = (
    "openat", "newfstatat", "newfstat", "statx", "getdents64", "unlinkat", "linkat", "close", "utimensat", "mkdirat",
    "renameat", "rename", "mkdir", "unlink", "fsync", "syncfs", "flock", "pwrite64", "write", "pread64", "read",
    "ftruncate", "fchown", "fchmod", "statfs", "flistxattr", "listxattr", "mknodat", "symlinkat", "readlinkat",
    "newstat", "newlstat", "access", "exit_group", "readlink", "execve", "futex", "clone", "mmap", "lseek", "ioctl",
)  # fmt: skip
"""System calls that may need the server, by the names tracefs knows them by."""
_LINE = re.compile(r"^\s*(?P<task>.+)-(?P<pid>\d+)\s+\[\d+\].*?\d+\.\d+: (?P<event>.*)$")
_TASK = re.compile(r"task:([0-9a-f]+)@")
_OPERATION = re.compile(r"nfsv4 (\w+) ")


@contextmanager
def traced() -> Iterator[None]:
    """Have the kernel note system calls and RPCs while the block runs."""
    if not (TRACING / "trace").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=True)  # noqa: S607
    (TRACING / "buffer_size_kb").write_text("262144")
    events = [f"events/syscalls/sys_enter_{call}/enable" for call in CALLS]
    events += ["events/sunrpc/rpc_task_begin/enable", "events/sunrpc/rpc_request/enable"]
    known = [TRACING / event for event in events if (TRACING / event).exists()]
    for event in known:
        event.write_text("1")
    try:
        yield
    finally:
        for event in known:
            event.write_text("0")


def counted(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    """Return how often each (system call, operation) occurs in a trace; who called is found by the number of a task."""
    current: dict[str, str] = {}
    begun: dict[str, str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        pid, event = match["pid"], match["event"]
        if event.startswith("sys_"):
            current[pid] = event.partition("(")[0].removeprefix("sys_")
        elif (task := _TASK.search(event)) and event.startswith("rpc_task_begin"):
            begun[task[1]] = pid
        elif task and (operation := _OPERATION.search(event)):
            caller = begun.get(task[1], pid)
            counts[current.get(caller, "-"), operation[1]] += 1
    return counts


def main() -> int:
    """Trace the command given on the command line."""
    output, *command = sys.argv[1:]
    with traced():
        status = subprocess.run(command, check=False).returncode
    with (TRACING / "trace").open() as lines:
        counts = counted(lines)
    Path(output).write_text("".join(f"{count:6} {' '.join(key)}\n" for key, count in counts.most_common()))
    return status


if __name__ == "__main__":
    sys.exit(main())
