"""The orchestrator's decisions, as tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.functions.cloud import NIGHT

from orchestrator.decide import Action, repeated_start, settle, start_on_lease
from orchestrator.events import InstanceTerminated, LaunchFailed, Stop
from orchestrator.state import Group, Lease

STOP_TIME = NIGHT + timedelta(minutes=170)
LEASE_END = NIGHT + timedelta(minutes=205)
EVENING = NIGHT + timedelta(minutes=30)
LATE = STOP_TIME + timedelta(minutes=1)
NEXT_NIGHT = NIGHT + timedelta(hours=24)

FRESH = Lease("b", end=LEASE_END, stop_time=STOP_TIME)
STARTED = replace(FRESH, started=True)
CLAIMED = replace(FRESH, instance_id="i-1")
STOPPING = replace(STARTED, stop_requested=True)
FAILING = replace(
    STARTED, launch_failed_since=EVENING - timedelta(minutes=15), launch_failed_last=EVENING - timedelta(minutes=5)
)
FAILED_YESTERDAY = replace(
    STARTED, launch_failed_since=EVENING - timedelta(hours=2), launch_failed_last=EVENING - timedelta(minutes=30)
)

OPEN: dict[str, Any] = {"BackupId": "b"}
DONE: dict[str, Any] = {"BackupId": "b", "BackupStatus": "Success"}

WANTED, AT_WORK, LEAVING, EMPTY = Group(1, ()), Group(1, ("i-1",)), Group(0, ("i-1",)), Group(0, ())

STOP, STOP_OTHER, STOP_ANY = Stop("b"), Stop("a"), Stop(None)
GONE, FAILED = InstanceTerminated("i-1"), LaunchFailed("no capacity")


@pytest.mark.parametrize(
    ("request_", "lease", "item", "group", "now", "action"),
    [
        # nothing runs
        (STOP, None, None, EMPTY, EVENING, Action.TIDY),
        (GONE, None, None, WANTED, EVENING, Action.TIDY),
        (FAILED, None, None, WANTED, EVENING, Action.TIDY),
        # a stop
        (STOP_OTHER, STARTED, OPEN, AT_WORK, EVENING, Action.LEAVE),
        (STOP, STARTED, OPEN, AT_WORK, EVENING, Action.EMPTY),
        (STOP_ANY, STARTED, OPEN, AT_WORK, EVENING, Action.EMPTY),
        (STOP, STARTED, OPEN, LEAVING, LATE, Action.EMPTY),
        (STOP, STARTED, OPEN, EMPTY, LATE, Action.FINISH),
        (STOP, STARTED, OPEN, WANTED, LATE, Action.FINISH),
        (STOP, FRESH, OPEN, EMPTY, LATE, Action.FINISH),
        (STOP, STARTED, DONE, LEAVING, LATE, Action.EMPTY),
        (STOP, STARTED, DONE, EMPTY, LATE, Action.FINISH),
        (STOP, STARTED, None, EMPTY, LATE, Action.FINISH),
        # the instance is gone
        (GONE, STARTED, DONE, EMPTY, EVENING, Action.FINISH),
        (GONE, STARTED, DONE, WANTED, EVENING, Action.FINISH),
        (GONE, STARTED, DONE, AT_WORK, EVENING, Action.EMPTY),
        (GONE, STARTED, OPEN, WANTED, EVENING, Action.LEAVE),
        (GONE, STARTED, OPEN, AT_WORK, EVENING, Action.LEAVE),
        (GONE, STARTED, OPEN, EMPTY, EVENING, Action.FINISH),
        (GONE, CLAIMED, OPEN, EMPTY, EVENING, Action.FINISH),
        (GONE, FRESH, OPEN, EMPTY, EVENING, Action.LEAVE),
        (GONE, STOPPING, OPEN, EMPTY, EVENING, Action.FINISH),
        (GONE, STOPPING, OPEN, LEAVING, EVENING, Action.EMPTY),
        (GONE, STARTED, OPEN, WANTED, STOP_TIME, Action.FINISH),
        (GONE, STARTED, OPEN, AT_WORK, LATE, Action.EMPTY),
        # a launch failed
        (FAILED, STARTED, OPEN, WANTED, EVENING, Action.NOTE_FAILURE),
        (FAILED, FAILING, OPEN, WANTED, EVENING, Action.GIVE_UP),
        (FAILED, FAILING, OPEN, WANTED, EVENING - timedelta(seconds=1), Action.NOTE_FAILURE),
        (FAILED, FAILED_YESTERDAY, OPEN, WANTED, EVENING, Action.NOTE_FAILURE),
        (FAILED, FAILING, OPEN, AT_WORK, EVENING, Action.LEAVE),
        (FAILED, FAILING, DONE, WANTED, EVENING, Action.FINISH),
        (FAILED, STOPPING, OPEN, EMPTY, EVENING, Action.FINISH),
        (FAILED, STARTED, OPEN, WANTED, LATE, Action.FINISH),
    ],
)
def test_what_happens_after_the_start(
    request_: Any, lease: Lease | None, item: Any, group: Group, now: Any, action: Action
) -> None:
    decision = settle(request_, lease, item, group, now)

    assert decision.action is action, decision.reason
    assert decision.reason


@pytest.mark.parametrize(
    ("lease", "item", "now", "action"),
    [
        (None, DONE, EVENING, Action.TIDY),
        (replace(FRESH, backup_id="c"), DONE, NEXT_NIGHT, Action.LEAVE),
        (FRESH, DONE, EVENING, Action.LEAVE),
        (FRESH, OPEN, EVENING, Action.RESUME),
        (FRESH, OPEN, STOP_TIME, Action.LEAVE),
        (STARTED, OPEN, EVENING, Action.LEAVE),
        (CLAIMED, OPEN, EVENING, Action.LEAVE),
        (replace(FRESH, stop_requested=True), OPEN, EVENING, Action.LEAVE),
    ],
)
def test_a_start_that_comes_again(lease: Lease | None, item: Any, now: Any, action: Action) -> None:
    assert repeated_start("b", item, lease, now).action is action


@pytest.mark.parametrize(
    ("lease", "item", "group", "now", "action"),
    [
        (STARTED, OPEN, AT_WORK, EVENING, Action.REFUSE),
        (STARTED, OPEN, LEAVING, EVENING, Action.REFUSE),
        (STARTED, OPEN, WANTED, EVENING, Action.REFUSE),
        (FRESH, OPEN, EMPTY, EVENING, Action.REFUSE),
        (STARTED, OPEN, EMPTY, EVENING, Action.TAKE_OVER),
        (STARTED, DONE, EMPTY, EVENING, Action.TAKE_OVER),
        (STARTED, DONE, LEAVING, EVENING, Action.REFUSE),
        (STARTED, OPEN, EMPTY, LEASE_END, Action.TAKE_OVER),
        (FRESH, OPEN, EMPTY, NEXT_NIGHT, Action.TAKE_OVER),
        (STARTED, OPEN, WANTED, NEXT_NIGHT, Action.TAKE_OVER),
        (STARTED, None, EMPTY, NEXT_NIGHT, Action.TAKE_OVER),
        (STARTED, OPEN, AT_WORK, NEXT_NIGHT, Action.EMPTY),
        (replace(STARTED, end_claimed_at=EVENING), DONE, EMPTY, EVENING + timedelta(minutes=3), Action.REFUSE),
        (replace(STARTED, end_claimed_at=EVENING), DONE, EMPTY, EVENING + timedelta(minutes=4), Action.TAKE_OVER),
    ],
)
def test_a_start_that_finds_the_lease_of_another_backup(
    lease: Lease, item: Any, group: Group, now: Any, action: Action
) -> None:
    assert start_on_lease(lease, item, group, now).action is action
