"""Lists a directory of the source before fpsync moves the bulk: how much there is, what has several names, or holes."""

from __future__ import annotations

import os

from efs_backup.effects import tree
from efs_backup.effects.tree import directory, list_directory
from efs_backup.flow.task import Outcome, ScanTask
from efs_backup.flow.workbench import Workbench
from efs_backup.pure.layout import join
from efs_backup.pure.links import Sighting
from efs_backup.pure.records import is_regular

_HOLE = 4096
"""Bytes without a block from which on a file is sparse: less is how file systems count."""


def _look(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_mode, status.st_size, status.st_ino, status.st_nlink, status.st_blocks


def scan_directory(bench: Workbench, task: ScanTask, outcome: Outcome) -> None:
    """List one directory. What cannot be listed is left to the compare, which comes later and names it."""
    bench.flag.check()
    try:
        with directory(bench.source, task.path) as descriptor:
            if task.path in bench.trees.other_mounts or os.fstat(descriptor).st_dev != bench.trees.source_device:
                return
            listing = tree.retried(lambda: list_directory(descriptor, _look))
    except OSError:
        return
    outcome.scanned += len(listing.files)
    for name, (mode, size, ino, nlink, blocks) in listing.files.items():
        if is_regular(mode):
            outcome.scanned_bytes += size
            if size - blocks * 512 >= _HOLE:
                outcome.sparse.append(join(task.path, name))
        if nlink > 1:
            outcome.sightings.append(Sighting(ino, task.path, name, 0, 1, False, 0))
    outcome.tasks.extend(ScanTask(join(task.path, name)) for name in listing.directories)
