"""What our nights cost as a sum: so much for each directory, for each one touched, for each name that is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.guest import tree
from lab.table import Measure, Scenario

FEWEST = 5
"""Four unknowns need at least one measured night more to be tried on."""
_TERMS = ("a run", "each directory", "each directory with changes since the spare", "each name changed since the spare")


@dataclass(frozen=True)
class Night:
    """One measured night: how much of each term it had, and its RPCs."""

    scenario: Scenario
    terms: tuple[float, ...]
    rpcs: int


def nights(measures: Mapping[Scenario, Sequence[Measure]], latency: int, retain: int) -> list[Night]:
    """Return our nights among the measures, at one latency."""
    return [
        Night(scenario, terms(scenario, retain), measure.rpcs)
        for scenario, found in measures.items()
        for measure in found
        if (measure.tool, measure.step, measure.latency) == ("ours", "night", latency)
    ]


def terms(scenario: Scenario, retain: int) -> tuple[float, ...]:
    """Return 1, the directories, how many of them are likely to have changed in the `retain` + 1 nights since the spare
    was the newest snapshot, and how many names have.
    """
    directories = len(tree.directories(scenario.files))
    changed = sum(tree.changes(scenario.files, scenario.rate)) * (retain + 1)
    return 1.0, float(directories), directories * (1 - (1 - 1 / directories) ** changed), float(changed)


def solve(measured: Sequence[Night]) -> list[float]:
    """Return the cost of each term by least squares: the normal equations, by elimination."""
    size = len(_TERMS)
    rows = [
        [sum(n.terms[i] * n.terms[j] for n in measured) for j in range(size)]
        + [sum(n.terms[i] * n.rpcs for n in measured)]
        for i in range(size)
    ]
    for i in range(size):
        pivot = max(range(i, size), key=lambda row: abs(rows[row][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for other in range(size):
            if other != i:
                factor = rows[other][i] / rows[i][i]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[i], strict=True)]
    return [rows[i][size] / rows[i][i] for i in range(size)]


def markdown(measured: Sequence[Night]) -> str:
    """Return the fit as text: what each term costs, and for each night what the sum says beside what was measured."""
    costs = solve(measured)
    said = ", ".join(f"{cost:.1f} for {term}" for cost, term in zip(costs, _TERMS, strict=True))
    lines = [f"## What a night of ours costs\n\nRPCs, fitted over {len(measured)} nights: {said}.\n"]
    lines += ["| files | changed a night | measured | the sum |", "|---|---|---|---|"]
    for night in measured:
        fitted = sum(cost * term for cost, term in zip(costs, night.terms, strict=True))
        lines.append(
            f"| {night.scenario.files:,} | {night.scenario.rate:.2%} | {night.rpcs:,} | {fitted:,.0f} "
            f"({fitted / night.rpcs - 1:+.1%}) |"
        )
    return "\n".join(lines) + "\n"
