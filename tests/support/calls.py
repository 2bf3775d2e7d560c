"""System calls by name: their numbers on this machine, and where in their arguments the paths are."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

# x86_64, and the numbers that all newer machines share (Linux: include/uapi/asm-generic/unistd.h).
_X86_64 = {
    "read": 0, "write": 1, "open": 2, "stat": 4, "lstat": 6, "pread64": 17, "pwrite64": 18, "readv": 19,
    "writev": 20, "sendfile": 40, "truncate": 76, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84,
    "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "readlink": 89, "chmod": 90, "fchmod": 91, "chown": 92,
    "fchown": 93, "lchown": 94, "mknod": 133, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
    "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "getdents64": 217, "openat": 257, "mkdirat": 258,
    "mknodat": 259, "fchownat": 260, "newfstatat": 262, "unlinkat": 263, "renameat": 264, "linkat": 265,
    "symlinkat": 266, "readlinkat": 267, "fchmodat": 268, "utimensat": 280, "fallocate": 285, "pwritev": 296,
    "renameat2": 316, "copy_file_range": 326, "statx": 332, "openat2": 437, "fchmodat2": 452, "fsync": 74,
    "fdatasync": 75, "syncfs": 306,
}  # fmt: skip
_GENERIC = {
    "read": 63, "write": 64, "pread64": 67, "pwrite64": 68, "readv": 65, "writev": 66, "sendfile": 71,
    "truncate": 45, "ftruncate": 46, "fchmod": 52, "fchown": 55, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7,
    "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "getdents64": 61, "openat": 56, "mkdirat": 34,
    "mknodat": 33, "fchownat": 54, "newfstatat": 79, "unlinkat": 35, "renameat": 38, "linkat": 37, "symlinkat": 36,
    "readlinkat": 78, "fchmodat": 53, "utimensat": 88, "fallocate": 47, "pwritev": 70, "renameat2": 276,
    "copy_file_range": 285, "statx": 291, "openat2": 437, "fchmodat2": 452, "fsync": 82, "fdatasync": 83,
    "syncfs": 267,
}  # fmt: skip
NUMBERS = _X86_64 if platform.machine() == "x86_64" else _GENERIC
AUDIT_ARCH = 0xC000003E if platform.machine() == "x86_64" else 0xC00000B7
NAMES = {number: name for name, number in NUMBERS.items()}
AT_FDCWD = -100


@dataclass(frozen=True)
class Where:
    """A path among the arguments: the index of its directory descriptor (None: the working directory) and of itself.

    ``path`` None means that the descriptor itself is what the call works on.
    """

    directory: int | None
    path: int | None


def _paths(*pairs: tuple[int | None, int | None]) -> tuple[Where, ...]:
    return tuple(Where(directory, path) for directory, path in pairs)


# The last path of a call is the one it creates or changes.
PATHS: dict[str, tuple[Where, ...]] = {
    **dict.fromkeys(
        ("read", "write", "pread64", "pwrite64", "readv", "writev", "sendfile", "ftruncate", "fchmod", "fchown",
         "fsetxattr", "fremovexattr", "getdents64", "fallocate", "pwritev", "fsync", "fdatasync", "syncfs"),
        _paths((0, None)),
    ),
    **dict.fromkeys(
        ("open", "stat", "lstat", "truncate", "mkdir", "rmdir", "creat", "unlink", "readlink", "chmod", "chown",
         "lchown", "mknod", "setxattr", "lsetxattr", "removexattr", "lremovexattr"),
        _paths((None, 0)),
    ),
    **dict.fromkeys(
        ("openat", "mkdirat", "mknodat", "fchownat", "newfstatat", "unlinkat", "readlinkat", "fchmodat", "utimensat",
         "statx", "openat2", "fchmodat2"),
        _paths((0, 1)),
    ),
    **dict.fromkeys(("rename", "link"), _paths((None, 0), (None, 1))),
    **dict.fromkeys(("renameat", "renameat2", "linkat"), _paths((0, 1), (2, 3))),
    "symlink": _paths((None, 1)),
    "symlinkat": _paths((1, 2)),
    "copy_file_range": _paths((2, None)),
}  # fmt: skip

OPENING = tuple(name for name in ("open", "openat", "openat2", "creat") if name in NUMBERS)
READING = tuple(name for name in ("read", "pread64", "readv") if name in NUMBERS)
LISTING = ("getdents64",)
LOOKING = tuple(name for name in ("stat", "lstat", "newfstatat", "statx") if name in NUMBERS)
LINKING = tuple(name for name in ("link", "linkat") if name in NUMBERS)
RENAMING = tuple(name for name in ("rename", "renameat", "renameat2") if name in NUMBERS)
REMOVING = tuple(name for name in ("unlink", "unlinkat", "rmdir") if name in NUMBERS)
WRITING = tuple(
    name
    for name in ("write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile", "ftruncate", "fallocate")
    if name in NUMBERS
)
CREATING = tuple(
    name for name in ("mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat", "creat") if name in NUMBERS
)
SETTING = tuple(
    name
    for name in ("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat", "utimensat",
                 "truncate", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr")
    if name in NUMBERS
)  # fmt: skip
# What changes a file system, openings that create or truncate aside.
MODIFYING = LINKING + RENAMING + REMOVING + WRITING + CREATING + SETTING


def opens_for_writing(name: str, arguments: tuple[int, ...]) -> bool:
    """Whether an opening call creates, truncates or writes; openat2, whose flags are in memory, counts as doing so."""
    if name in ("creat", "openat2"):
        return True
    flags = arguments[1] if name == "open" else arguments[2]
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
