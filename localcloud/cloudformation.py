"""CloudFormation: moto's engine, mended where the templates need it.

Stacks are created and deleted in the background, in dependency order, and say why they failed. Left out: updates,
change sets, rollback (a failed stack stays as it is until it is deleted), Rules, drift.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.cloudformation import models, parsing
from moto.cloudformation.custom_model import CustomModel
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend, Event, Stack, cloudformation_backends
from moto.cloudformation.parsing import ResourceMap

from localcloud.parameters import complaints, is_list
from localcloud.patching import replace
from localcloud.problems import Problems
from localcloud.resources import Resources

SUBSTITUTION = re.compile(r"\$\{(!?)([^}]+)\}")
CUSTOM_TYPES = ("Custom::", "AWS::CloudFormation::CustomResource")
DELETE_ATTEMPTS = 3
log = logging.getLogger("localcloud.cloudformation")


def install(resources: Resources, problems: Problems) -> None:
    """Patch moto's engine; ``resources`` finishes what moto leaves out of single resources."""
    replace(models, "yaml_tag_constructor", _with_condition)
    replace(parsing, "clean_json", _with_right_values)
    replace(parsing, "resource_class_from_type", _with_custom_resource_type)
    replace(parsing, "parse_and_create_resource", lambda original: _creator(original, resources))
    replace(ResourceMap, "load_parameters", _checked_parameters)
    replace(ResourceMap, "delete", lambda _: _delete_in_reverse(problems))
    replace(Stack, "create_resources", _in_background)
    replace(Stack, "parameter_list", lambda original: property(lambda self: _written_out(self, original)))
    replace(Stack, "outputs", lambda original: property(lambda self: _if_complete(self, original)))
    replace(Stack, "stack_resources", lambda _: property(_created_resources))
    replace(CloudFormationBackend, "delete_stack", lambda _: _delete_stack)
    resources.install()


def _with_condition(original: Callable[..., Any]) -> Callable[..., Any]:
    """Read ``!Condition X`` as the reference to a condition that it is."""

    def construct(loader: Any, tag: Any, node: Any) -> Any:
        return {"Condition": node.value} if tag == "!Condition" else original(loader, tag, node)

    return construct


def _with_right_values(original: Callable[..., Any]) -> Callable[..., Any]:
    """Substitute ``Fn::Sub`` as documented, and drop ``AWS::NoValue`` from lists too."""

    def clean_json(resource_json: Any, resources_map: Any) -> Any:
        if isinstance(resource_json, dict) and "Fn::Sub" in resource_json:
            return _substitute(resource_json["Fn::Sub"], resources_map)
        cleaned = original(resource_json, resources_map)
        return [item for item in cleaned if item is not None] if isinstance(resource_json, list) else cleaned

    return clean_json


def _substitute(argument: Any, resources_map: Any) -> str:
    """Fill ``${Name}``, ``${Name.Attribute}`` and the names of a mapping; ``${!Name}`` stays ``${Name}``."""
    template, mapping = argument if isinstance(argument, list) else (argument, {})
    values = {name: parsing.clean_json(value, resources_map) for name, value in mapping.items()}

    def fill(match: re.Match[str]) -> str:
        literal, name = match.groups()
        if literal:
            return "${" + name + "}"
        if name in values:
            return str(values[name])
        head, dot, attribute = name.partition(".")
        reference = {"Fn::GetAtt": [head, attribute]} if dot else {"Ref": name}
        return str(parsing.clean_json(reference, resources_map))

    return SUBSTITUTION.sub(fill, template)


def _with_custom_resource_type(original: Callable[..., Any]) -> Callable[..., Any]:
    def resource_class(resource_type: str) -> Any:
        return CustomModel if resource_type.startswith(CUSTOM_TYPES) else original(resource_type)

    return resource_class


def _creator(original: Callable[..., Any], resources: Resources) -> Callable[..., Any]:
    """Create what a resource depends on first, then it, then the properties that moto drops."""

    def create(
        logical_id: str, resource_json: dict[str, Any], resources_map: Any, account_id: str, region_name: str
    ) -> Any:
        condition = resource_json.get("Condition")
        if condition and not resources_map.lazy_condition_map[condition]:
            return None
        for dependency in _names(resource_json.get("DependsOn")):
            resources_map[dependency]
        stack = cloudformation_backends[account_id][region_name].get_stack(resources_map.stack_id)
        try:
            resource = original(logical_id, resource_json, resources_map, account_id, region_name)
            if resource is not None:
                properties = parsing.clean_json(resource_json.get("Properties", {}), resources_map)
                resources.finish(resource_json["Type"], resource, properties)
        except Exception as error:
            _keep_failed(error, logical_id, resource_json, resources_map)
            _say(stack, logical_id, None, resource_json["Type"], "CREATE_FAILED", str(error))
            raise
        _say(stack, logical_id, resource, resource_json["Type"], "CREATE_COMPLETE")
        return resource

    return create


def _keep_failed(error: Exception, logical_id: str, resource_json: dict[str, Any], resources_map: Any) -> None:
    """Remember a custom resource that failed: CloudFormation sends it a Delete all the same."""
    resource = getattr(error, "resource", None)
    if resource is not None and logical_id not in resources_map._parsed_resources:
        resource.logical_resource_id, resource.cf_resource_type = logical_id, resource_json["Type"]
        resources_map._parsed_resources[logical_id] = resource


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _say(stack: Stack, logical_id: str, resource: Any, kind: str, status: str, reason: str | None = None) -> None:
    """Add an event about one resource to a stack."""
    physical_id = getattr(resource, "physical_resource_id", "")
    stack.events.append(Event(stack.stack_id, stack.name, logical_id, physical_id, kind, status, reason, None))


def _checked_parameters(original: Callable[..., Any]) -> Callable[..., Any]:
    def load_parameters(self: ResourceMap) -> None:
        slots = self._template.get("Parameters", {})
        for complaint in complaints(slots, self.input_parameters):
            raise ValidationError(message=complaint)
        original(self)
        for name, slot in slots.items():
            value = self.resolved_parameters[name]
            if is_list(str(slot.get("Type"))) and isinstance(value, str):
                self.resolved_parameters[name] = self._parsed_resources[name] = value.split(",")

    return load_parameters


def _in_background(original: Callable[..., Any]) -> Callable[..., Any]:
    """Create a stack's resources in a thread, as CloudFormation does; a failure is the stack's status."""

    def work(stack: Stack) -> None:
        try:
            original(stack)
        except Exception as error:
            log.warning("stack %s: %s", stack.name, error, exc_info=True)
            stack.status = "CREATE_FAILED"
            stack.status_reason = str(error)  # type: ignore[attr-defined]
            stack._add_stack_event("CREATE_FAILED", resource_status_reason=str(error))

    def create_resources(self: Stack) -> None:
        self.status = "CREATE_IN_PROGRESS"
        threading.Thread(target=work, args=(self,), name=self.name, daemon=True).start()

    return create_resources


def _written_out(stack: Stack, original: Any) -> list[dict[str, Any]]:
    """Return the values of parameters as they were given: a list is one text with commas."""
    shown: list[dict[str, Any]] = original.fget(stack)
    return [
        {**pair, "ParameterValue": ",".join(pair["ParameterValue"])}
        if isinstance(pair["ParameterValue"], list)
        else pair
        for pair in shown
    ]


def _if_complete(stack: Stack, original: Any) -> Any:
    """Return outputs only of a complete stack: asking for them earlier would create resources."""
    return original.fget(stack) if stack.status == "CREATE_COMPLETE" else None


def _created_resources(self: Stack) -> Iterable[Any]:
    parsed = self.resource_map._parsed_resources
    return [parsed[name] for name in list(parsed) if name in self.resource_map._resource_json_map]


def _delete_in_reverse(problems: Problems) -> Callable[[ResourceMap], None]:
    """Delete in the reverse order of creation, so that custom resources still find their functions."""

    def delete(self: ResourceMap) -> None:
        for name in reversed([name for name in self._parsed_resources if name in self._resource_json_map]):
            template, resource = self._resource_json_map[name], self._parsed_resources[name]
            if template.get("DeletionPolicy") == "Retain":
                continue
            if not _can_delete(resource):
                problems.add("cloudformation", f"moto cannot delete {template['Type']}")
                continue
            _delete_patiently(self, resource, template)
            del self._parsed_resources[name]

    return delete


def _can_delete(resource: Any) -> bool:
    fallback = getattr(resource, "delete_from_cloudformation_json", None)
    return hasattr(resource, "delete") or not hasattr(fallback, "__isabstractmethod__")


def _delete_patiently(resource_map: ResourceMap, resource: Any, template: dict[str, Any]) -> None:
    """Try more than once: what was just detached may still be in use."""
    cleaned = {**template, "Properties": template.get("Properties", {})}
    for attempt in range(1, DELETE_ATTEMPTS + 1):
        try:
            resource_map._delete_resource(resource, cleaned)
            return
        except Exception:
            if attempt == DELETE_ATTEMPTS:
                raise
            time.sleep(0.2)


def _delete_stack(self: CloudFormationBackend, name_or_stack_id: str) -> None:
    """Delete in a thread; the stack stays visible until it is gone."""
    stack = next((s for s in self.stacks.values() if name_or_stack_id in (s.name, s.stack_id)), None)
    if stack is None or stack.status == "DELETE_IN_PROGRESS":
        return
    stack.status = "DELETE_IN_PROGRESS"

    def work() -> None:
        try:
            Stack.delete(stack)
        except Exception as error:
            log.warning("stack %s: %s", stack.name, error, exc_info=True)
            stack.status = "DELETE_FAILED"
            stack._add_stack_event("DELETE_FAILED", resource_status_reason=str(error))
            return
        self.stacks.pop(stack.stack_id, None)
        self.deleted_stacks[stack.stack_id] = stack

    threading.Thread(target=work, name=stack.name, daemon=True).start()
