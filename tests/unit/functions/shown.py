"""The widget's HTML, taken apart again; and the list of snapshots that the agent writes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from tests.unit.functions.test_links import ENVIRONMENT as LINKS
from tests.unit.functions.test_links import parameters as restore_parameters

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
ORCHESTRATOR = "arn:aws:lambda:us-east-1:123456789012:function:nightly"
ENVIRONMENT = LINKS | {"TABLE_NAME": "nightly", "ORCHESTRATOR_ARN": ORCHESTRATOR, "INTERVAL_TAG": "daily"}

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"
ALLOWED = {
    "div", "style", "span", "a", "cwdb-action", "b", "h3", "table", "thead", "tbody", "tr", "th", "td", "figure",
    "figcaption", "svg", "rect", "line", "circle", "path", "text", "title",
}  # fmt: skip


@dataclass
class Element:
    """An element of the widget, with all the text in it."""

    name: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Shown(HTMLParser):
    """The widget's HTML, taken apart as a browser does."""

    html: str
    elements: list[Element] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(Element(tag, {name: value or "" for name, value in attrs}))
        self.elements.append(self._open[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    @property
    def text(self) -> str:
        return self.all("div", "eb")[0].text

    def all(self, name: str, class_: str = "") -> list[Element]:
        return [e for e in self.elements if e.name == name and class_ in ("", *e.attributes.get("class", "").split())]

    @property
    def rows(self) -> list[str]:
        return [row.text for row in self.all("tr")]

    @property
    def restores(self) -> list[dict[str, str]]:
        links = [a.attributes["href"] for a in self.all("a") if a.text == "Restore…"]
        return [restore_parameters(link) for link in links]

    @property
    def actions(self) -> list[Element]:
        return self.all("cwdb-action")


def snapshot_list(*snapshots: dict[str, Any]) -> bytes:
    return json.dumps({"version": 1, "written": "2026-11-24T02:20:00Z", "snapshots": list(snapshots)}).encode()


def listed(number: int, **other: Any) -> dict[str, Any]:
    """A snapshot as the agent lists it: that of ``number`` nights ago."""
    night = datetime(2026, 11, 24, 2, 0, tzinfo=UTC) - timedelta(days=number)
    return {
        "number": number,
        "id": f"{night:%Y%m%dT%H%M%SZ}-6d8c7a",
        "started": f"{night:%Y-%m-%dT%H:%M:%SZ}",
        "finished": f"{night + timedelta(minutes=20):%Y-%m-%dT%H:%M:%SZ}",
        "complete": True,
        "files": 200000,
        "bytes": 9771050598,
        "seconds": 1200,
        "verified": None,
        "cost": None,
    } | other


def assert_harmless(shown: Shown) -> None:
    assert {e.name for e in shown.elements} <= ALLOWED
    for element in shown.elements:
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            assert name != "href" or value.startswith("https://")
            assert name != "style" or re.fullmatch(r"width:[0-9.]+%", value)
