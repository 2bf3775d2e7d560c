"""System calls that Python's library has no word for."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def syncfs(descriptor: int) -> None:
    """Write all that is cached of the descriptor's file system to it; raise OSError if that fails."""
    _checked(_libc.syncfs(descriptor))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; die at once if it already has.

    `parent` is the process id the caller had before it started this process.
    """
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL)))
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
