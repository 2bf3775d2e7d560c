"""Every AWS call, recognised and recorded: which service and operation, by whom, with what outcome."""

import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, unquote

import botocore.session

from localcloud.identities import Identities

CREDENTIAL = re.compile(r"Credential=([^/,]+)/\d+/([^/]+)/([^/]+)/aws4_request")
RPC_PATH = re.compile(r"/service/\w+/operation/(\w+)$")
ENDPOINT_PREFIXES = {"elasticfilesystem": "efs", "monitoring": "cloudwatch"}  # signing name -> botocore's name
OWN_KEY = "LOCALCLOUD"  # what the cloud signs its own calls with, for example CloudFormation's


@dataclass
class Request:
    """One HTTP request as received: what is needed to tell which call it is."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass
class Call:
    """One AWS call. ``role`` is the caller's role ARN, empty for the user; ``status`` is the HTTP status."""

    service: str
    operation: str
    region: str
    role: str
    caller: str
    parameters: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    fault: str = ""


@dataclass(frozen=True)
class RestOperation:
    """How an operation of a REST service is recognised."""

    name: str
    method: str
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]  # fixed parts of the query, for example ("list-type", "2")
    needed: frozenset[str]  # names that the query must have
    headers: frozenset[str]  # names of headers that must be there

    @property
    def weight(self) -> int:
        """Return how much it asks for: of several that match, the one that asks for most is meant."""
        return len(self.query) + len(self.needed) + len(self.headers)


def recognise(request: Request, identities: Identities) -> Call:
    """Return the call a request makes; unsigned requests are taken for S3."""
    access_key, region, service = _credential(request)
    identity = identities.find(access_key)
    caller = identity.name if identity else ("cloudformation" if access_key == OWN_KEY else "user")
    operation, parameters = _operation(service, request)
    return Call(service, operation, region, identity.role if identity else "", caller, parameters)


def _credential(request: Request) -> tuple[str, str, str]:
    query = unquote(request.query).replace("X-Amz-Credential", "Credential")
    for text in (request.headers.get("authorization", ""), query):
        if match := CREDENTIAL.search(text):
            key, region, service = match.groups()
            return key, region, ENDPOINT_PREFIXES.get(service, service)
    return "", "us-east-1", "s3"


def _operation(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    if target := request.headers.get("x-amz-target"):
        return target.rpartition(".")[2], _json(request.body)
    if match := RPC_PATH.search(request.path):
        return match[1], {}
    form = {name: values[0] for name, values in parse_qs(_text(request.body), keep_blank_values=True).items()}
    if action := form.pop("Action", ""):
        return action, form
    return _rest_operation(service, request)


def _rest_operation(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    query = parse_qs(request.query, keep_blank_values=True)
    pairs = {(name, values[0]) for name, values in query.items()}
    matches = [
        (operation.weight, operation.name, found.groupdict())
        for operation in _rest_operations(service)
        if operation.method == request.method
        and (found := operation.path.fullmatch(unquote(request.path)))
        and operation.query <= pairs
        and operation.needed <= query.keys()
        and operation.headers <= request.headers.keys()
    ]
    if not matches:
        return f"{request.method} {request.path}", {}
    best = max(weight for weight, _, _ in matches)
    _, name, parameters = min((match for match in matches if match[0] == best), key=lambda match: match[1])
    if service == "s3":
        return name, parameters
    return name, {**dict(sorted(pairs)), **parameters, **_json(request.body)}


@lru_cache
def _rest_operations(service: str) -> list[RestOperation]:
    session = botocore.session.get_session()
    if service not in session.get_available_services():
        return []
    model = session.get_service_model(service)
    operations = [model.operation_model(name) for name in model.operation_names]
    return [_rest(operation.name, operation) for operation in operations if not operation.deprecated]


def _rest(name: str, operation: Any) -> RestOperation:
    path, _, query = operation.http["requestUri"].partition("?")
    fixed = {tuple(part.partition("=")[::2]) for part in query.split("&") if part}
    shape = operation.input_shape
    required = shape.required_members if shape else []
    places: dict[str, set[str]] = {"querystring": set(), "header": set()}
    for member in required:
        serialization = shape.members[member].serialization
        if serialization.get("location") in places:
            places[serialization["location"]].add(serialization["name"])
    headers = {header.lower() for header in places["header"]}
    return RestOperation(
        name, operation.http["method"], _path_pattern(path), frozenset(fixed), frozenset(places["querystring"]),
        frozenset(headers),
    )  # fmt: skip


def _path_pattern(template: str) -> re.Pattern[str]:
    """Turn ``/{Bucket}/{Key+}`` into a pattern with named groups."""
    parts = re.split(r"\{(\w+)(\+?)\}", template)
    pattern = re.escape(parts[0])
    for name, greedy, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        pattern += f"(?P<{name}>{'.+' if greedy else '[^/]+'})" + re.escape(literal)
    return re.compile(pattern + "/?")


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace") if len(body) < 1_000_000 else ""


class Calls:
    """The record of all calls. Thread-safe."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    def record(self, call: Call) -> None:
        """Keep ``call``; the caller sets its status when it is known."""
        with self._lock:
            self._calls.append(call)

    def as_json(self, keep: Callable[[Call], bool] = lambda _: True) -> list[dict[str, Any]]:
        """Return the calls that ``keep`` accepts, oldest first."""
        with self._lock:
            chosen: Iterable[Call] = [call for call in self._calls if keep(call)]
        return [asdict(call) for call in chosen]
