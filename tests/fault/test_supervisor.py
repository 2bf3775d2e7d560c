"""The supervisor of the fault tests itself: it must never stand still, for all calls of a run wait for it."""

from __future__ import annotations

import subprocess

import pytest
from tests.support import calls
from tests.support.faults import Call, string_at


def test_a_caller_that_ended_is_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    with pytest.raises(FileNotFoundError):
        Call("openat", process.pid, (calls.AT_FDCWD, 4096, 0, 0)).path()


def test_a_caller_that_ends_while_it_is_looked_at_is_not_looked_at_for_ever() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin and process.stdout
        # What it says shows that its program is loaded: before that, the first thing in its memory is the stack.
        process.stdin.write(b"loaded\n")
        assert process.stdout.readline() == b"loaded\n"
        with open(f"/proc/{process.pid}/maps") as maps:
            address = int(maps.readline().split("-")[0], 16)
        with open(f"/proc/{process.pid}/mem", "rb", buffering=0) as memory:
            assert string_at(memory, address).startswith(b"\x7fELF")
            process.kill()
            process.wait()
            with pytest.raises(ProcessLookupError):
                string_at(memory, address)
