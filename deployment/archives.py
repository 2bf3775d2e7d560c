"""Archives that are the same bytes whenever they are made from the same files."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
ON_UNIX = 3


@dataclass(frozen=True)
class Entry:
    """A file of an archive."""

    name: str
    data: bytes
    executable: bool = False

    @property
    def mode(self) -> int:
        """Its permissions, the same whatever the umask was where its source lies."""
        return 0o755 if self.executable else 0o644


def read_entry(path: Path, name: str) -> Entry:
    """Return a file of the source tree as an entry called ``name``."""
    return Entry(name, path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))


def tar_gz(entries: Iterable[Entry]) -> bytes:
    """Return a compressed tar archive: entries in the order of their names, all of root and of one time."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for entry in _in_order(entries):
            info = tarfile.TarInfo(entry.name)
            info.size, info.mode, info.uname, info.gname = len(entry.data), entry.mode, "root", "root"
            archive.addfile(info, io.BytesIO(entry.data))
    return packed.getvalue()


def zipped(entries: Iterable[Entry]) -> bytes:
    """Return a zip archive: entries in the order of their names, all of one time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for entry in _in_order(entries):
            info = zipfile.ZipInfo(entry.name, OLDEST_ZIP_TIME)
            info.external_attr, info.create_system = entry.mode << 16, ON_UNIX
            archive.writestr(info, entry.data, zipfile.ZIP_DEFLATED, compresslevel=9)
    return packed.getvalue()


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.name)
