"""From measurements to markdown: one table of what each step cost each tool, one of our night's calls by kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STEPS = {
    "first": "first backup",
    "night": "a night",
    "quiet": "a night without change",
    "restore": "restore of a directory",
    "remove": "removal of a snapshot",
}
_PARTIAL = {"listing": ("first", "night", "quiet"), "fpsync": ("first",)}
"""Tools that do not do every step."""
TOOLS = {
    "listing": "one listing of the source (the floor)",
    "ours": "**efs-backup**",
    "fpsync": "fpsync alone, one copy",
    "published": "the published solution's steps",
    "rsnapshot": "rsnapshot, link_dest",
    "restic": "restic (not browsable)",
    "borg": "borg (not browsable)",
}


@dataclass(frozen=True)
class Measure:
    """One step of one tool: virtual seconds and RPCs, in all and by operation."""

    tool: str
    step: str
    latency: int
    """Milliseconds there and back."""
    seconds: float
    rpcs: int
    operations: dict[str, int]


@dataclass(frozen=True)
class Scenario:
    """What was backed up: how many files, and the part of them that changes each night."""

    files: int
    rate: float

    def title(self) -> str:
        """Return the scenario in words."""
        change = f"{self.rate:.2%} changed, {self.rate / 2:.2%} added, {self.rate / 2:.2%} removed"
        return f"{self.files:,} files, each night {change}, {self.rate / 4:.3%} chmod"


def from_record(tool: str, record: dict[str, Any]) -> tuple[Scenario, Measure]:
    """Return what one line of a guest's measures.jsonl measured; its label is 'STEP LATENCYms FILES RATE'."""
    step, latency, files, rate = record["label"].split()
    seconds, rpcs, operations = record["seconds"], record["rpcs"], record["operations"]
    measure = Measure(tool, step, int(latency.removesuffix("ms")), seconds, rpcs, operations)
    return Scenario(int(files), float(rate)), measure


def markdown(scenario: Scenario, measures: Sequence[Measure]) -> str:
    """Return a scenario's tables, one for each latency, and the operations of our night where it was measured."""
    parts = [f"## {scenario.title()}"]
    for latency in sorted({measure.latency for measure in measures}):
        chosen = [measure for measure in measures if measure.latency == latency]
        parts += [f"### {latency} ms there and back", _costs(chosen)]
        parts += [_operations(measure) for measure in chosen if (measure.tool, measure.step) == ("ours", "night")]
    return "\n\n".join(parts) + "\n"


def _costs(measures: Sequence[Measure]) -> str:
    """Return one latency's table: a row for each tool, RPCs and seconds and their ratio to ours in the cells."""
    by_key = {(measure.tool, measure.step): measure for measure in measures}
    lines = ["| | " + " | ".join(STEPS.values()) + " |", "|---" * (len(STEPS) + 1) + "|"]
    for tool, name in TOOLS.items():
        if any(measure.tool == tool for measure in measures):
            cells = [_cell(by_key.get((tool, step)), by_key.get(("ours", step))) for step in STEPS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(measure: Measure | None, ours: Measure | None) -> str:
    """Return 'RPCs, seconds', with how many times ours that is behind each; a dash for what a tool does not do."""
    if measure is None or measure.step not in _PARTIAL.get(measure.tool, STEPS):
        return "-"
    if ours is None or measure.tool in ("ours", "listing"):
        return f"{measure.rpcs:,} RPCs, {measure.seconds:.1f} s"
    return (
        f"{measure.rpcs:,} RPCs ({_times(measure.rpcs, ours.rpcs)}), "
        f"{measure.seconds:.1f} s ({_times(measure.seconds, ours.seconds)})"
    )


def _times(value: float, unit: float) -> str:
    """Return how many times `unit` the value is."""
    return f"{value / unit:.1f}x" if unit else "-"


def _operations(measure: Measure) -> str:
    """Return one measure's calls by kind, the most frequent first."""
    counts = sorted(measure.operations.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name.upper()} {count:,}" for name, count in counts)
    return f"Our night's {measure.rpcs:,} RPCs: {listed}."
