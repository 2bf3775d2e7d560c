"""The values of a template's parameters: what CloudFormation checks and moto does not. Pure."""

import re
from collections.abc import Iterator
from typing import Any


def complaints(slots: dict[str, Any], given: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each parameter value that CloudFormation would refuse."""
    unknown = sorted(set(given) - set(slots))
    if unknown:
        yield f"Parameters: [{', '.join(unknown)}] do not exist in the template"
    for name, slot in slots.items():
        value = given.get(name, slot.get("Default"))
        if value is None:
            yield f"Parameters: [{name}] must have values"
            continue
        values = value if isinstance(value, list) else _split(str(value), str(slot.get("Type", "String")))
        for one in values:
            yield from _complaints_about(name, slot, str(one))


def _split(value: str, kind: str) -> list[str]:
    return value.split(",") if is_list(kind) else [value]


def is_list(kind: str) -> bool:
    """Say whether a parameter type is one of lists."""
    return kind == "CommaDelimitedList" or kind.startswith("List<")


def _complaints_about(name: str, slot: dict[str, Any], value: str) -> Iterator[str]:
    allowed = slot.get("AllowedValues")
    if allowed is not None and value not in [_text(choice) for choice in allowed]:
        yield f"Parameter '{name}' must be one of AllowedValues"
    pattern = slot.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        yield slot.get("ConstraintDescription") or f"Parameter '{name}' must match pattern {pattern}"
    if not int(slot.get("MinLength", 0)) <= len(value) <= int(slot.get("MaxLength", 1_000_000)):
        limits = f"at least {slot.get('MinLength', 0)} and at most {slot.get('MaxLength', 'any number of')}"
        yield f"Parameter '{name}' must contain {limits} characters"
    if slot.get("Type") == "Number":
        yield from _complaints_about_number(name, slot, value)


def _complaints_about_number(name: str, slot: dict[str, Any], value: str) -> Iterator[str]:
    try:
        number = float(value)
    except ValueError:
        yield f"Parameter '{name}' must be a number, not {value}"
        return
    if "MinValue" in slot and number < float(slot["MinValue"]):
        yield f"Parameter '{name}' must be a number not less than {slot['MinValue']}"
    if "MaxValue" in slot and number > float(slot["MaxValue"]):
        yield f"Parameter '{name}' must be a number not greater than {slot['MaxValue']}"


def _text(value: Any) -> str:
    """Return a scalar of a template as CloudFormation compares it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
