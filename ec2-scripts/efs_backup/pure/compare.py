"""The comparison: what must be done so that one name in staging becomes what the source has.

`base` is what the newest snapshot has under the same name, `held` what staging has. Nothing here looks at a file
system; what cannot be known without looking is an action of its own (READ).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from efs_backup.pure.records import KEPT_FIELDS, RESTLESS, UNKNOWN, Attributes, Image, Record, is_regular


class Action(Enum):
    """What is to be done for one name."""

    KEEP = "keep"
    """Staging already has it: nothing."""
    LINK = "link"
    """Link the base's inode."""
    READ = "read"
    """Something is suspicious: read the source; if the content is what `record` says, keep or link it, else copy."""
    COPY = "copy"
    """Copy it from the source into a new inode."""


class Sameness(Enum):
    """Whether a source entry still is what a record says."""

    SAME = "same"
    SUSPECT = "suspect"
    DIFFERENT = "different"


class Rule(NamedTuple):
    """What holds for the whole run.

    On another file system than the one the base was made from, ctime and inode numbers mean nothing.
    `damaged` are inodes of the backup that verify found to hold something else than they should.
    """

    same_file_system: bool = True
    damaged: frozenset[int] = frozenset()


class Decision(NamedTuple):
    """What is to be done for one name, why, and the record it rests on (none for a copy)."""

    action: Action
    reason: str
    record: Record | None = None
    in_staging: bool = False
    """The record is that of the inode staging has now (else that of the base's)."""


def sameness(entry: Attributes, record: Record, rule: Rule) -> Sameness:
    """Tell whether the source entry is what the record was made from.

    Type, size, mtime, mode, owner and group decide. A new ctime or inode alone is suspicion: a hard link was added, a
    chown changed nothing, or the content was overwritten and its mtime put back.
    """
    if entry[:KEPT_FIELDS] != record[:KEPT_FIELDS]:
        return Sameness.DIFFERENT
    if record.flags & RESTLESS:
        return Sameness.SUSPECT
    if not rule.same_file_system:
        return Sameness.SAME
    if record.ino == UNKNOWN:
        # Taken over without a manifest: whether the source was touched since the backup's inode was is all there is.
        return Sameness.SUSPECT if entry.ctime_ns > record.ctime_ns else Sameness.SAME
    unmoved = entry.ctime_ns == record.ctime_ns and entry.ino == record.ino
    return Sameness.SAME if unmoved else Sameness.SUSPECT


def held_record(staged: Image | None, candidates: Iterable[Record | None], rule: Rule) -> Record | None:
    """Return the record that says what staging's inode holds, if one does and lstat agrees with it."""
    if staged is None or staged.ino in rule.damaged:
        return None
    for record in candidates:
        if record is not None and record.bino == staged.ino and record[:KEPT_FIELDS] == staged[:KEPT_FIELDS]:
            return record
    return None


def decide(entry: Attributes, base: Record | None, held: Record | None, rule: Rule) -> Decision:
    """Return what is to be done for a source entry, given the base's record and that of what staging has.

    What staging has is preferred (it costs nothing), then what the base has; certainty before suspicion.
    """
    if base is not None and base.bino in rule.damaged:
        base = None
    held_same = sameness(entry, held, rule) if held else Sameness.DIFFERENT
    if held and held_same is Sameness.SAME:
        return Decision(Action.KEEP, "unchanged, and in staging already", held, in_staging=True)
    base_same = sameness(entry, base, rule) if base else Sameness.DIFFERENT
    if base and base_same is Sameness.SAME:
        return Decision(Action.LINK, "unchanged since the base", base)
    if held and held_same is Sameness.SUSPECT:
        return Decision(Action.READ, "same size and mtime as what staging has, but touched", held, in_staging=True)
    if base and base_same is Sameness.SUSPECT:
        return Decision(Action.READ, "same size and mtime as in the base, but touched", base)
    return Decision(Action.COPY, "new" if base is None else "changed since the base")


def filled_in(decision: Decision, due: bool) -> Decision:
    """Return the decision with a read in place of a keep or link, if a checksum is missing and its turn has come."""
    record = decision.record
    if not due or record is None or record.checksum or not is_regular(record.mode) or decision.action is Action.COPY:
        return decision
    return Decision(Action.READ, "its checksum is filled in", record, decision.in_staging)


def may_share(entry: Attributes, record: Record, rule: Rule) -> bool:
    """Tell whether the source entry alone may claim the record's inode in the backup.

    An inode that several names of the base share belongs to the source inode they shared. Two source inodes must
    never end as one in the backup, whatever their content.
    """
    return record.nlink <= 1 or (rule.same_file_system and record.ino == entry.ino)
