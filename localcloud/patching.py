"""How moto is changed: one attribute at a time, and only one that is there."""

from collections.abc import Callable
from typing import Any


class MotoChangedError(Exception):
    """moto no longer has what a patch changes: the pinned version was replaced without looking at the patches."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in place of ``owner.name``.

    Raises:
        MotoChangedError: ``owner`` has no attribute of that name.
    """
    if not hasattr(owner, name):
        raise MotoChangedError(f"{owner!r} has no {name}: this moto is not the one the local cloud was written for")
    setattr(owner, name, make(getattr(owner, name)))


def add(owner: Any, name: str, attribute: Any) -> None:
    """Give ``owner`` an attribute that moto does not have.

    Raises:
        MotoChangedError: moto has it by now, so the addition should go.
    """
    if name in vars(owner):
        raise MotoChangedError(f"{owner!r} has {name} by now: the local cloud need not add it any more")
    setattr(owner, name, attribute)
