"""Lists a directory of the source before fpsync moves the bulk: how much there is, and what has several names."""

from __future__ import annotations

import os

from efs_backup.effects import tree
from efs_backup.effects.tree import directory, list_directory
from efs_backup.flow.task import Outcome, ScanTask
from efs_backup.flow.workbench import Workbench
from efs_backup.pure.layout import join
from efs_backup.pure.links import Sighting
from efs_backup.pure.records import is_regular

_MODE, _SIZE, _INO, _NLINK = 0, 3, 6, 7


def scan_directory(bench: Workbench, task: ScanTask, outcome: Outcome) -> None:
    """List one directory. What cannot be listed is left to the compare, which comes later and names it."""
    bench.flag.check()
    try:
        with directory(bench.source, task.path) as descriptor:
            if task.path in bench.trees.other_mounts or os.fstat(descriptor).st_dev != bench.trees.source_device:
                return
            listing = tree.retried(lambda: list_directory(descriptor))
    except OSError:
        return
    outcome.scanned += len(listing.files)
    for name, look in listing.files.items():
        if is_regular(look[_MODE]):
            outcome.scanned_bytes += look[_SIZE]
        if look[_NLINK] > 1:
            outcome.sightings.append(Sighting(look[_INO], task.path, name, 0, 1, False, 0))
    outcome.tasks.extend(ScanTask(join(task.path, name)) for name in listing.directories)
