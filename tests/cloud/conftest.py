from collections.abc import Iterator

import pytest
from localcloud import LocalCloud


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    """A fresh local cloud; problems it saw fail the test."""
    with LocalCloud() as running:
        yield running


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[LocalCloud]:
    """A local cloud for several tests that do not disturb each other."""
    with LocalCloud() as running:
        yield running
