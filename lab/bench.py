"""The benchmark: each tool through the same nights, in virtual time, on real NFSv4.1 with latency."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import fit, host, image, machine, table, work

REAL_SECONDS_LIMIT = 4 * 3600
"""A tool's run is stopped after this; 20,000 files at two latencies take the slowest about an hour."""


@dataclass(frozen=True)
class Plan:
    """What to measure. `nights` pass before the measured one; `workers` None leaves each tool its default.

    `trace` asks which system calls the RPCs come from; the seconds are then not worth reading.
    """

    tools: Sequence[str]
    scenarios: Sequence[table.Scenario]
    latencies: Sequence[int]
    nights: int
    retain: int
    workers: int | None
    clock: machine.Clock
    steps: Sequence[str]
    trace: bool


def guest_script(plan: Plan, tool: str) -> str:
    """Return the script that measures one tool in the virtual machine."""
    settings = {
        "TOOL": tool,
        "SCENARIOS": f"'{' '.join(f'{one.files}:{one.rate}' for one in plan.scenarios)}'",
        "NIGHTS": plan.nights,
        "RETAIN": plan.retain,
        "LATENCIES": f"'{' '.join(map(str, plan.latencies))}'",
        "STEPS": f"'{' '.join(plan.steps)}'",
        "WORKERS": plan.workers or "",
        "TRACE": "yes" if plan.trace else "",
    }
    exports = "\n".join(f"export {name}={value}" for name, value in settings.items())
    return f"#!/bin/bash\n{exports}\nexec /job/lab/bench.sh\n"


def run(plan: Plan, output: Path) -> int:
    """Measure as planned; write results.json and table.md into `output` after each tool. Return how many failed."""
    output.mkdir(parents=True, exist_ok=True)
    failed = 0
    measures: dict[table.Scenario, list[table.Measure]] = {scenario: [] for scenario in plan.scenarios}
    for tool in plan.tools:
        whole, found = _measure(plan, tool, output / tool)
        failed += not whole
        for scenario, measure in found:
            measures[scenario].append(measure)
        page = _write(plan, measures, output)
    host.say(page)
    return failed


def _write(plan: Plan, measures: Mapping[table.Scenario, list[table.Measure]], output: Path) -> str:
    """Write what has been measured so far as JSON and as tables; return the tables."""
    documents = [
        asdict(scenario) | {"measures": [asdict(one) for one in found]} for scenario, found in measures.items()
    ]
    nights = fit.nights(measures, plan.latencies[0], plan.retain)
    parts = [preamble(plan), *(table.markdown(scenario, found) for scenario, found in measures.items())]
    page = "\n".join([*parts, *([fit.markdown(nights)] if len(nights) >= fit.FEWEST else [])])
    (output / "results.json").write_text(json.dumps(documents, indent=1) + "\n")
    (output / "table.md").write_text(page)
    return page


def preamble(plan: Plan) -> str:
    """Return what a reader of the tables must know."""
    clock = "virtual seconds" if plan.clock is machine.Clock.VIRTUAL else "seconds on two emulated processors"
    return (
        f"# Cost on NFSv4.1\n\nWhole commands with cold client caches, {plan.retain} snapshots kept, "
        f"{plan.nights} nights before the measured one; RPCs and {clock}. "
        "Nights of restic and borg are the backup alone; of the others, the removal of the expired snapshot too.\n"
    )


def _measure(plan: Plan, tool: str, results: Path) -> tuple[bool, list[tuple[table.Scenario, table.Measure]]]:
    """Run one tool in a virtual machine of its own; return whether every step succeeded, and those that did."""
    host.say(f"bench: {tool}")
    entries = work.product() if tool == "ours" else {}
    script = guest_script(plan, tool)
    limit = REAL_SECONDS_LIMIT
    outcome = machine.run(
        image.ensure(), plan.clock, script, results, entries, limit, lambda line: host.say(f"  {line}")
    )
    if outcome.status != 0:
        host.say(f"bench: {tool} failed (status {outcome.status}); see {results}")
    lines = results / "measures.jsonl"
    records = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    return outcome.status == 0, [table.from_record(tool, record) for record in records if record["status"] == 0]
