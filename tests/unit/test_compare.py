"""What is to be done for one name, as a table; and when a file moves to a new inode."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efs_backup.pure.compare import Action, Rule, decide, held_record, may_share
from efs_backup.pure.links import LINK_LIMIT, RENEWAL_NIGHTS, Sighting, plan_group, renewal_due
from efs_backup.pure.records import RESTLESS, Attributes, Image, Record, adopted_record, record_of

FILE = stat.S_IFREG | 0o644
ENTRY = Attributes(FILE, 1, 2, 3, 4_000, 5_000, 6, 1)
SAME = record_of(ENTRY, 77, b"m" * 16)
TOUCHED = SAME._replace(ctime_ns=4_999)
MOVED = SAME._replace(ino=7)
OTHER = SAME._replace(mtime_ns=3_999)
RULE = Rule()


@pytest.mark.parametrize(
    ("base", "held", "rule", "action"),
    [
        (None, None, RULE, Action.COPY),
        (SAME, None, RULE, Action.LINK),
        (SAME, SAME, RULE, Action.KEEP),
        (OTHER, None, RULE, Action.COPY),
        (TOUCHED, None, RULE, Action.READ),
        (MOVED, None, RULE, Action.READ),
        (TOUCHED, None, Rule(same_file_system=False), Action.LINK),
        (SAME, TOUCHED, RULE, Action.LINK),
        (OTHER, SAME, RULE, Action.KEEP),
        (OTHER, TOUCHED, RULE, Action.READ),
        (SAME._replace(flags=RESTLESS), None, RULE, Action.READ),
        (SAME, None, Rule(damaged=frozenset({77})), Action.COPY),
        (adopted_record(ENTRY, 1), None, RULE, Action.LINK),
    ],
)
def test_certainty_comes_before_suspicion_and_staging_before_the_base(
    base: Record | None, held: Record | None, rule: Rule, action: Action
) -> None:
    decision = decide(ENTRY, base, held, rule)
    assert decision.action is action
    assert decision.reason


@pytest.mark.parametrize("field", ["mode", "uid", "gid", "size", "mtime_ns"])
def test_each_attribute_that_a_snapshot_keeps_makes_a_change(field: str) -> None:
    base = SAME._replace(**{field: getattr(SAME, field) + 1})
    assert decide(ENTRY, base, None, RULE).action is Action.COPY


def test_staging_is_believed_only_if_inode_and_lstat_agree_with_a_record() -> None:
    image = Image(FILE, 1, 2, 3, 4_000, 77)
    assert held_record(image, [None, SAME], RULE) == SAME
    assert held_record(image._replace(ino=78), [SAME], RULE) is None
    assert held_record(image._replace(size=4), [SAME], RULE) is None
    assert held_record(image, [SAME], Rule(damaged=frozenset({77}))) is None


def test_an_inode_that_several_names_shared_belongs_to_the_source_inode_they_shared() -> None:
    shared = SAME._replace(nlink=2)
    assert may_share(ENTRY, shared, RULE)
    assert not may_share(ENTRY._replace(ino=9), shared, RULE)
    assert not may_share(ENTRY, shared, Rule(same_file_system=False))
    assert may_share(ENTRY._replace(ino=9), SAME, RULE)


@given(st.integers(1, LINK_LIMIT), st.integers(0, 1 << 32))
def test_no_file_is_ever_linked_beyond_the_limit(nlink: int, spread: int) -> None:
    if nlink + 1 > LINK_LIMIT:
        assert renewal_due(nlink, 1, spread)


def test_files_that_near_the_limit_together_are_renewed_over_several_nights() -> None:
    waiting = set(range(1600))
    renewed = []
    for nlink in range(LINK_LIMIT - RENEWAL_NIGHTS - 1, LINK_LIMIT + 1):
        due = {spread for spread in waiting if renewal_due(nlink, 1, spread)}
        renewed.append(len(due))
        waiting -= due
    assert not waiting
    assert max(renewed) <= 1600 // RENEWAL_NIGHTS


def test_a_large_group_is_not_renewed_long_before_it_must() -> None:
    assert not renewal_due(25, 25, 3)
    assert renewal_due(175, 25, 3)


def sighting(name: str, settled: bool, bino: int) -> Sighting:
    return Sighting(1, "d", name, 0, 1, settled, bino)


def test_a_group_that_is_one_inode_already_needs_nothing() -> None:
    assert plan_group([sighting("a", True, 5), sighting("b", True, 5)]) is None


def test_the_inode_that_most_names_have_is_the_groups() -> None:
    plan = plan_group([sighting("a", True, 5), sighting("b", True, 6), sighting("c", True, 6), sighting("d", False, 0)])
    assert plan is not None
    assert plan.leader.name == "b"
    assert {m.name for m in plan.followers} == {"a", "c", "d"}
