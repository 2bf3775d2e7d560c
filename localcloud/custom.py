"""Custom resources: the function is really invoked, its answer waited for, FAILED heard, on create and on delete."""

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.cloudformation.custom_model import CustomModel
from moto.cloudformation.exceptions import ValidationError

from localcloud.patching import add, replace

WAIT_SECONDS = 120.0  # CloudFormation waits an hour


class ResourceFailedError(Exception):
    """A custom resource answered FAILED, or not at all. The message is its reason."""


@dataclass
class Answer:
    """What a function put to the ResponseURL, and the signal that it has."""

    arrived: threading.Event = field(default_factory=threading.Event)
    content: dict[str, Any] = field(default_factory=dict)


class CustomResources:
    """Asks functions and receives their answers."""

    def __init__(self, endpoint: str, invoke: Callable[[LambdaFunction, bytes], None]) -> None:
        """Receive answers at ``endpoint``; ``invoke`` calls a function asynchronously."""
        self._endpoint, self._invoke = endpoint, invoke
        self._answers: dict[str, Answer] = {}

    def install(self) -> None:
        """Have moto's custom resources be real."""
        custom = self

        @classmethod  # type: ignore[misc]
        def create(
            cls: type[CustomModel], resource_name: str, cloudformation_json: dict[str, Any], account_id: str,
            region_name: str, **keywords: Any,
        ) -> CustomModel:  # fmt: skip
            properties = as_strings(cloudformation_json["Properties"])
            resource = cls(region_name, str(uuid.uuid4()), keywords["LogicalId"], resource_name)
            resource.request = {  # type: ignore[attr-defined]
                "StackId": keywords["StackId"], "LogicalResourceId": keywords["LogicalId"],
                "ResourceType": keywords["ResourceType"], "ResourceProperties": properties,
            }  # fmt: skip
            try:
                answer = custom.ask(resource, "Create", account_id)
            except ResourceFailedError as error:
                error.resource = resource  # type: ignore[attr-defined]
                raise
            resource.set_data(answer.get("Data") or {})
            return resource

        def delete(self: CustomModel, account_id: str, region_name: str) -> None:
            del region_name
            custom.ask(self, "Delete", account_id)

        replace(CustomModel, "create_from_cloudformation_json", lambda _: create)
        replace(CustomModel, "get_cfn_attribute", lambda _: _attribute)
        add(CustomModel, "delete", delete)

    def receive(self, number: str, body: bytes) -> bool:
        """Take what was put to a ResponseURL; False if nobody waits there."""
        answer = self._answers.get(number)
        if answer is None:
            return False
        answer.content = json.loads(body)
        answer.arrived.set()
        return True

    def ask(self, resource: CustomModel, kind: str, account: str) -> dict[str, Any]:
        """Send a request of a kind (Create, Delete) to the resource's function and return its answer.

        Raises:
            ResourceFailedError: it answered FAILED, or nothing.
        """
        request = resource.request  # type: ignore[attr-defined]
        token = request["ResourceProperties"]["ServiceToken"]
        function = lambda_backends[account][resource.region_name].get_function(token)
        number = uuid.uuid4().hex
        self._answers[number] = answer = Answer()
        event = {
            "RequestType": kind, "ServiceToken": token, "RequestId": str(uuid.uuid4()),
            "ResponseURL": f"{self._endpoint}/_localcloud/response/{number}", **request,
        }  # fmt: skip
        if kind == "Delete":
            event["PhysicalResourceId"] = resource.physical_resource_id
        self._invoke(function, json.dumps(event).encode())
        if not answer.arrived.wait(WAIT_SECONDS):
            raise ResourceFailedError(f"{resource.logical_id} did not answer within {WAIT_SECONDS:.0f} seconds")
        resource.resource_name = answer.content.get("PhysicalResourceId") or resource.resource_name
        if answer.content.get("Status") != "SUCCESS":
            raise ResourceFailedError(f"{resource.logical_id}: {answer.content.get('Reason', 'no reason given')}")
        return answer.content


def as_strings(value: Any) -> Any:
    """Return properties as CloudFormation passes them to functions: every scalar is a string."""
    if isinstance(value, dict):
        return {name: as_strings(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_strings(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _attribute(self: CustomModel, attribute_name: str) -> Any:
    if attribute_name not in self.data:
        raise ValidationError(message=f"CustomResource attribute error: {self.logical_id} has no {attribute_name}")
    return self.data[attribute_name]
