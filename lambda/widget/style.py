"""Colours and measures of the widget, for the light and the dark theme of the console. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from string import Template


@dataclass(frozen=True)
class Palette:
    """The colours of a theme."""

    page: str
    panel: str
    line: str
    text: str
    quiet: str
    accent: str
    on_accent: str
    bar: str
    good: str
    warning: str
    bad: str
    neutral: str


LIGHT = Palette(
    page="#ffffff", panel="#f6f8fa", line="#dfe4ea", text="#10161e", quiet="#566272", accent="#0b62c4",
    on_accent="#ffffff", bar="#5b9bdd", good="#16793a", warning="#9a5b00", bad="#c3232f", neutral="#566272",
)  # fmt: skip
DARK = Palette(
    page="#161d26", panel="#1e2733", line="#34404f", text="#e8edf3", quiet="#9fb0c3", accent="#6cb2ff",
    on_accent="#0c131b", bar="#3f7fc4", good="#4cc27a", warning="#f0b04a", bad="#ff7a80", neutral="#9fb0c3",
)  # fmt: skip

_SHEET = Template("""
.eb { background: $page; color: $text; font: 14px/1.45 "Amazon Ember", "Helvetica Neue", Roboto, Arial, sans-serif;
  padding: 4px 6px 12px; box-sizing: border-box; min-width: 0; }
.eb * { box-sizing: border-box; }
.eb a { color: $accent; text-decoration: none; }
.eb a:hover { text-decoration: underline; }
.eb h3 { font-size: 14px; font-weight: 700; margin: 20px 0 8px; }
.eb-head { display: flex; flex-wrap: wrap; align-items: center; gap: 12px; border: 1px solid $line;
  border-radius: 10px; background: $panel; padding: 14px 16px; }
.eb-mark { flex: none; width: 36px; height: 36px; }
.eb-words { flex: 1 1 260px; }
.eb-title { font-size: 19px; font-weight: 700; line-height: 1.25; }
.eb-quiet { color: $quiet; }
.eb a.eb-button { display: inline-block; cursor: pointer; border: 1px solid $accent; border-radius: 18px;
  padding: 6px 18px; font-weight: 700; color: $accent; white-space: nowrap; }
.eb a.eb-button:hover { text-decoration: none; background: $line; }
.eb a.eb-primary { background: $accent; color: $on_accent; }
.eb a.eb-primary:hover { background: $accent; filter: brightness(1.12); }
.eb cwdb-action { display: none; }
.eb-note { border-left: 4px solid $warning; background: $panel; border-radius: 4px; padding: 8px 12px;
  margin-top: 10px; }
.eb-progress { margin-top: 10px; border: 1px solid $line; border-radius: 10px; padding: 12px 16px; }
.eb-track { height: 8px; border-radius: 4px; background: $line; margin: 8px 0 6px; overflow: hidden; }
.eb-track div { height: 8px; border-radius: 4px; background: $accent; }
.eb-facts { display: flex; flex-wrap: wrap; gap: 10px; margin-top: 10px; }
.eb-fact { flex: 1 1 130px; border: 1px solid $line; border-radius: 10px; padding: 10px 14px; }
.eb-fact b { display: block; font-size: 17px; line-height: 1.3; }
.eb-fact span { color: $quiet; font-size: 12px; }
.eb-charts { display: flex; flex-wrap: wrap; gap: 10px; }
.eb-chart { flex: 1 1 280px; min-width: 0; border: 1px solid $line; border-radius: 10px; padding: 10px 14px 6px;
  margin: 0; }
.eb-chart figcaption { font-size: 12px; color: $quiet; }
.eb-chart svg { display: block; width: 100%; height: auto; }
.eb-scroll { overflow-x: auto; }
.eb table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.eb th { text-align: left; font-size: 12px; font-weight: 600; color: $quiet; border-bottom: 1px solid $line;
  padding: 4px 10px 6px; white-space: nowrap; }
.eb td { border-bottom: 1px solid $line; padding: 7px 10px; white-space: nowrap; vertical-align: middle; }
.eb tr:hover td { background: $panel; }
.eb .eb-number { text-align: right; }
.eb-id { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, monospace; color: $quiet; }
.eb-pill { display: inline-block; border: 1px solid currentColor; border-radius: 10px; padding: 0 9px; font-size: 12px;
  font-weight: 600; line-height: 19px; }
.eb-good { color: $good; }
.eb-warning { color: $warning; }
.eb-bad { color: $bad; }
.eb-neutral { color: $neutral; }
.eb-bar { fill: $bar; }
.eb-bar-bad { fill: $bad; }
.eb-axis { stroke: $line; stroke-width: 1; }
.eb-scale { fill: $quiet; font: 10px "Amazon Ember", "Helvetica Neue", Roboto, Arial, sans-serif; }
""")


def sheet(theme: str) -> str:
    """Return the style sheet for a theme of the console: dark, or else light."""
    return _SHEET.substitute(asdict(DARK if theme == "dark" else LIGHT))
