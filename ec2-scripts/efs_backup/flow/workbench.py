"""What one worker process has open: the trees, and the manifests it looks things up in."""

from __future__ import annotations

import itertools
import os
import threading
import time
import zlib
from contextlib import AbstractContextManager

from efs_backup.effects.files import exists
from efs_backup.effects.frames import FrameReader
from efs_backup.effects.manifest import Manifest
from efs_backup.effects.mounts import is_on_network, silly_renames
from efs_backup.effects.stop import StopFlag
from efs_backup.effects.tree import PASS, READ, directory, list_retried, open_root
from efs_backup.flow.helpers import Helpers
from efs_backup.flow.task import Trees
from efs_backup.pure.errors import SourceError
from efs_backup.pure.fpsync import CopiedFile, parse_line
from efs_backup.pure.records import Attributes, Record, adopted_record

_NAMES_A_READDIR = 100
"""About how many names, with attributes, one answer of an NFS server to READDIR brings."""
EARLIER = 1 << 20
"""From this bucket on an index of finished files has what earlier runs transferred."""


class Workbench:
    """Opened once in each worker process, used by all its threads."""

    def __init__(self, trees: Trees, flag: StopFlag, threads: int) -> None:
        """Open everything `trees` names; raise SourceError if the source is not the directory it was."""
        self.trees, self.flag, self.helpers = trees, flag, Helpers(threads)
        self.source = open_root(trees.source)
        status = os.fstat(self.source)
        if (status.st_dev, status.st_ino) != (trees.source_device, trees.source_inode):
            raise SourceError(f"the source {trees.source} is no longer the directory it was when the run began")
        self.staging = open_root(trees.staging)
        self.trash = open_root(trees.trash)
        self._put_away = itertools.count()
        self.base = open_root(trees.base) if trees.base else -1
        self.base_manifest = _open_manifest(trees.base_manifest, "the manifest of the newest snapshot")
        self.spare_manifest = _open_manifest(trees.spare_manifest, "the manifest of the spare")
        self.progress = _open_manifest(trees.progress, "the progress of the last run")
        self._on_network = is_on_network(trees.staging)
        self._silly_renames = silly_renames() if self._on_network else 0
        self._opening = threading.Lock()
        self._root_listed = False
        self._copied: FrameReader | None = None

    @property
    def tool_copied(self) -> FrameReader | None:
        """Return the index of what fpsync has put into staging, None if it has not worked.

        It is made after the workers have started, and opened when the first directory is compared.
        """
        path = self.trees.copied
        if path is None or self._copied is not None:
            return self._copied
        with self._opening:
            if self._copied is None and exists(path):
                self._copied = FrameReader(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
            return self._copied

    @property
    def copied_since_ns(self) -> int:
        """Return the time before which no transfer of fpsync had begun, in nanoseconds since the epoch."""
        index = self.tool_copied
        return int(index.summary["since_ns"]) if index is not None else 0

    def copied(self, path: str) -> dict[str, CopiedFile]:
        """Return name -> what rsync said of each file it copied into a directory."""
        return finished_files(self.tool_copied, path)

    def base_records(self, path: str, bucket: int, buckets: int, listed: dict[str, Record] | None) -> dict[str, Record]:
        """Return name -> record of the base for one bucket of a directory; `listed` where the base has no manifest."""
        if self.base_manifest is not None:
            return self.base_manifest.records(path, bucket, buckets)
        return listed or {}

    def list_base(self, path: str) -> tuple[dict[str, Record], list[str]] | None:
        """Return (name -> record, subdirectories) of a directory of a base without manifest, None if it has none."""
        if self.base < 0:
            return None
        try:
            with directory(self.base, path) as descriptor:
                listing = list_retried(descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return None
        shared = self.trees.shared_in_base
        looks = ((name, Attributes._make(look)) for name, look in listing.files.items())
        return {name: adopted_record(look, 1 + (look.ino in shared)) for name, look in looks}, listing.directories

    def base_directory(self, path: str, listed: bool) -> AbstractContextManager[int]:
        """Return the opener of a directory of the base; where it is `listed` no name in it is asked for again.

        The first time the root is listed too, if that asks less of the server than each directory in it would.
        """
        with self._opening:
            if not self._root_listed and path:
                self._root_listed = True
                head = self.base_manifest.packed("") if self.base_manifest else None
                if head is not None and readdirs(head.size + len(head.directories)) < len(head.directories):
                    os.listdir(self.base)
        return directory(self.base, path, READ if listed else PASS)

    def trash_name(self) -> str:
        """Return a name that is new in the trash."""
        return f"{os.getpid()}-{time.time_ns()}-{next(self._put_away)}"

    def may_hold_silly_renames(self) -> bool:
        """Tell whether a name removed from staging since the workbench was opened may live on as an `.nfs` file."""
        if not self._on_network:
            return False
        now = silly_renames()
        return now is None or now != self._silly_renames

    def fill_is_due(self, path: str) -> bool:
        """Tell whether tonight is the turn of a directory's files that have no checksum."""
        turn, turns = self.trees.fill_turn
        return zlib.crc32(os.fsencode(path)) % turns == turn % turns


def readdirs(names: int) -> int:
    """Return about how many calls it takes to list a directory over NFS."""
    return 1 + names // _NAMES_A_READDIR


def _open_manifest(path: str | None, shown: str) -> Manifest | None:
    return Manifest(path, shown) if path else None


def finished_files(index: FrameReader | None, path: str) -> dict[str, CopiedFile]:
    """Return name -> what rsync said of each file it copied into a directory, from the index of its lines."""
    found: dict[str, CopiedFile] = {}
    for first in (EARLIER, 0):
        bucket = first
        while index is not None and (lines := index.get(path, bucket)) is not None:
            for line in lines.splitlines(keepends=True):
                if (file := parse_line(line, earlier=first == EARLIER)) is not None:
                    found[os.fsdecode(os.path.basename(file.path))] = file
            bucket += 1
    return found
