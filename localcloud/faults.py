"""Failures on demand: any AWS call can be throttled, fail, hang, or kill its caller."""

import fnmatch
import itertools
import json
import threading
from dataclasses import dataclass
from xml.sax.saxutils import escape

import botocore.session

from localcloud.calls import Call

KINDS = ("throttle", "error", "hang", "die-before", "die-after")
THROTTLE_CODES = {"s3": "SlowDown", "ec2": "RequestLimitExceeded", "autoscaling": "Throttling"}
MESSAGE = "put there by the local cloud's fault injection"


class FaultError(ValueError):
    """A fault that makes no sense; the message says why."""


@dataclass
class Fault:
    """What is to go wrong: on the ``first``-th matching call from now on, and the ``times - 1`` that follow.

    ``service``, ``operation`` and ``caller`` are shell patterns; ``caller`` is matched against names such as
    ``function NAME``, ``instance i-…`` and ``user``.
    """

    kind: str
    service: str = "*"
    operation: str = "*"
    caller: str = "*"
    first: int = 1
    times: int = 1
    seen: int = 0

    def __post_init__(self) -> None:
        """Refuse what is not a fault."""
        if self.kind not in KINDS:
            raise FaultError(f"{self.kind}: not a kind of fault; there are {', '.join(KINDS)}")
        if self.first < 1 or self.times < 1:
            raise FaultError(f"first and times count from 1, not {self.first} and {self.times}")

    def hits(self, call: Call) -> bool:
        """Count ``call`` if it matches, and say whether it is one that goes wrong."""
        patterns = ((call.service, self.service), (call.operation, self.operation), (call.caller, self.caller))
        if not all(fnmatch.fnmatchcase(value, pattern) for value, pattern in patterns):
            return False
        self.seen += 1
        return self.first <= self.seen < self.first + self.times


class Faults:
    """The faults in force. Thread-safe."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._faults: dict[int, Fault] = {}
        self._numbers = itertools.count(1)

    def add(self, fault: Fault) -> int:
        """Put a fault in force and return its number."""
        with self._lock:
            number = next(self._numbers)
            self._faults[number] = fault
        return number

    def clear(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._faults.clear()

    def kind_for(self, call: Call) -> str:
        """Return what happens to ``call``: a kind of fault, or the empty string."""
        with self._lock:
            hits = [fault.kind for fault in self._faults.values() if fault.hits(call)]
        return hits[0] if hits else ""


@dataclass(frozen=True)
class ErrorResponse:
    """An error as the service would send it."""

    status: int
    headers: dict[str, str]
    body: bytes


def error_response(service: str, kind: str, message: str = MESSAGE) -> ErrorResponse:
    """Return the answer to a call that is throttled (``throttle``) or fails inside AWS (``error``)."""
    code, status = ("InternalError", 500)
    if kind == "throttle":
        code = THROTTLE_CODES.get(service, "ThrottlingException")
        status = 503 if service == "s3" else 400
    return _encoded(_protocol(service), status, code, message)


def _protocol(service: str) -> str:
    session = botocore.session.get_session()
    if service not in session.get_available_services():
        return "json"
    return str(session.get_service_model(service).resolved_protocol)


def _encoded(protocol: str, status: int, code: str, message: str) -> ErrorResponse:
    text, xml = json.dumps({"__type": code, "message": message}), "text/xml"
    inner = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if protocol == "ec2":
        body = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>local</RequestID></Response>"
        return ErrorResponse(status, {"Content-Type": xml}, body.encode())
    if protocol == "rest-xml":
        return ErrorResponse(status, {"Content-Type": xml}, f"<Error>{inner}</Error>".encode())
    if protocol == "query":
        body = f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error><RequestId>local</RequestId></ErrorResponse>"
        return ErrorResponse(status, {"Content-Type": xml}, body.encode())
    if protocol == "smithy-rpc-v2-cbor":
        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return ErrorResponse(status, headers, _cbor({"__type": code, "message": message}))
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
    return ErrorResponse(status, headers, text.encode())


def _cbor(texts: dict[str, str]) -> bytes:
    """Return a CBOR map of at most 23 texts (RFC 8949, section 3)."""
    encoded = bytes([0xA0 | len(texts)])
    for text in itertools.chain.from_iterable(texts.items()):
        data = text.encode()
        encoded += b"\x79" + len(data).to_bytes(2, "big") + data
    return encoded
