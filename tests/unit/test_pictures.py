"""The pictures of the documentation: those that are shown are there, and the two themes show the same."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
LINK = re.compile(r"\]\(((?!https?:|#)[^)#]+)[^)]*\)|(?:src|srcset)=\"((?!https?:)[^\"]+)\"")


def test_light_and_dark_are_one_drawing_in_two_sets_of_colours() -> None:
    light, dark = ((IMAGES / f"architecture-{name}.svg").read_text(encoding="utf-8") for name in ("light", "dark"))
    assert light != dark
    assert re.sub("#[0-9a-f]{6}", "", light) == re.sub("#[0-9a-f]{6}", "", dark)
    root = ElementTree.fromstring(light)
    assert root.get("role") == "img"
    assert not [e for e in root.iter() if e.tag.endswith(("script", "image", "foreignObject"))]


def test_every_picture_and_page_that_these_pages_link_to_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs" / f"{n}.md" for n in ("architecture", "cost", "dashboard"))):
        links = [one or other for one, other in LINK.findall(page.read_text(encoding="utf-8"))]
        assert links, page
        for link in links:
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_screenshots_are_small() -> None:
    for name in ("widget-light.png", "widget-dark.png"):
        assert 10_000 < (IMAGES / name).stat().st_size < 200_000
