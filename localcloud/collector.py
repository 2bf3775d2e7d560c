"""The place where anonymous data would go: it keeps what arrives, and can be told to hang or to fail."""

import json
import threading
from typing import Any

HANG_SECONDS = 300.0
MODES = ("accept", "fail", "hang")


class Collector:
    """What has been sent so far. Thread-safe."""

    def __init__(self) -> None:
        """Accept everything."""
        self._lock = threading.Lock()
        self._received: list[Any] = []
        self._mode = "accept"
        self._changed = threading.Event()

    def behave(self, mode: str) -> None:
        """Accept (``accept``), answer 500 (``fail``), or answer nothing for minutes (``hang``)."""
        if mode not in MODES:
            raise ValueError(f"{mode}: the collector knows {', '.join(MODES)}")
        self._mode = mode
        self._changed.set()

    def take(self, body: bytes) -> int:
        """Take one POST and return the HTTP status to answer with."""
        mode = self._mode
        if mode == "hang":
            self._changed.clear()
            self._changed.wait(HANG_SECONDS)
            return 504
        if mode == "fail":
            return 500
        try:
            content = json.loads(body)
        except ValueError:
            return 400
        with self._lock:
            self._received.append(content)
        return 200

    def as_json(self) -> list[Any]:
        """Return what has arrived, oldest first."""
        with self._lock:
            return list(self._received)
