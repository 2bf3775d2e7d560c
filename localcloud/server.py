"""The process of one local cloud: moto and everything around it, on one port of localhost.

    python -m localcloud.server DIRECTORY PORT REGION [PARENT]

is started by the client (``localcloud.client``) on the cloud's clock; it writes ``ready`` into the directory when it
serves, and ends on SIGTERM, or with the process PARENT if one is given.
"""

import io
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from localcloud.calls import Call, Request, recognise
from localcloud.cloud import Cloud
from localcloud.control import Control
from localcloud.faults import error_response
from localcloud.instances import Instance

HANG_SECONDS = 600.0
READY = "ready"
log = logging.getLogger("localcloud.server")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Front:
    """The WSGI application in front of moto: control requests, recording, faults, and moto's own failures."""

    def __init__(self, cloud: Cloud) -> None:
        """Serve ``cloud``."""
        self._cloud, self._control = cloud, Control(cloud)
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"].startswith("/_localcloud/"):
            return self._control.answer(environ, start_response)
        cloud = self._cloud
        request = _read(environ)
        call = recognise(request, cloud.identities)
        identity = cloud.identity_of(request)
        call.fault = cloud.faults.kind_for(call)
        cloud.calls.record(call)
        if call.fault == "hang":
            time.sleep(HANG_SECONDS)
        if call.fault == "die-before" and identity:
            identity.kill()
            return []
        if call.fault in ("throttle", "error"):
            response = error_response(call.service, call.fault)
            call.status = response.status
            start_response(f"{response.status} Fault", list(response.headers.items()))
            return [response.body]

        def note_status(status: str, headers: Any, *rest: Any) -> Any:
            call.status = int(status.split()[0])
            return start_response(status, headers, *rest)

        answer = self._by_moto(environ, note_status, call)
        if call.fault == "die-after" and identity:
            identity.kill()
        if call.status >= 500:
            cloud.problems.add("moto", f"{call.service} {call.operation} answered {call.status}: {_text(answer)}")
        return answer

    def _by_moto(self, environ: Environ, start_response: StartResponse, call: Call) -> list[bytes]:
        try:
            return list(self._moto(environ, start_response))
        except Exception as error:
            log.exception("%s %s", call.service, call.operation)
            response = error_response(call.service, "error", repr(error)[:500])
            start_response(f"{response.status} Internal Server Error", list(response.headers.items()))
            return [response.body]


def _read(environ: Environ) -> Request:
    """Take a request apart, and leave its body to be read again."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    if not environ.get("wsgi.input_terminated"):
        environ["wsgi.input"] = io.BytesIO(body)
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    return Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""), headers, body)


def _text(answer: list[bytes]) -> str:
    return b"".join(answer)[:500].decode("utf-8", "replace")


class QuietHandler(WSGIRequestHandler):
    """Leaves the line per request to the record of calls."""

    def log_request(self, *arguments: Any, **keywords: Any) -> None:
        """Say nothing."""


def main(arguments: list[str], instance: type[Instance] = Instance) -> None:
    """Serve until the end, with this kind of instances."""
    directory, port, region = Path(arguments[0]), int(arguments[1]), arguments[2]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # roles may name AWS's own policies
    cloud = Cloud(directory, port, region, DEFAULT_ACCOUNT_ID, instance)
    server = make_server("127.0.0.1", port, Front(cloud), threaded=True, request_handler=QuietHandler)

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    cloud.start()
    if len(arguments) > 3:
        threading.Thread(target=_stop_with, args=(int(arguments[3]), stop), daemon=True).start()
    (directory / READY).write_text(json.dumps({"port": port, "region": region, "pid": os.getpid()}))
    server.serve_forever(poll_interval=0.1)
    cloud.close()


def _stop_with(parent: int, stop: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    stop()


if __name__ == "__main__":
    main(sys.argv[1:])
