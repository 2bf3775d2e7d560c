"""The parameters of a template: what they may be, and where their values come from."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployment.errors import UsageError

TWO_SUBNETS = "List<AWS::EC2::Subnet::Id>"

Values = dict[str, str]
Ask = Callable[["Parameter"], str]


class _Loader(yaml.SafeLoader):
    """Reads a template; what the functions of CloudFormation stand for does not matter to its parameters."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@dataclass(frozen=True)
class Parameter:
    """A parameter as its template declares it. ``default`` is None if the template has none."""

    name: str
    label: str
    description: str
    type: str
    default: str | None
    allowed: tuple[str, ...]
    pattern: str
    minimum: int | None
    constraint: str

    @property
    def title(self) -> str:
        """The name, and what the console calls it."""
        return self.name if self.label == self.name else f"{self.name} ({self.label})"

    def complaint(self, value: str) -> str | None:
        """Return what is wrong with a value, or None."""
        if self._fits(value):
            return None
        wanted = f"must be one of {', '.join(self.allowed)}" if self.allowed else self.constraint or "cannot be that"
        return f"{self.name}={value!r}: {wanted}"

    def _fits(self, value: str) -> bool:
        if self.allowed and value not in self.allowed:
            return False
        if self.type == "Number" and not _is_number(value, self.minimum):
            return False
        if self.type == TWO_SUBNETS and len(set(value.split(","))) != 2:
            return False
        if self.pattern and not re.fullmatch(self.pattern, value):
            return False
        return value != "" or self.default == ""


def declared(template: str) -> list[Parameter]:
    """Return the parameters of a template's text, in its order."""
    parsed = yaml.load(template, Loader=_Loader)  # noqa: S506 - a safe loader
    labels = parsed["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"]
    return [_parameter(name, found, labels[name]["default"]) for name, found in parsed["Parameters"].items()]


def mapping(template: str, name: str) -> dict[str, dict[str, str]]:
    """Return a mapping of a template's text."""
    found: dict[str, dict[str, str]] = yaml.load(template, Loader=_Loader)["Mappings"][name]  # noqa: S506 - safe
    return found


def regions(template: str) -> list[str]:
    """Return the regions that a template can be launched in."""
    return sorted(name for name, values in mapping(template, "Map").items() if "InstanceSize" in values)


def read_file(path: Path) -> Values:
    """Return the values in a parameter file: a JSON object, or the list that the AWS command line takes.

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"PARAMETERS={path}: there is no such file") from error
    except ValueError as error:
        raise UsageError(f"PARAMETERS={path}: not JSON: {error}") from error
    if isinstance(found, list) and all(isinstance(pair, dict) and "ParameterKey" in pair for pair in found):
        found = {pair["ParameterKey"]: pair.get("ParameterValue") for pair in found}
    if not isinstance(found, dict) or not all(isinstance(value, str | int) for value in found.values()):
        shapes = '{"SrcEFS": "fs-…", …} or [{"ParameterKey": "SrcEFS", "ParameterValue": "fs-…"}, …]'
        raise UsageError(f"PARAMETERS={path}: write {shapes}")
    return {str(name): str(value) for name, value in found.items()}


def from_environment(parameters: Iterable[Parameter], environment: Mapping[str, str]) -> Values:
    """Return the values that the environment has; what was given to make on its command line is in it too."""
    return {parameter.name: environment[parameter.name] for parameter in parameters if parameter.name in environment}


def given_to_make(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables on make's command line."""
    _, _, said = environment.get("MAKEFLAGS", "").partition("-- ")
    return [word.partition("=")[0] for word in shlex.split(said) if "=" in word]


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that are not known.

    Raises:
        UsageError: there is one; the message has the likeliest name that is meant.
    """
    known = list(known)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise UsageError(f"{name} is no parameter of the template" + (f": is {close[0]} meant?" if close else ""))


def check_values(parameters: Iterable[Parameter], values: Values) -> None:
    """Refuse values that cannot be.

    Raises:
        UsageError: there is one.
    """
    for parameter in parameters:
        if parameter.name in values and (complaint := parameter.complaint(values[parameter.name])):
            raise UsageError(complaint)


def resolved(parameters: Iterable[Parameter], values: Values, ask: Ask | None) -> Values:
    """Return the values, with those that are missing and have no default asked for.

    Raises:
        UsageError: a value cannot be, or is missing and nobody can be asked.
    """
    parameters = list(parameters)
    missing = [parameter for parameter in parameters if parameter.default is None and parameter.name not in values]
    if missing and ask is None:
        names = ", ".join(parameter.title for parameter in missing)
        raise UsageError(f"no value for {names}: set them as NAME=VALUE, or in a file named by PARAMETERS=")
    complete = {**values, **{parameter.name: ask(parameter) for parameter in missing if ask}}
    check_values(parameters, complete)
    return complete


def _parameter(name: str, found: Mapping[str, Any], label: str) -> Parameter:
    return Parameter(
        name,
        label,
        str(found["Description"]),
        found["Type"],
        str(found["Default"]) if "Default" in found else None,
        tuple(str(value) for value in found.get("AllowedValues", ())),
        found.get("AllowedPattern", ""),
        found.get("MinValue"),
        found.get("ConstraintDescription", ""),
    )


def _is_number(value: str, minimum: int | None) -> bool:
    """Say whether a value is a whole number, as all numbers of the templates are, and not too small."""
    try:
        return int(value) >= (minimum if minimum is not None else int(value))
    except ValueError:
        return False
