"""The local clouds that tests work in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from localcloud import LocalCloud

START = (12, 30)
"""The hour and minute (UTC) a test's cloud begins at: what fires before the night must not depend on when tests run."""


@contextmanager
def fresh_cloud() -> Iterator[LocalCloud]:
    """Start a local cloud in the middle of a day; problems it saw fail the test."""
    with LocalCloud() as cloud:
        cloud.clock.advance_to_hour(*START)
        yield cloud
