"""Reads the templates, and works out what their functions give for a stack's parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfnlint.decode.cfn_yaml import load
from deployment.release import Release, project_version
from deployment.templates import filled_in

TEMPLATES = Path(__file__).parents[2] / "templates"
BACKUP = TEMPLATES / "efs-to-efs-backup.template"
RESTORE = TEMPLATES / "efs-to-efs-restore.template"

ACCOUNT = "123456789012"
GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
NO_VALUE = object()

BACKUP_PARAMETERS = {
    "SrcEFS": "fs-0123456789abcdef0",
    "VpcId": "vpc-0123456789abcdef0",
    "Subnets": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "Email": "ops@example.com",
}
RESTORE_PARAMETERS = {
    "SrcEFS": "fs-0123456789abcdef0",
    "DstEFS": "fs-0123456789abcdef1",
    "RestoreLogBucket": "the-log-bucket",
    "VpcId": "vpc-0123456789abcdef0",
    "Subnets": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "SecurityGroupId": "sg-0123456789abcdef0",
    "Email": "ops@example.com",
}


def template(path: Path) -> dict[str, Any]:
    """The template as a dictionary, with the long names of the functions."""
    return dict(json.loads(json.dumps(load(str(path)))))


def released(path: Path) -> str:
    """The template's text as a release has it."""
    release = Release("release", "efs-backup", project_version())
    return filled_in(path.read_text(encoding="utf-8"), release, "0" * 64)


@dataclass(frozen=True)
class Stack:
    """A template with parameters: what each resource's properties come to.

    References to resources give ``LogicalId``, their attributes ``LogicalId.Attribute``, unless ``physical``
    names them.
    """

    source: dict[str, Any]
    parameters: dict[str, str]
    region: str = "us-east-1"
    partition: str = "aws"
    name: str = "nightly"
    guid: str = GUID
    physical: dict[str, str] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources that this stack has, resolved."""
        wanted = {k: r for k, r in self.source["Resources"].items() if self.holds(r.get("Condition"))}
        return {key: self.value({k: v for k, v in r.items() if k != "Condition"}) for key, r in wanted.items()}

    def properties(self, resource: str) -> dict[str, Any]:
        return dict(self.resources[resource].get("Properties", {}))

    def holds(self, condition: str | None) -> bool:
        """Whether a condition of the template holds; no condition does."""
        return condition is None or bool(self.value(self.source["Conditions"][condition]))

    def value(self, node: Any) -> Any:
        """What a node of the template comes to."""
        if isinstance(node, dict):
            if len(node) == 1:
                ((name, argument),) = node.items()
                if name in ("Ref", "Condition") or name.startswith("Fn::"):
                    return self._function(name.removeprefix("Fn::"), argument)
            values = {key: self.value(value) for key, value in node.items()}
            return {key: value for key, value in values.items() if value is not NO_VALUE}
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not NO_VALUE]
        return node

    def _function(self, name: str, argument: Any) -> Any:
        if name == "Ref":
            return self._ref(argument)
        if name == "Condition":
            return self.holds(argument)
        if name == "If":
            condition, yes, no = argument
            return self.value(yes if self.holds(condition) else no)
        if name == "GetAtt":
            key = argument if isinstance(argument, str) else ".".join(argument)
            return self.physical.get(key, key)
        if name == "Sub":
            return self._sub(argument)
        argument = self.value(argument)
        return _FUNCTIONS[name](self, argument)

    def _ref(self, name: str) -> Any:
        cloudformation = f"arn:{self.partition}:cloudformation:{self.region}:{ACCOUNT}"
        pseudo = {
            "AWS::Region": self.region,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": self.partition,
            "AWS::StackName": self.name,
            "AWS::StackId": f"{cloudformation}:stack/{self.name}/{self.guid}",
            "AWS::URLSuffix": "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com",
            "AWS::NoValue": NO_VALUE,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.source["Parameters"]:
            parameter = self.source["Parameters"][name]
            value = self.parameters.get(name, parameter.get("Default"))
            assert value is not None, f"{name} has no value"
            return str(value).split(",") if parameter["Type"].startswith("List<") else str(value)
        assert name in self.source["Resources"], f"{name} is neither parameter nor resource"
        return self.physical.get(name, name)

    def _sub(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else (argument[0], self.value(argument[1]))

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in variables:
                return str(variables[name])
            return str(self._function("GetAtt", name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", replace, text)


_FUNCTIONS: dict[str, Callable[[Stack, Any], Any]] = {
    "Join": lambda _, a: a[0].join(a[1]),
    "Select": lambda _, a: a[1][int(a[0])],
    "Split": lambda _, a: a[1].split(a[0]),
    "FindInMap": lambda s, a: s.source["Mappings"][a[0]][a[1]][a[2]],
    "Base64": lambda _, a: a,
    "Equals": lambda _, a: a[0] == a[1],
    "Not": lambda _, a: not a[0],
    "And": lambda _, a: all(a),
}


def backup_stack(**parameters: str) -> Stack:
    """A backup stack with these parameters beside the required ones."""
    return Stack(template(BACKUP), BACKUP_PARAMETERS | parameters)


def restore_stack(**parameters: str) -> Stack:
    """A restore stack with these parameters beside the required ones."""
    return Stack(template(RESTORE), RESTORE_PARAMETERS | parameters)
