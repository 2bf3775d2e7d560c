from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest
from localcloud import LocalCloud
from localcloud.solution import BackupStack, Edit, Release, Solution
from tests.cloud.clouds import fresh_cloud
from tests.support.release import Built


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    """A fresh local cloud; problems it saw fail the test."""
    with fresh_cloud() as running:
        yield running


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[LocalCloud]:
    """A local cloud for several tests that do not disturb each other."""
    with fresh_cloud() as running:
        yield running


@pytest.fixture(scope="session")
def release(built: Built) -> Release:
    """The release as `make release` builds it."""
    return Release.read(built.directory)


@pytest.fixture(scope="module")
def solution(release: Release) -> Iterator[Solution]:
    """The release in a local cloud that the scenarios of a module share, one stack after the other."""
    with fresh_cloud() as running:
        yield Solution(running, release)


class Deploy(Protocol):
    """Deploys a backup stack with these parameters and a source of its own.

    Its function looks after it every hour only if that is asked for: most scenarios let many hours pass.
    """

    def __call__(
        self, *, name: str = ..., edit: Edit | None = ..., hourly: bool = ..., **parameters: str
    ) -> BackupStack: ...


@pytest.fixture
def deploy(solution: Solution) -> Iterator[Deploy]:
    """Deploys backup stacks; when the test is over they go, with whatever it made go wrong."""
    cloud, made = solution.cloud, []

    def backup_stack(
        *, name: str = "nightly", edit: Edit | None = None, hourly: bool = False, **parameters: str
    ) -> BackupStack:
        source = solution.make_file_system(f"source-{name}-{cloud.clock.now()}")
        stack = solution.deploy_backup({"SrcEFS": source} | parameters, name, edit)
        made.append(stack)
        stack.check(hourly=hourly)
        return stack

    yield backup_stack
    cloud.clear_faults()
    cloud.collector("accept")
    cloud.packages("mount.efs", "mount.nfs4", "mount.nfs")
    for stack in made:
        if stack.exists:
            cloud.delete(stack.stack)
    problems = cloud.problems
    cloud.control("clear-problems")
    assert problems == []


@pytest.fixture
def backups(deploy: Deploy) -> BackupStack:
    """A backup stack with the default parameters."""
    return deploy()
