"""The instance metadata service, version 2: a token first, then a path below ``/latest/meta-data/``."""

from __future__ import annotations

import urllib.error
import urllib.request

from efs_backup.pure.errors import BackupError

_ENDPOINT = "http://169.254.169.254/latest"
_TOKEN_SECONDS = 21600
_TIMEOUT_SECONDS = 3.0
_TRIES = 3
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class MetadataError(BackupError):
    """The metadata service does not answer."""


class Metadata:
    """Reads the instance's metadata; the token is asked for once, and again when it is no longer taken."""

    def __init__(self, endpoint: str = _ENDPOINT) -> None:
        """Nothing is asked yet."""
        self._endpoint = endpoint
        self._token: str | None = None

    def get(self, path: str) -> str | None:
        """Return what is at a path, None if there is nothing; raise MetadataError if nobody answers."""
        problem: Exception | None = None
        for _ in range(_TRIES):
            try:
                return self._ask(f"{self._endpoint}/meta-data/{path}")
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
                if error.code == 401:
                    self._token = None
                problem = error
            except OSError as error:
                problem = error
        raise MetadataError(f"the instance metadata service does not answer at {path}: {problem}")

    def need(self, path: str) -> str:
        """Return what is at a path that every instance has."""
        found = self.get(path)
        if not found:
            raise MetadataError(f"the instance metadata service has nothing at {path}")
        return found

    def _ask(self, url: str) -> str:
        if self._token is None:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            self._token = _fetch(urllib.request.Request(f"{self._endpoint}/api/token", method="PUT", headers=headers))  # noqa: S310  always http
        return _fetch(urllib.request.Request(url, headers={"X-aws-ec2-metadata-token": self._token}))  # noqa: S310  as above


def _fetch(request: urllib.request.Request) -> str:
    with _NO_PROXY.open(request, timeout=_TIMEOUT_SECONDS) as answer:
        return str(answer.read().decode("utf-8", "replace"))
