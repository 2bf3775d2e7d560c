"""What is to be done about an event, and why. Pure: every decision is a value that carries its reason.

An event only says that something may have changed. The state decides: the lease, the backup's item and the group. So
events may come twice, late, in any order or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from orchestrator.events import Check, InstanceTerminated, LaunchFailed, Stop
from orchestrator.state import Group, Item, Lease, status_of

GIVE_UP_AFTER = timedelta(minutes=15)
"""How long launches may fail before the backup is given up. The first failure is recorded, the end is mailed."""

SAME_SERIES = timedelta(minutes=30)
"""A launch failure this long after the one before begins a new series."""


CLAIM_STALE = timedelta(minutes=3)
"""A claim to end a backup is void after this: longer than the function can run."""


class Action(Enum):
    """What the orchestrator does."""

    LEAVE = "leave"
    """Nothing."""
    TIDY = "tidy"
    """No backup runs: remove a stop rule that is still there."""
    START = "start"
    """A new backup: lease, stop rule, capacity."""
    RESUME = "resume"
    """Do again what an interrupted start may have left undone."""
    TAKE_OVER = "take over"
    """End the backup that holds the lease, and start this one."""
    REFUSE = "refuse"
    """Record that this backup was skipped, and mail."""
    EMPTY = "empty"
    """Set capacity 0 and wait for the instance to go."""
    FINISH = "finish"
    """The backup is over: status, mail, capacity, rule, lease."""
    NOTE_FAILURE = "note failure"
    """Remember that the launch failed."""
    GIVE_UP = "give up"
    """The instance cannot be launched: set capacity 0 and finish."""


@dataclass(frozen=True)
class Decision:
    """What to do and why, in a sentence for the log."""

    action: Action
    reason: str


def repeated_start(backup_id: str, item: Item, lease: Lease | None, now: datetime) -> Decision:
    """Decide about a start whose backup has an item already: the event came again, or its function died."""
    if lease is None:
        return Decision(Action.TIDY, "this start was handled before, and its backup is over")
    if lease.backup_id != backup_id:
        return Decision(Action.LEAVE, "this start was handled before, and another backup runs now")
    if status := status_of(item):
        return Decision(Action.LEAVE, f"this start was handled before, and its backup has the status {status}")
    if lease.stop_requested:
        return Decision(Action.LEAVE, "this start was handled before, and its backup is being stopped")
    if lease.launched:
        return Decision(Action.LEAVE, "this start was handled before, and its backup runs")
    if now >= lease.stop_time:
        return Decision(Action.LEAVE, "this start was not completed, and its window is over")
    return Decision(Action.RESUME, "this start was begun before and not completed")


def start_on_lease(lease: Lease, item: Item | None, group: Group, now: datetime) -> Decision:
    """Decide about a start that finds the lease of another backup, with that one's item and the group."""
    expired = now >= lease.end
    if lease.end_claimed_at and now - lease.end_claimed_at <= CLAIM_STALE:
        return Decision(Action.REFUSE, f"backup {lease.backup_id} is just ending")
    if not group.empty:
        state = "overran its window and still has" if expired else "has"
        action = Action.EMPTY if expired else Action.REFUSE
        return Decision(action, f"backup {lease.backup_id} {state} the instance {', '.join(group.instances)}")
    if expired:
        return Decision(Action.TAKE_OVER, f"the lease of backup {lease.backup_id} has expired and no instance is left")
    if status := status_of(item):
        return Decision(Action.TAKE_OVER, f"backup {lease.backup_id} is over with the status {status}")
    if lease.launched and group.desired == 0:
        return Decision(Action.TAKE_OVER, f"backup {lease.backup_id} has no instance any more and gets no other")
    return Decision(Action.REFUSE, f"backup {lease.backup_id} is starting or waits for its instance")


def settle(
    request: Stop | InstanceTerminated | LaunchFailed | Check,
    lease: Lease | None,
    item: Item | None,
    group: Group,
    now: datetime,
) -> Decision:
    """Decide about any event after the start, given the lease, the item of the backup it names, and the group."""
    if lease is None:
        return Decision(Action.TIDY, "no backup runs")
    if isinstance(request, Stop) and request.backup_id not in (None, lease.backup_id):
        return Decision(Action.LEAVE, f"the stop is for backup {request.backup_id}, and {lease.backup_id} runs")
    if status := status_of(item):
        return _ending(group, f"the backup has the status {status}")
    if isinstance(request, Stop):
        return _ending(group, "the backup is to stop")
    if lease.stop_requested:
        return _ending(group, "the backup is being stopped")
    if now >= lease.stop_time:
        return _ending(group, "the window of the backup is over")
    if isinstance(request, LaunchFailed):
        return _launch_failed(lease, group, now)
    return _without_word(lease, group)


def launch_series(lease: Lease, now: datetime) -> datetime:
    """Return when the present series of launch failures began: now, if this is the first."""
    if lease.launch_failed_since is None or lease.launch_failed_last is None:
        return now
    return now if now - lease.launch_failed_last >= SAME_SERIES else lease.launch_failed_since


def _ending(group: Group, why: str) -> Decision:
    if group.empty:
        return Decision(Action.FINISH, f"{why} and no instance is left")
    return Decision(Action.EMPTY, f"{why}, and the instance {', '.join(group.instances)} is still there")


def _launch_failed(lease: Lease, group: Group, now: datetime) -> Decision:
    if not group.empty:
        return Decision(Action.LEAVE, "a launch failed, and the group has an instance all the same")
    if now - launch_series(lease, now) >= GIVE_UP_AFTER:
        return Decision(Action.GIVE_UP, "launches have failed for 15 minutes")
    return Decision(Action.NOTE_FAILURE, "a launch failed, and the group tries again")


def _without_word(lease: Lease, group: Group) -> Decision:
    """The backup has no status and its window is not over: it ends only if no instance will work on it any more."""
    if not group.empty:
        return Decision(Action.LEAVE, f"the backup goes on with the instance {', '.join(group.instances)}")
    if group.desired > 0:
        return Decision(Action.LEAVE, "the group has no instance and gets one")
    if not lease.launched:
        return Decision(Action.LEAVE, "the backup is only starting")
    return Decision(Action.FINISH, "the group has no instance and gets none, and there is no status")
