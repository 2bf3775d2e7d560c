"""Which snapshots stay and which expire, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from efs_backup.pure.errors import UsageError


class Verdict(NamedTuple):
    """What becomes of one snapshot, and why."""

    id: str
    keep: bool
    reason: str


def checked_retain(text: str) -> int:
    """Return the number of snapshots to keep."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"retain {text!r} must be a whole number of at least 1: it is how many snapshots are kept")
    return int(text)


def retention(snapshots: Sequence[tuple[str, bool]], retain: int) -> list[Verdict]:
    """Given (id, complete) of all snapshots, newest first, return a verdict for each in the same order.

    Complete snapshots count: the newest `retain` stay whatever else there is. An incomplete one that a complete one
    follows goes first, when both kinds together are more than `retain`. Of those that no complete one follows the
    newest `retain` stay.
    """
    complete = [i for i, (_, whole) in enumerate(snapshots) if whole]
    kept_complete = set(complete[:retain])
    newest_complete = complete[0] if complete else len(snapshots)
    verdicts = []
    room = retain - len(kept_complete)
    for i, (snapshot_id, whole) in enumerate(snapshots):
        if whole:
            keep, reason = i in kept_complete, f"one of the newest {retain} complete snapshots"
            reason = reason if keep else f"older than the newest {retain} complete snapshots"
        elif i < newest_complete:
            keep, reason = i < retain, "incomplete, and no complete one follows it yet"
            reason = reason if keep else f"more than {retain} incomplete snapshots follow it"
        else:
            keep, reason = room > 0, "incomplete, kept while fewer complete ones than to be retained are there"
            reason = reason if keep else "incomplete, and complete ones follow it"
            room -= 1
        verdicts.append(Verdict(snapshot_id, keep, reason))
    return verdicts
