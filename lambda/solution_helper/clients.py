"""Makes the clients of AWS services."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=3, read_timeout=10)


def client(service: str) -> Any:
    """Return a client that tries again what may go well the next time."""
    return boto3.client(service, config=CONFIG)
