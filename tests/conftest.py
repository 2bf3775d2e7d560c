"""What all tests may use: a pair of file systems to back up from and to, and the profiles of Hypothesis."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.command import Pair
from tests.support.filesystems import ext4, is_root, tmpfs, two_file_systems
from tests.support.history import History
from tests.support.release import Built, build_release

_slow = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)
settings.register_profile("default", max_examples=25, deadline=None, suppress_health_check=_slow, print_blob=True)
settings.register_profile("deep", max_examples=400, deadline=None, suppress_health_check=_slow, print_blob=True)
settings.register_profile(
    "quick", max_examples=5, deadline=None, suppress_health_check=_slow, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def _need_root() -> None:
    if not is_root():
        pytest.skip("mounting file systems and changing owners takes root")


@pytest.fixture
def pair() -> Iterator[Pair]:
    """An empty source and an empty backup directory, each on a tmpfs of its own."""
    _need_root()
    with two_file_systems("size=512m", "size=512m") as (source, backup):
        yield Pair(source, backup)


@pytest.fixture
def history(pair: Pair) -> History:
    """The same, with a memory of what each snapshot was when it was published."""
    return History(pair)


@pytest.fixture
def ext4_pair(tmp_path: os.PathLike[str]) -> Iterator[Pair]:
    """A pair on ext4, which has what tmpfs has not: late allocation, times in inodes, lost+found."""
    _need_root()
    top = os.fspath(tmp_path)
    with ext4(f"{top}/s", f"{top}/s.img", 64) as source, ext4(f"{top}/b", f"{top}/b.img", 96) as backup:
        yield Pair(source, backup)


@pytest.fixture
def scratch() -> Iterator[str]:
    """One more tmpfs, for what must be outside of source and backup."""
    _need_root()
    with two_file_systems() as (first, _):
        yield first


@pytest.fixture
def small_backup() -> Iterator[Pair]:
    """A pair whose backup file system has 4 MB and 600 inodes."""
    _need_root()
    with two_file_systems("size=64m", "size=4m,nr_inodes=600") as (source, backup):
        yield Pair(source, backup)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A release, for all tests that only read it."""
    return build_release(tmp_path_factory.mktemp("release") / "release")


__all__ = ["built", "ext4_pair", "history", "pair", "scratch", "small_backup", "tmpfs"]
