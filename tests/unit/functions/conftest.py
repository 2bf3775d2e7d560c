"""One moto server for all tests of the functions; each test has a stack of its own in it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from tests.unit.functions.cloud import REGION, Cloud, client, launch_template, recorded_client

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of a moto server, to which every AWS call of this process goes."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request would be most of the work
    server = ThreadedMotoServer(ip_address="localhost", port=0)
    server.start()
    _, port = server.get_host_and_port()
    address = f"http://localhost:{port}"
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=address)
    yield address
    client.cache_clear()
    recorded_client.cache_clear()
    launch_template.cache_clear()
    os.environ.clear()
    os.environ.update(before)
    server.stop()


@pytest.fixture
def make_cloud(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cloud]:
    """Makes a backup stack with other settings: ``make_cloud(BACKUP_WINDOW="60")``."""

    def make(**environment: str) -> Cloud:
        return Cloud(monkeypatch, **environment)

    return make


@pytest.fixture
def cloud(make_cloud: Callable[..., Any]) -> Cloud:
    """A backup stack as the template's defaults make it."""
    made: Cloud = make_cloud()
    return made


@pytest.fixture
def collector() -> list[dict[str, Any]]:
    """What the collector of anonymous data has received."""
    return []


@pytest.fixture
def collector_url(collector: list[dict[str, Any]]) -> Iterator[str]:
    """The address of a collector that keeps what it is sent."""

    def keep(body: bytes) -> int:
        collector.append(json.loads(body))
        return 200

    with http_server(keep) as url:
        yield url


@pytest.fixture
def broken_collector_url() -> Iterator[str]:
    """The address of a collector that answers 500."""
    with http_server(lambda _: 500) as url:
        yield url


@contextmanager
def http_server(answer: Callable[[bytes], int]) -> Iterator[str]:
    """A server that gives each body to ``answer`` and sends the status that it returns; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(answer(self.rfile.read(int(self.headers["Content-Length"]))))
            self.end_headers()

        def do_PUT(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
