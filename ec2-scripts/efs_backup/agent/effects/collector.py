"""Posts anonymous data. Nothing that matters depends on it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from efs_backup.agent.effects.says import say

_TIMEOUT_SECONDS = 3.0


def post(url: str, data: Mapping[str, Any]) -> None:
    """Post the data; that it cannot be posted is said, and nothing else."""
    if not url.startswith(("https://", "http://")):
        say(f"anonymous data is not sent: {url!r} is no http address")
        return
    request = urllib.request.Request(  # noqa: S310  the scheme was looked at above
        url, json.dumps(data).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310  as above
            say("anonymous data was sent")
    except (OSError, ValueError) as error:
        say(f"anonymous data could not be sent: {error}")
