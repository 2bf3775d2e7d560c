"""Who makes a call: access keys handed to functions and instances, and the role each stands for."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass

KEY_PREFIX = "ASIALOCALCLOUD"


@dataclass(frozen=True)
class Identity:
    """A holder of credentials: its role's ARN, a name for people, and how to end it at once."""

    role: str
    name: str
    kill: Callable[[], None]


@dataclass(frozen=True)
class Credentials:
    """What AWS hands to a function or an instance to sign its calls with."""

    access_key: str
    secret_key: str
    token: str


class Identities:
    """All credentials handed out. Thread-safe."""

    def __init__(self) -> None:
        """Start with none."""
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._by_key: dict[str, Identity] = {}

    def issue(self, identity: Identity) -> Credentials:
        """Return new credentials for ``identity``."""
        with self._lock:
            key = f"{KEY_PREFIX}{next(self._numbers):06d}"
            self._by_key[key] = identity
        return Credentials(key, "local-secret", "local-token")

    def find(self, access_key: str) -> Identity | None:
        """Return the holder of an access key, or None: the user, or the cloud itself."""
        return self._by_key.get(access_key)
