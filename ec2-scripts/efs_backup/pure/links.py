"""The link budget, and groups of hard links.

Amazon EFS refuses the 178th link of a file and the limit cannot be raised (AWS, "Amazon EFS quotas"). A snapshot
costs an unchanged file one link for each name the file has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LINK_LIMIT = 177
RENEWAL_NIGHTS = 16
"""Over how many nights the files that near the limit together are renewed."""


def renewal_due(nlink: int, adding: int, spread: int) -> bool:
    """Tell whether a file is to be copied to a new inode instead of linked.

    `nlink` is the inode's number of links now, `adding` how many the next snapshot adds, `spread` a number that
    belongs to the file and divides such files evenly. Files that could still be linked are renewed a few each
    night, so that not all of them reach the limit in one.
    """
    left = (LINK_LIMIT - nlink) // adding
    if left <= 0:
        return True
    nights = min(RENEWAL_NIGHTS, LINK_LIMIT // adding // 8)
    return left < nights and spread % nights >= left


class Sighting(NamedTuple):
    """One name of a source file that has several, as the walk saw it.

    `bucket` of `buckets` is the part of its directory's manifest that the name belongs to. `bino` is the inode it has
    in staging where that is settled, or the inode of the backup it may turn out to be; 0 if there is none.
    """

    ino: int
    directory: str
    name: str
    bucket: int
    buckets: int
    settled: bool
    bino: int


class GroupPlan(NamedTuple):
    """How the names of one source inode become one inode in staging: `leader` first, `followers` are linked to it."""

    leader: Sighting
    followers: tuple[Sighting, ...]


def plan_group(members: Sequence[Sighting]) -> GroupPlan | None:
    """Return what is to be done for the names of one source inode; None if they already are one inode in staging.

    The inode most of them have in staging is the group's. Where none is settled, a name that the base can give
    leads, else the first.
    """
    settled = [m for m in members if m.settled]
    if len(settled) == len(members) and len({m.bino for m in settled}) == 1:
        return None
    if settled:
        counts: dict[int, int] = {}
        for member in settled:
            counts[member.bino] = counts.get(member.bino, 0) + 1
        best = max(counts, key=lambda bino: (counts[bino], -bino))
        leader = next(m for m in settled if m.bino == best)
    else:
        leader = next((m for m in members if m.bino), members[0])
    return GroupPlan(leader, tuple(m for m in members if m is not leader))
