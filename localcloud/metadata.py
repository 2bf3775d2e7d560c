"""The instance metadata service, version 2 only, at its real address inside each instance.

Source: Amazon EC2 User Guide, "Use the Instance Metadata Service". A request without a token gets 401.
"""

import json
import re
import socket
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = "169.254.169.254"
PORT = 80
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 (the name of a header)
LIFETIME_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
VERSION = re.compile(r"^/(latest|\d{4}-\d\d-\d\d)(?=/|$)")
"""How a path begins. The service has one version, and answers to the date of any."""

Tree = dict[str, str]


class MetadataServer:
    """Serves one instance: ``tree`` returns path → text, as of now, for everything below a version."""

    def __init__(self, listener: socket.socket, tree: Callable[[], Tree]) -> None:
        """Serve on ``listener`` in a thread."""
        tokens: set[str] = set()

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                if self.path != "/latest/api/token" or not self.headers.get(LIFETIME_HEADER, "").isdigit():
                    return self._answer(400, "Bad Request")
                token = uuid.uuid4().hex
                tokens.add(token)
                return self._answer(200, token, {LIFETIME_HEADER: self.headers[LIFETIME_HEADER]})

            def do_GET(self) -> None:
                if self.headers.get(TOKEN_HEADER) not in tokens:
                    return self._answer(401, "Unauthorized")
                text = find(tree(), self.path)
                return self._answer(404, "Not Found") if text is None else self._answer(200, text)

            def _answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="metadata", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def find(tree: Tree, path: str) -> str | None:
    """Return what is at a path: a text, or the names below it, a line each; None if there is nothing."""
    wanted = VERSION.sub("", path.split("?")[0]).strip("/")
    if wanted in tree:
        return tree[wanted]
    prefix = f"{wanted}/" if wanted else ""
    below = [name.removeprefix(prefix) for name in tree if name.startswith(prefix)]
    names = sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in below})
    return "\n".join(names) if names else None


def spot_notice(moment: str) -> str:
    """Return the notice of a Spot interruption, as at ``spot/instance-action``."""
    return json.dumps({"action": "terminate", "time": moment})
