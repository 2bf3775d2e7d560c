"""One moto server for all tests of the functions; each test has a stack of its own in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from tests.unit.functions.cloud import REGION, Cloud

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
    server = ThreadedMotoServer(ip_address="localhost", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://localhost:{port}"
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=address)
    yield address
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
