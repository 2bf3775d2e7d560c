"""Starts a command whose system calls of the given numbers are asked of a supervisor first (seccomp user notification).

``python confess.py FD NUMBER,NUMBER… COMMAND…``: installs the filter, passes its descriptor over the socket FD, runs
the command in this process. The filter goes on to every child, whatever namespace it moves to, static binaries too;
the supervisor sees the calls of all of them in one order. See seccomp_unotify(2).
"""

from __future__ import annotations

import array
import ctypes
import os
import platform
import socket
import struct
import sys

SECCOMP = 317 if platform.machine() == "x86_64" else 277
SET_MODE_FILTER, NEW_LISTENER, WAIT_KILLABLE = 1, 1 << 3, 1 << 5
RET_NOTIFY, RET_ALLOW = 0x7FC00000, 0x7FFF0000
LOAD_WORD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
PR_SET_NO_NEW_PRIVS = 38


def program(numbers: list[int]) -> bytes:
    """The filter: these calls are asked, all others are allowed."""
    code = [struct.pack("=HBBI", LOAD_WORD, 0, 0, 0)]
    for position, number in enumerate(numbers):
        code.append(struct.pack("=HBBI", JUMP_EQUAL, len(numbers) - position, 0, number))
    code.append(struct.pack("=HBBI", RETURN, 0, 0, RET_ALLOW))
    code.append(struct.pack("=HBBI", RETURN, 0, 0, RET_NOTIFY))
    return b"".join(code)


def install(numbers: list[int]) -> int:
    """Install the filter for this process and its children; the descriptor its supervisor listens on."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = program(numbers)
    holder = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(holder)))
    if os.geteuid() != 0 and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    for flags in (NEW_LISTENER | WAIT_KILLABLE, NEW_LISTENER):  # the second for kernels before 5.19
        listener = int(libc.syscall(SECCOMP, SET_MODE_FILTER, flags, header))
        if listener >= 0:
            return listener
    raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    """Do what the module's first sentence says."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    listener = install([int(number) for number in sys.argv[2].split(",")])
    channel.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    os.close(listener)
    channel.close()
    os.execvp(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
