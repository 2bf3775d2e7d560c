"""The Lambda Runtime API, served to one execution environment.

Source: AWS Lambda Developer Guide, "Lambda runtime API". The runtime asks for the next invocation and posts its
response or error. An answer to ``next`` without a Content-Type makes awslambdaric crash, so it has one.
"""

import json
import queue
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Invocation:
    """One event on its way to the function. ``deadline`` is in seconds since the epoch."""

    request_id: str
    function_arn: str
    payload: bytes
    deadline: float


@dataclass(frozen=True)
class Outcome:
    """What the function answered: its payload, and whether that describes an error."""

    payload: bytes
    failed: bool


class RuntimeApi:
    """The endpoint that one runtime process talks to."""

    def __init__(self) -> None:
        """Serve on a free port of the loopback interface, in a thread."""
        self._invocations: queue.Queue[Invocation | None] = queue.Queue()
        self._outcomes: queue.Queue[Outcome] = queue.Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api._next(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                _reply(self, 202, b'{"status":"OK"}')
                api._outcomes.put(Outcome(body, self.path.endswith("/error")))

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: the function's own log is what counts."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="runtime-api", daemon=True).start()

    @property
    def address(self) -> str:
        """Return host and port, as in AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def send(self, invocation: Invocation) -> None:
        """Hand an invocation to the runtime when it asks for the next."""
        self._invocations.put(invocation)

    def outcome(self, timeout: float) -> Outcome | None:
        """Wait up to ``timeout`` seconds for the answer; None if there was none."""
        try:
            return self._outcomes.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop serving."""
        self._invocations.put(None)
        threading.Thread(target=self._server.shutdown, daemon=True).start()  # it waits for its loop; nobody else need
        self._server.server_close()

    def _next(self, request: BaseHTTPRequestHandler) -> None:
        invocation = self._invocations.get()
        if invocation is None:
            request.close_connection = True
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-00000000-{invocation.request_id.replace('-', '')[:24]};Sampled=0",
        }
        _reply(request, 200, invocation.payload, headers)


def _reply(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


def error_payload(message: str, kind: str = "") -> bytes:
    """Return the payload of an invocation that ended without an answer."""
    return json.dumps({"errorType": kind, "errorMessage": message} if kind else {"errorMessage": message}).encode()
