"""Posts anonymous data to its collector."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 3


def timestamp(now: datetime) -> str:
    """Return a time as the collector wants it, in UTC, like 2026-11-23 02:00:00.000."""
    return now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def post(url: str, body: Mapping[str, Any]) -> None:
    """Post the data. Whatever goes wrong is logged and nothing else: nothing that matters depends on it."""
    if not url.startswith(("https://", "http://")):
        log.warning("anonymous data is not sent: %r is no http address", url)
        return
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at above
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as reply:  # noqa: S310 - as above
            log.info("anonymous data was sent: %s", reply.status)
    except (OSError, ValueError) as error:  # URLError and time-outs are OSErrors
        log.warning("anonymous data could not be sent: %s", error)
