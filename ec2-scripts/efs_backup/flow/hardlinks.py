"""The phase after the walk: files with several names become one inode in staging, across directories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from efs_backup.effects.frames import FrameWriter
from efs_backup.effects.ledger import Ledger
from efs_backup.flow.pool import Pool
from efs_backup.flow.task import FinishTask, Group, GroupTask, Outcome
from efs_backup.pure.links import plan_group

_GROUPS_PER_TASK = 64
_DIRECTORIES_AT_ONCE = 512


def unite_hard_links(
    pool: Pool, ledger: Ledger, progress: FrameWriter, take: Callable[[Outcome], None], tick: Callable[[], None]
) -> None:
    """Settle every group in the ledger, then put what came of it into the blocks of their directories."""

    def take_members(outcome: Outcome) -> None:
        ledger.note(outcome.members)
        outcome.members = []
        take(outcome)

    ledger.claim_settled()
    pool.run(_group_tasks(ledger), take_members, tick)
    places = ledger.by_directory()
    while batch := list(islice(places, _DIRECTORIES_AT_ONCE)):
        additions = {(directory, bucket): records for directory, bucket, records in batch}
        tasks = [
            FinishTask(frame.path, frame.bucket, frame.payload, additions[frame.path, frame.bucket])
            for frame in progress.latest_of(additions.keys())
        ]
        pool.run(tasks, take, tick)


def _group_tasks(ledger: Ledger) -> Iterator[GroupTask]:
    """Yield tasks for the groups that are not one inode already."""
    groups = _groups(ledger)
    while batch := tuple(islice(groups, _GROUPS_PER_TASK)):
        yield GroupTask(batch)


def _groups(ledger: Ledger) -> Iterator[Group]:
    for members in ledger.groups():
        plan = plan_group(members)
        if plan is not None:
            leader = plan.leader
            may_use = leader.settled or (leader.bino != 0 and ledger.claim(leader.bino, leader.ino))
            yield Group(plan, may_use)
