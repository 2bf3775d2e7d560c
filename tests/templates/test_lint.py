"""cfn-lint has nothing to say about the sources, nor about a release in any region."""

from __future__ import annotations

from pathlib import Path

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from tests.templates.reading import BACKUP, RESTORE, released
from tests.templates.test_regions import sizes

both = pytest.mark.parametrize("path", [BACKUP, RESTORE], ids=["backup", "restore"])


@both
def test_the_source_is_clean(path: Path) -> None:
    assert lint(path.read_text(encoding="utf-8"), config=ManualArgs(regions=["us-east-1"])) == []


@pytest.mark.slow
@both
def test_a_release_is_clean_in_every_region_without_an_exemption(path: Path) -> None:
    text = released(path).replace("ignore_checks: [W1031]", "ignore_checks: []")
    assert lint(text, config=ManualArgs(regions=sorted(sizes(path)))) == []


@both
def test_the_tokens_are_only_those_the_release_fills_in(path: Path) -> None:
    assert "%%" not in released(path)


@both
def test_a_release_is_small_enough_for_cloudformation(path: Path) -> None:
    assert len(released(path).encode()) < 1_000_000
