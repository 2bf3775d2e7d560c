"""Any sequence of events at the deployed stack, with real instances: early, late, twice, out of order, or not at all.

At most one backup runs at any time. Once nothing more happens, every backup has ended in exactly one mail, and neither
rule nor capacity nor lease is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from localcloud.solution import BackupStack
from tests.cloud.conftest import Deploy
from tests.cloud.nights import assert_newest_is_the_source
from tests.support.zoo import make_plain

Event = dict[str, Any]
TRY_AGAIN = "try again"


@dataclass
class Story:
    """What has happened to a stack in one example."""

    backups: BackupStack
    starts: list[tuple[str, datetime]] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        """Let something happen, then look at what must hold at any time."""
        actions: dict[str, Callable[[], None]] = {
            "the schedule fires": self.start,
            "the first start comes again": lambda: self.start_again(0),
            "the last start comes again": lambda: self.start_again(-1),
            "a person stops what runs": lambda: self.invoke({"action": "stop"}),
            "a stop for an older backup": self.stop_older,
            "the instance is killed": self.kill,
            "the end of the first instance is told": lambda: self.tell_end(0),
            "the end of the last instance is told": lambda: self.tell_end(-1),
            "all comes to rest": self.backups.cloud.wait_quiet,
            "an hour passes": lambda: self.backups.cloud.clock.advance(hours=1),
            "the window passes": lambda: self.backups.cloud.clock.advance(hours=3, minutes=30),
        }
        actions[what]()
        self.backups.cloud.settle()
        self.instances += [i.id for i in self.backups.cloud.instances if i.id not in self.instances]
        running = [item["BackupId"] for item in self.backups.items if "BackupStatus" not in item]
        lease = self.backups.running
        assert running in ([], [lease["RunningBackupId"]] if lease else []), what

    def start(self) -> None:
        self.starts.append(
            (f"event-{len(self.starts)}-{self.backups.cloud.clock.now()}", self.backups.cloud.clock.now())
        )
        self.start_again(-1)

    def start_again(self, number: int) -> None:
        if self.starts:
            self.backups.cloud.repeat(self.backups.start_rule, *self.starts[number])

    def stop_older(self) -> None:
        if self.backups.items:
            self.invoke({"action": "stop", "backup_id": self.backups.items[0]["BackupId"]})

    def invoke(self, event: Event) -> None:
        payload = json.dumps({"mode": "backup", **event})
        self.backups.cloud.client("lambda").invoke(FunctionName="nightly", InvocationType="Event", Payload=payload)

    def kill(self) -> None:
        for instance in self.backups.cloud.instances:
            instance.kill()

    def tell_end(self, number: int) -> None:
        if self.instances:
            detail = {"AutoScalingGroupName": self.backups.group, "EC2InstanceId": self.instances[number]}
            self.backups.cloud.emit("aws.autoscaling", "EC2 Instance Terminate Successful", detail)


HAPPENINGS = [
    "the schedule fires", "the first start comes again", "the last start comes again", "a person stops what runs",
    "a stop for an older backup", "the instance is killed", "the end of the first instance is told",
    "the end of the last instance is told", "all comes to rest", "an hour passes", "the window passes",
]  # fmt: skip


@pytest.mark.slow
@settings(
    max_examples=3, deadline=None, print_blob=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(happenings=st.lists(st.sampled_from(HAPPENINGS), min_size=3, max_size=7))
def test_any_sequence_of_events(deploy: Deploy, happenings: list[str]) -> None:
    backups = deploy()
    cloud = backups.cloud
    make_plain(str(backups.source), 200)
    story = Story(backups)
    for what in ["the schedule fires", *happenings]:
        story.tell(what)
    cloud.clock.advance(hours=5)
    cloud.wait_quiet()
    assert backups.night()["BackupStatus"] == "Success"
    assert_newest_is_the_source(backups)
    assert backups.leftovers() == []
    told = [mail.subject for mail in backups.mails]
    for item in backups.items:
        assert "BackupStatus" in item, item
        assert len([subject for subject in told if item["BackupId"] in subject]) == 1, (item, told)
    assert len(told) == len(backups.items)
    problems = cloud.problems
    cloud.control("clear-problems")
    assert [problem for problem in problems if TRY_AGAIN not in problem["what"]] == []
    cloud.delete(backups.stack)
