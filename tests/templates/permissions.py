"""Holds the calls that code makes and the policies of the roles it runs under against each other.

Also for the scenarios: they have the calls of the agent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.templates.reading import Stack

TABLE: dict[str, Any] = json.loads((Path(__file__).parent / "call_table.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Statement:
    """One statement of a role's policy, resolved."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditional: bool


def statements(stack: Stack, role: str) -> list[Statement]:
    """The statements of a role; all of them allow."""
    found = []
    for policy in stack.properties(role)["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            found.append(
                Statement(
                    statement["Sid"],
                    _as_tuple(statement["Action"]),
                    _as_tuple(statement["Resource"]),
                    "Condition" in statement,
                )
            )
    return found


def roles(stack: Stack) -> list[str]:
    """The roles of a stack."""
    return [key for key, found in stack.resources.items() if found["Type"] == "AWS::IAM::Role"]


def allowed(stack: Stack, role: str) -> set[str]:
    """The actions that a role may do."""
    return {action for statement in statements(stack, role) for action in statement.actions}


def needed(calls: Iterable[str]) -> set[str]:
    """The actions that calls (``service:Operation``) need. A call that nobody has reviewed is an error."""
    unknown = set(calls) - set(TABLE["calls"])
    assert not unknown, f"review these calls and add them to call_table.json: {sorted(unknown)}"
    return {action for call in calls for action in TABLE["calls"][call]}


def excused(template: str, role: str) -> set[str]:
    """The actions that no call of ours explains, with their reasons in the table."""
    return set(TABLE["made_by_others"][template][role])


def permits(stack: Stack, role: str, action: str, resource: str) -> bool:
    """Whether the role may do this to that."""
    return any(
        action in statement.actions and any(fnmatchcase(resource, pattern) for pattern in statement.resources)
        for statement in statements(stack, role)
    )


def _as_tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
