"""What several scenarios do with a backup stack."""

from __future__ import annotations

import os

from localcloud.solution import BackupStack, Edit
from tests.support.tree import assert_same, snapshot_of
from tests.support.zoo import make_plain

BOOT = '/opt/efs-backup/boot.sh "$settings" ||'
MANY = 4000


def before_boot(script: str) -> Edit:
    """Edits a template so that the instance runs a line of shell right before the agent is started."""

    def edit(text: str) -> str:
        assert text.count(BOOT) == 1
        return text.replace(BOOT, f"{script}; {BOOT}")

    return edit


slow_copying = before_boot(
    "mv /usr/bin/rsync /usr/bin/rsync-fast; "
    "printf '#!/bin/sh\\nexec /usr/bin/rsync-fast --bwlimit=300 \"$@\"\\n' > /usr/bin/rsync; chmod 755 /usr/bin/rsync"
)
"""Edits a template so that copying takes long enough for something to happen meanwhile."""


def instead_of_fetching(script: str) -> Edit:
    """Edits a template so that the instance runs a line of shell and nothing else."""
    fetch = "fetch || give_up"

    def edit(text: str) -> str:
        assert text.count(fetch) == 1
        return text.replace(fetch, f"{script}; exit; {fetch}")

    return edit


def begin_copying(backups: BackupStack) -> None:
    """Begin a night with many files to copy, and return when some of them have been (see `slow_copying`)."""
    make_plain(str(backups.source), MANY, size=3000)
    backups.cloud.clock.advance_to_hour(2)
    backups.cloud.wait_for(lambda: copied(backups) > MANY // 20, "the first files to be copied", 120)


def copied(backups: BackupStack) -> int:
    """How many files are on the backup file system."""
    return sum(len(files) for _, _, files in os.walk(backups.folder) if files)


def assert_newest_is_the_source(backups: BackupStack) -> None:
    assert_same(snapshot_of(str(backups.source)), snapshot_of(str(backups.snapshot())), what="the newest snapshot")
