"""Reads what the template tells a function: its environment variables, typed, and named when one is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class ConfigurationError(Exception):
    """A variable of the function's environment is missing or has a value that makes no sense."""


@dataclass(frozen=True)
class Reader:
    """Reads typed values from an environment and names the variable that is missing or wrong."""

    environment: Mapping[str, str]

    def text(self, name: str) -> str:
        """The value of a variable that must be there and not be empty."""
        value = self.environment.get(name, "")
        if not value:
            raise ConfigurationError(f"the environment variable {name} is missing: deploy the function by its template")
        return value

    def number(self, name: str) -> int:
        """The value of a variable that must be a whole number above 0."""
        value = self.text(name)
        if not value.isascii() or not value.isdigit() or int(value) == 0:
            raise ConfigurationError(f"the environment variable {name} is {value!r}: it must be a whole number above 0")
        return int(value)

    def yes(self, name: str) -> bool:
        """Whether a variable says Yes; anything but Yes or No, in any case, is an error."""
        value = self.text(name).lower()
        if value not in ("yes", "no"):
            raise ConfigurationError(f"the environment variable {name} is {value!r}: it must be Yes or No")
        return value == "yes"
