"""How fpsync is called, and how what it says is read. Nothing here runs it.

Facts (fpsync 1.5.1 and 1.7.1, rsync 3.2.7 to 3.5.0, found by trying): `-o` replaces rsync's options and must not hold
-a, -r or --delete; words in it are split at spaces; `-O` replaces the default excludes, which would leave out
`.zfs`, `.snapshot*` and `.ckpt`, and must not be empty; lists of files are separated by NUL; a vanished file makes
rsync exit 23 unless --ignore-missing-args is given; names in --out-format have `\\#ooo` for odd bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

OUT_FORMAT = "%C:%l:%n"
_CHECKSUM_HEX = 32
_ESCAPE = re.compile(rb"\\#([0-7]{3})")
_NOTHING_IS_CALLED_THIS = ".efs-backup-excludes-nothing-0f6d1b"
RSYNC_OPTIONS = (
    "-lptgoD",
    "--numeric-ids",
    "--sparse",
    "--whole-file",
    "--inplace",
    "--modify-window=-1",
    "--ignore-existing",
    "--ignore-missing-args",
    "--checksum-choice=md5",
    f"--out-format={OUT_FORMAT}",
)
"""--ignore-existing: what stands in the target may share its inode with published snapshots and is never touched;
so --inplace, which saves a rename a file and leaves no temporary names when it is killed, only ever writes new files.
--modify-window=-1: times are compared and set in nanoseconds."""


class Paths(NamedTuple):
    """Where things are for the tool: the two trees, its queue, and rsync."""

    source: str
    target: str
    work: str
    rsync: str


def transfer_arguments(paths: Paths, jobs: int, files_per_part: int) -> list[str]:
    """Return the arguments that have fpsync list the source into parts and transfer each as soon as it is listed."""
    return [
        "-v", "-T", paths.rsync, "-n", str(jobs), "-f", str(files_per_part),
        "-t", f"{paths.work}/queue", "-d", f"{paths.work}/shared",
        "-o", " ".join(RSYNC_OPTIONS), "-O", f"-x|{_NOTHING_IS_CALLED_THIS}",
        f"{paths.source}/", f"{paths.target}/",
    ]  # fmt: skip


def prepare_arguments(paths: Paths, jobs: int, files_per_part: int) -> list[str]:
    """Return the arguments that have fpsync list the source into parts, without transferring anything yet."""
    return ["-p", *transfer_arguments(paths, jobs, files_per_part)]


def run_arguments(paths: Paths, jobs: int, run: str) -> list[str]:
    """Return the arguments that have fpsync transfer the parts it prepared."""
    return ["-v", "-r", run, "-n", str(jobs), "-t", f"{paths.work}/queue", "-d", f"{paths.work}/shared"]


class CopiedFile(NamedTuple):
    """One file rsync says it transferred: path in bytes, size in bytes, MD5 of the content it read."""

    path: bytes
    size: int
    checksum: bytes
    earlier: bool = False
    """It was transferred by an earlier run, which was cut off."""


def parse_line(line: bytes, earlier: bool = False) -> CopiedFile | None:
    """Return the file in one line of --out-format, None for directories and for what has no checksum."""
    checksum, _, rest = line.rstrip(b"\n").partition(b":")
    size, _, name = rest.partition(b":")
    if len(checksum) != _CHECKSUM_HEX or not size.isdigit() or not name or name.endswith(b"/"):
        return None
    try:
        return CopiedFile(unescaped(name), int(size), bytes.fromhex(checksum.decode("ascii")), earlier)
    except ValueError:
        return None


def counted(lines: bytes) -> tuple[int, int]:
    """Return how many files whole lines of --out-format are about (directories left out), and the bytes in them."""
    files = count = 0
    for line in lines.splitlines():
        if not line.endswith(b"/"):
            files += 1
            checksum, _, rest = line.partition(b":")
            size = rest.partition(b":")[0]
            # What has no checksum is no regular file, and its size is no content.
            count += int(size) if checksum.strip() and size.isdigit() else 0
    return files, count


def unescaped(name: bytes) -> bytes:
    """Return a name as it is on disk from the way rsync prints it."""
    if b"\\#" not in name:
        return name
    return _ESCAPE.sub(lambda match: bytes([int(match.group(1), 8)]), name)


def runs_by_directory(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (directory, lines) for each run of neighbouring lines that are about one directory.

    The directory is as rsync prints it. This reads each line once and makes nothing of it: there may be millions.
    """
    directory: bytes | None = None
    run: list[bytes] = []
    for line in lines:
        start = line.find(b":", _CHECKSUM_HEX + 1) + 1
        if line[:1] == b":" or start <= 0 or line.endswith(b"/\n"):
            continue
        there = line[start : max(start, line.rfind(b"/"))]
        if there != directory:
            if run and directory is not None:
                yield directory, b"".join(run)
            directory, run = there, []
        run.append(line)
    if run and directory is not None:
        yield directory, b"".join(run)


def without(listed: bytes, is_left_out: Iterable[bool]) -> bytes:
    """Return a NUL-separated list of names without those marked."""
    names = listed.split(b"\0")[:-1]
    return b"".join(name + b"\0" for name, out in zip(names, is_left_out, strict=True) if not out)
