"""Any sequence of events: early, late, twice, in any order, or not at all.

Whatever happens, at most one backup runs; and once nothing more happens, every backup has ended in exactly one mail,
and neither rule nor capacity nor lease is left.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.unit.functions.cloud import Calls, Cloud, Died

STATUSES = ["Success", "Incomplete", "Unsuccessful", "fpsync failed", "Rsync Delete Incomplete"]

Event = dict[str, Any]


class Sequences(RuleBasedStateMachine):
    """One stack, its schedule, its stop rule, its group and its instance."""

    patch: pytest.MonkeyPatch
    events = Bundle("events")

    @initialize(checked=st.booleans())
    def deploy(self, checked: bool) -> None:
        """Deploy the stack. In the end an hourly check has to complete what is left, or else one more night."""
        self.cloud = Cloud(self.patch)
        self.checked = checked
        self.fired: set[str] = set()
        self.may_repeat: set[str] = set()

    # ---- events, each of which may be delivered again at any time

    @rule(target=events)
    def the_schedule_fires(self) -> Event:
        return self.deliver_new(self.cloud.start_event())

    @rule(event=events)
    def an_event_comes_again(self, event: Event) -> None:
        self.cloud.invoke(event)

    @rule(event=events, number=st.integers(1, 9))
    def a_function_dies_and_is_tried_again(self, event: Event, number: int) -> None:
        """A minute later. Who dies right behind a mail, before noting that it went out, sends it again."""
        calls, request = Calls(die_after=number), f"request-{next(self.cloud.numbers)}"
        self.cloud.calls = calls
        with suppress(Died):
            self.cloud.invoke(event, request)
        self.cloud.calls = Calls()
        if len(calls.made) == number:
            if calls.made[-1] == "sns:Publish":
                self.may_repeat.add(backup_of(self.cloud.mails[-1][0]))
            self.cloud.advance(minutes=1)
            self.cloud.invoke(event, request)

    @rule()
    def an_hour_is_over(self) -> None:
        self.cloud.invoke(self.cloud.CHECK)

    @precondition(lambda self: self.rule_is_due())
    @rule(target=events)
    def the_stop_rule_fires(self) -> Event:
        return self.fire_stop_rule()

    @rule(target=events)
    def a_person_stops_what_runs(self) -> Event:
        return self.deliver_new({"mode": "backup", "action": "stop"})

    @precondition(lambda self: self.cloud.desired == 1 and not self.cloud.instances)
    @rule(target=events)
    def a_launch_fails(self) -> Event:
        return self.deliver_new(self.cloud.launch_failed())

    # ---- the group and the instance

    @precondition(lambda self: self.cloud.desired == 1 and not self.cloud.instances)
    @rule()
    def the_instance_comes_up(self) -> None:
        self.cloud.claim(self.cloud.launch())

    @precondition(lambda self: self.cloud.instances)
    @rule(target=events, told=st.booleans())
    def the_instance_is_killed(self, told: bool) -> Any:
        (instance,) = self.cloud.instances
        self.cloud.gone(instance)
        event = self.cloud.terminated(instance)
        return self.deliver_new(event) if told else event

    @precondition(lambda self: self.cloud.instances and self.cloud.lease)
    @rule(target=events, status=st.sampled_from(STATUSES), told=st.booleans())
    def the_instance_finishes(self, status: str, told: bool) -> Any:
        (instance,) = self.cloud.instances
        assert self.cloud.lease is not None
        backup = self.cloud.lease["RunningBackupId"]
        if "BackupStatus" not in self.cloud.items[backup]:
            self.cloud.record(backup, status)
        return self.leave(instance, told)

    @precondition(lambda self: self.cloud.instances and self.cloud.desired == 0)
    @rule(target=events, told=st.booleans())
    def the_instance_goes_without_a_word(self, told: bool) -> Any:
        (instance,) = self.cloud.instances
        return self.leave(instance, told)

    @rule(minutes=st.sampled_from([1, 7, 16, 31, 60, 175, 240]))
    def time_passes(self, minutes: int) -> None:
        self.cloud.advance(minutes=minutes)

    # ---- what must always hold

    @invariant()
    def at_most_one_backup_runs(self) -> None:
        running = [key for key, item in self.cloud.items.items() if "BackupStatus" not in item]
        lease = self.cloud.lease
        assert running in ([], [lease["RunningBackupId"]] if lease else [])

    @invariant()
    def no_backup_has_two_mails(self) -> None:
        for backup, mails in Counter(backup_of(subject) for subject, _ in self.cloud.mails).items():
            assert mails == 1 or backup in self.may_repeat, backup

    def teardown(self) -> None:
        """Nothing new happens. The group obeys, what is due fires, and in the end there is one more night."""
        if not hasattr(self, "cloud"):
            return
        self.settle()
        if not self.checked:
            self.one_more_night()
        self.cloud.assert_clean()
        for backup in self.cloud.items:
            assert self.cloud.mails_about(backup), backup

    def one_more_night(self) -> None:
        self.cloud.advance(hours=24)
        self.cloud.invoke(self.cloud.start_event())
        for instance in self.cloud.instances:  # an instance that overran its night made this start a skipped one
            self.leave(instance, told=True)
        if self.cloud.lease:
            self.cloud.run_to_success()
        self.settle()

    # ---- how things work

    def deliver_new(self, event: Event) -> Event:
        self.cloud.invoke(event)
        return event

    def leave(self, instance: str, told: bool) -> Any:
        """The instance, told to go or on its own, passes through its hook and is gone."""
        self.cloud.scale_in()
        self.cloud.wait_in_hook(instance)
        terminating, terminated = self.cloud.terminating(instance), self.cloud.terminated(instance)
        if told:
            self.cloud.invoke(terminating)
        self.cloud.gone(instance)
        if told:
            self.cloud.invoke(terminated)
        return multiple(terminating, terminated)

    def rule_is_due(self) -> bool:
        expression = self.cloud.rule
        return expression is not None and expression not in self.fired and due(expression) <= self.cloud.now

    def fire_stop_rule(self) -> Event:
        assert self.cloud.rule is not None
        self.fired.add(self.cloud.rule)
        return self.deliver_new(self.cloud.stop_event())

    def settle(self) -> None:
        """Half a day passes in which the group obeys and the stop rule fires, but no event of the group arrives."""
        for number in range(72):
            self.cloud.advance(minutes=10)
            if self.rule_is_due():
                self.fire_stop_rule()
            if self.checked and number % 6 == 5:
                self.cloud.invoke(self.cloud.CHECK)
            if self.cloud.desired == 0:
                for instance in self.cloud.instances:
                    self.cloud.gone(instance)


def backup_of(subject: str) -> str:
    """The backup that a mail's subject names."""
    found = re.search(r": (\S+) of", subject)
    assert found is not None
    return found[1]


def due(expression: str) -> datetime:
    """When a one-time expression fires."""
    minute, hour, day, month, _, year = expression.removeprefix("cron(").removesuffix(")").split()
    return datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=UTC)


def test_any_sequence_of_events(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = type("PatchedSequences", (Sequences,), {"patch": monkeypatch})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            print_blob=True,
        ),
    )
