"""What the widget says: is everything fine, when was the last good backup, and a row for each snapshot. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import readable as words
from subscriptions import Subscription, unconfirmed
from widget.history import SKIPPED, SUCCESS, Backup, Lease, Snapshot

GOOD, WARNING, BAD, NEUTRAL = "good", "warning", "bad", "neutral"

RECENT = timedelta(days=30)
"""How long a backup that did not succeed is still listed."""
MOST_FAILURES = 8
FEWEST_GAPS, MOST_GAPS, PATIENCE = 3, 14, 1.5
"""Backups are missed when the last one is this many times longer ago than any two of late were apart."""


@dataclass(frozen=True)
class Known:
    """All that could be read, and a sentence for each thing that could not.

    ``subscriptions`` is None if nobody knows them.
    """

    now: datetime
    snapshots: tuple[Snapshot, ...] = ()
    backups: tuple[Backup, ...] = ()
    lease: Lease | None = None
    subscriptions: tuple[Subscription, ...] | None = None
    problems: tuple[str, ...] = ()

    @property
    def running(self) -> Backup | None:
        """The backup that runs, as its item has it."""
        return next((b for b in self.backups if self.lease and b.id == self.lease.backup), None)

    @property
    def ended(self) -> tuple[Backup, ...]:
        """Backups that have a status, newest first."""
        return tuple(b for b in self.backups if b.status)

    @property
    def last(self) -> Backup | None:
        """The last backup that ended, without those that were skipped."""
        return next((b for b in self.ended if b.status != SKIPPED), None)

    @property
    def confirmed(self) -> bool:
        """Whether somebody gets the mails, as far as is known."""
        return self.subscriptions is None or any(s.confirmed for s in self.subscriptions)


@dataclass(frozen=True)
class Verdict:
    """Is everything fine: one of GOOD, WARNING, BAD, NEUTRAL, and why in a few words and in a sentence."""

    level: str
    title: str
    text: str


@dataclass(frozen=True)
class Row:
    """A snapshot with the backup that made it, None where the table no longer has it."""

    snapshot: Snapshot
    backup: Backup | None

    @property
    def seconds(self) -> float | None:
        """How long the backup took."""
        return self.backup.seconds if self.backup and self.backup.seconds is not None else self.snapshot.seconds

    @property
    def cost(self) -> str | None:
        """What the backup cost."""
        return self.snapshot.cost or (self.backup.cost if self.backup else None)

    @property
    def status(self) -> tuple[str, str]:
        """Level and word."""
        if self.snapshot.verified is False:
            return BAD, "damaged"
        if not self.snapshot.complete:
            return WARNING, "incomplete"
        return GOOD, "verified" if self.snapshot.verified else "complete"


def verdict(known: Known) -> Verdict:
    """Given all that is known, return whether everything is fine."""
    damaged = [s for s in known.snapshots if s.verified is False]
    if damaged:
        numbers = ", ".join(str(s.number) for s in damaged)
        return Verdict(BAD, "A snapshot is damaged", f"A verify found files that differ: number {numbers}.")
    if known.last and known.last.status != SUCCESS:
        ended = f"{known.last.status}, {words.ago(known.last.stopped or known.last.started, known.now)}"
        return Verdict(BAD, "The last backup did not succeed", f"{ended}. {_last_good(known)}")
    if _skipped_since(known):
        return Verdict(WARNING, "The last backup was skipped", f"Another one was still running. {_last_good(known)}")
    if known.last is None and not known.snapshots:
        return _nothing_yet(known)
    if not _good(known):
        return Verdict(WARNING, "There is no complete snapshot", "Some files could not be read, or it is not known.")
    if missed := _missed(known):
        return Verdict(WARNING, "No backup has started of late", f"{missed} {_last_good(known)}")
    return Verdict(GOOD, "All is well", _last_good(known))


def _skipped_since(known: Known) -> bool:
    """Whether a start was skipped after the last backup had ended: one that ended since has done its work."""
    newest = known.ended[0] if known.ended else None
    if newest is None or newest.status != SKIPPED or newest.started is None:
        return False
    return known.last is None or known.last.stopped is None or known.last.stopped < newest.started


def _missed(known: Known) -> str | None:
    """Return that no backup started for much longer than is usual, None if one did or nothing is usual yet."""
    starts = [b.started for b in known.backups if b.started][: MOST_GAPS + 1]
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(starts)]
    if known.lease or len(gaps) < FEWEST_GAPS or (known.now - starts[0]).total_seconds() <= PATIENCE * max(gaps):
        return None
    return f"The last one started {words.ago(starts[0], known.now)}; they were {words.span(max(gaps))} apart at most."


def _nothing_yet(known: Known) -> Verdict:
    if known.lease:
        return Verdict(NEUTRAL, "The first backup is running", "Its snapshot appears here when it is done.")
    if known.problems:
        return Verdict(NEUTRAL, "Nothing is known", "What could not be read is said below.")
    return Verdict(NEUTRAL, "No backup yet", "The schedule starts the first one, or the button does.")


def last_good(known: Known) -> datetime | None:
    """Return when the last good backup ended: the newest complete snapshot, or success in the table."""
    return max(_good(known), default=None)


def _good(known: Known) -> list[datetime]:
    snapshots = [s.finished for s in known.snapshots if s.complete and s.verified is not False]
    backups = [b.stopped for b in known.ended if b.status == SUCCESS]
    return [moment for moment in (*snapshots, *backups) if moment]


def _last_good(known: Known) -> str:
    good = last_good(known)
    return f"The last good backup was {words.ago(good, known.now)}." if good else "There is no good backup yet."


def rows(known: Known) -> list[Row]:
    """Return a row for each snapshot, newest first."""
    made = {b.snapshot: b for b in reversed(known.backups) if b.snapshot}
    return [Row(snapshot, made.get(snapshot.id)) for snapshot in known.snapshots]


def failures(known: Known) -> list[Backup]:
    """Return the backups of late that did not succeed, newest first."""
    late = [b for b in known.ended if b.status != SUCCESS and b.started and known.now - b.started <= RECENT]
    return late[:MOST_FAILURES]


def subscription_warning(subscriptions: Iterable[Subscription] | None, email: str) -> str | None:
    """Return what is wrong with who gets the mails, None if nothing is or nobody knows."""
    if subscriptions is None or not (silent := unconfirmed(email, subscriptions)):
        return None
    return (
        f"{', '.join(silent)} never confirmed the subscription, and gets no mails: follow the link in the mail "
        "“AWS Notification - Subscription Confirmation”, or subscribe the address anew if that is two days old."
    )
