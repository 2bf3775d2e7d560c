"""Makes the names of one source inode one inode in staging, and puts what came of it into the manifest's blocks."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from efs_backup.effects import tree
from efs_backup.effects.copy import SourceReadError, VanishedError, reads_source
from efs_backup.flow.directory import Part, block_result, free_of_silly_renames
from efs_backup.flow.entry import ChangedUnderneath, Here, carry_out, carry_over, copy_here, link_counted
from efs_backup.flow.task import DirectoryTask, FinishTask, Group, GroupTask, Outcome
from efs_backup.flow.workbench import Workbench
from efs_backup.pure.block import DirectoryAttributes, decode
from efs_backup.pure.compare import Action, Decision
from efs_backup.pure.links import Sighting, plan_group
from efs_backup.pure.records import CARRIED, Record, attributes

_NOWHERE = DirectoryAttributes(0, 0, 0, 0, 0, 0)


def process_groups(bench: Workbench, task: GroupTask, outcome: Outcome) -> None:
    """Make each group of a task one inode; what each name has in the end is noted in `outcome.members`."""
    by_directory = sorted(task.groups, key=lambda group: (group.plan.leader.directory, group.plan.leader.bucket))
    with ExitStack() as resources:
        place: _Place | None = None
        for group in by_directory:
            bench.flag.check()
            waiting: Group | None = group
            while waiting is not None:
                this, waiting = waiting, None
                try:
                    if place is None or not place.is_of(this.plan.leader):
                        place = _Place(bench, this.plan.leader, outcome, resources)
                    _settle(place, this, outcome)
                except VanishedError:
                    _drop(bench, this.plan.leader, outcome)
                    waiting = _without_leader(this)


def _drop(bench: Workbench, member: Sighting, outcome: Outcome) -> None:
    """Remove a name from staging that the source has not any more, and with it, perhaps, its directory."""
    with suppress(VanishedError), ExitStack() as resources:
        _open(bench, member, outcome, resources).clear(member.name)
        outcome.members.append((member, None))


def _without_leader(group: Group) -> Group | None:
    """Return what is still to be done for a group without its leader, None if that is nothing."""
    plan = plan_group(group.plan.followers) if group.plan.followers else None
    # Whether its inode in the backup belongs to no other source inode was asked for the old leader alone.
    return Group(plan, may_use=plan.leader.settled) if plan is not None else None


class _Place:
    """The directory of a leader, opened, with what base, spare and the last run know of it."""

    def __init__(self, bench: Workbench, member: Sighting, outcome: Outcome, resources: ExitStack) -> None:
        self.bench, self.member, self.resources = bench, member, resources
        own = resources.enter_context(ExitStack())
        source = _enter(bench.source, member.directory, own)
        staging = _enter(bench.staging, member.directory, own)
        self.here = Here(bench, member.directory, source, staging, {}, outcome, own)
        listed = None if bench.base_manifest else bench.list_base(member.directory)
        task = DirectoryTask(member.directory)
        self.part = Part(self.here, task, _NOWHERE, member.bucket, member.buckets, listed[0] if listed else None)

    def is_of(self, member: Sighting) -> bool:
        """Tell whether a member's directory and bucket are these."""
        return (self.member.directory, self.member.bucket) == (member.directory, member.bucket)

    def look(self, name: str) -> None:
        """Note what staging has under a name now."""
        there = tree.look_at(self.here.staging, name)
        self.here.held.pop(name, None)
        if there is not None:
            self.here.held[name] = (*there[:5], there.ino)


def _settle(place: _Place, group: Group, outcome: Outcome) -> None:
    plan = group.plan
    record = _lead(place, group, 1 + len(plan.followers))
    if record is None or record.flags & CARRIED:
        # Each name is carried over from its own place in the base, where they are one inode if they were one.
        for member in plan.followers:
            _carry_member(place.bench, member, outcome)
        return
    followers, at, may_move = plan.followers, 0, True
    leader = plan.leader
    while at < len(followers):
        member = followers[at]
        try:
            followed = _follow(place, leader, record, member)
        except VanishedError:
            at += 1
            continue
        if followed:
            outcome.members.append((member, record))
            at += 1
            continue
        try:
            if may_move and (moved := _copy_anew(place, leader)) is not None:
                # The inode is full: the whole group of this snapshot moves to a new one.
                record, at = moved, 0
            else:
                place = _Place(place.bench, member, outcome, place.resources)
                split = _copy_anew(place, member)
                if split is None:
                    raise VanishedError
                # It is more names than an inode can have: those that follow are linked to this one.
                outcome.split_groups.append(place.here.shown(member.name))
                leader, record, at = member, split, at + 1
            may_move = False
        except (SourceReadError, VanishedError):
            _carry_member(place.bench, member, outcome)
            at += 1


def _lead(place: _Place, group: Group, names: int) -> Record | None:
    """Settle the leader as if it were alone; return its record, None if the source does not give it.

    Raises VanishedError if the source has not got it any more.
    """
    here, member = place.here, group.plan.leader
    place.look(member.name)
    kept_before = here.outcome.kept
    here.names_of_inode = names
    here.records.pop(member.name, None)
    base = place.part.base.get(member.name)
    try:
        entry = reads_source(lambda: attributes(tree.status(here.source, member.name)))
    except SourceReadError:
        if not tree.same_directory(here.bench.source, here.path, here.source):
            raise VanishedError from None
        carry_over(here, member.name, base)
    else:
        decision = place.part.decision(member.name, entry)
        if not member.settled:
            place.part.note_tool(member.name, decision)
        if not group.may_use and decision.action is not Action.COPY and not member.settled:
            decision = Decision(Action.COPY, "its inode in the backup belongs to another file of the source")
        try:
            carry_out(here, member.name, entry, decision, base)
        except ChangedUnderneath:
            if not tree.same_directory(here.bench.source, here.path, here.source):
                raise VanishedError from None
            here.outcome.changed.append(here.shown(member.name))
            carry_over(here, member.name, base)
        if member.name not in here.records and member.name not in here.absent:
            raise VanishedError
    here.names_of_inode = 1
    if member.settled:
        # It was counted when the walk settled it.
        here.outcome.kept = kept_before
    record = here.records.get(member.name)
    here.outcome.members.append((member, record))
    return record


def _enter(root: int, path: str, resources: ExitStack) -> int:
    """Open a directory; raise VanishedError if it is gone since the walk was there."""
    try:
        return resources.enter_context(tree.directory(root, path))
    except OSError as error:
        if tree.stands(root, path):
            raise
        raise VanishedError from error


def _open(bench: Workbench, member: Sighting, outcome: Outcome, resources: ExitStack) -> Here:
    """Open the directory of a member in staging, for links only.

    Raises VanishedError where the walk has put it away after it had seen the member.
    """
    staging = _enter(bench.staging, member.directory, resources)
    there = Here(bench, member.directory, -1, staging, {}, outcome, resources)
    status = tree.look_at(staging, member.name)
    if status is not None:
        there.held[member.name] = (*status[:5], status.ino)
    return there


def _follow(place: _Place, leader: Sighting, record: Record, member: Sighting) -> bool:
    """Make a member the leader's inode; tell whether the file system took the link.

    Raises VanishedError where the member's directory is not in staging any more.
    """
    with ExitStack() as resources:
        there = _open(place.bench, member, place.here.outcome, resources)
        held = there.held.get(member.name)
        if held is not None and held[5] == record.bino:
            return True
        there.clear(member.name)
        return link_counted(there, place.here.staging, leader.name, member.name, record.bino)


def _copy_anew(place: _Place, member: Sighting) -> Record | None:
    """Copy a name to a new inode; None where the source no longer gives it."""
    here = place.here
    place.look(member.name)
    entry = reads_source(lambda: attributes(tree.status(here.source, member.name)))
    record = copy_here(here, member.name, entry)
    if record is not None:
        here.outcome.members.append((member, record))
    return record


def _carry_member(bench: Workbench, member: Sighting, outcome: Outcome) -> None:
    with suppress(VanishedError), ExitStack() as resources:
        there = _open(bench, member, outcome, resources)
        records = (
            bench.base_manifest.records(member.directory, member.bucket, member.buckets) if bench.base_manifest else {}
        )
        carry_over(there, member.name, records.get(member.name))
        outcome.members.append((member, there.records.get(member.name)))


def finish_directory(bench: Workbench, task: FinishTask, outcome: Outcome) -> None:
    """Put the records of hard-linked names into the block of their directory, and give the directory its attributes."""
    block = decode(task.block)
    for name, record in task.additions.items():
        if record is None:
            block.files.pop(name, None)
            block.absent.append(name)
        else:
            block.files[name] = record
    with ExitStack() as resources:
        staging = resources.enter_context(tree.directory(bench.staging, task.path))
        here = Here(bench, task.path, -1, staging, {}, outcome, resources, records=block.files)
        free_of_silly_renames(here, (), task.bucket, block.buckets)
        wanted = block.directory
        tree.apply_directory(
            here.staging, here.status, wanted.mode, wanted.uid, wanted.gid, wanted.mtime_ns, touched=True
        )
    outcome.blocks.append(block_result(task.path, task.bucket, block))
