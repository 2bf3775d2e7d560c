"""The user guide's tables of parameters say what the templates have; its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.templates.reading import BACKUP, RESTORE, template

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "guide.md").read_text(encoding="utf-8")
PAGES = sorted([*DOCS.glob("*.md"), DOCS.parent / "README.md"])


def table(name: str) -> dict[str, tuple[str, str]]:
    """Return id -> (label, default) as the guide has them, in its order; "" is no default."""
    text = GUIDE.split(f"<!-- parameters: {name} -->")[1].split("<!-- end of the parameters -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.strip().splitlines()[2:]]
    return {id_.strip("`"): (label, default.strip("`")) for label, id_, default, _ in rows}


@pytest.mark.parametrize("path", [BACKUP, RESTORE], ids=["backup", "restore"])
def test_the_guide_has_every_parameter_with_its_label_and_default_in_the_console_s_order(path: Path) -> None:
    body: dict[str, Any] = template(path)
    console = body["Metadata"]["AWS::CloudFormation::Interface"]
    order = [name for group in console["ParameterGroups"] for name in group["Parameters"]]

    def default(name: str) -> str:
        parameter = body["Parameters"][name]
        if "Default" not in parameter:
            return "*required*"
        return str(parameter["Default"]) or "none"

    wanted = {name: (console["ParameterLabels"][name]["default"], default(name)) for name in order}
    assert table(path.stem) == wanted
    assert list(table(path.stem)) == order
    assert set(order) == set(body["Parameters"])


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name} links to {target}; there are {sorted(anchors(there))}"
