"""The tests on real NFSv4.1: scripts run in turn in one virtual machine, each verdict reported as it falls."""

from dataclasses import dataclass, field
from pathlib import Path

from lab import host, image, machine, work

TESTS = work.GUEST / "tests"
SHORT_MARK = "# short:"
"""A test with a line that begins with this belongs to the short run; the rest of the line says why."""


@dataclass
class Report:
    """The verdicts so far; a test of which nothing was heard has failed."""

    names: list[str]
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def hear(self, event: str) -> None:
        """Take in one line of the guest: 'pass NAME SECONDS' or 'fail NAME SECONDS REASON'; others are passed on."""
        verdict, _, rest = event.partition(" ")
        name = rest.partition(" ")[0]
        if verdict in ("pass", "fail") and name in self.names:
            (self.passed if verdict == "pass" else self.failed).append(name)
        host.say(event)

    def close(self) -> str:
        """Return the closing line; what never reported is counted as failed."""
        for name in self.names:
            if name not in self.passed and name not in self.failed:
                self.hear(f"fail {name} 0 not run, or never ended")
        return f"{len(self.passed)} passed, {len(self.failed)} failed"


def names(short: bool, chosen: list[str]) -> list[str]:
    """Return the tests to run, in order; LabError names one that does not exist."""
    present = {path.stem: path for path in sorted(TESTS.glob("*.sh"))}
    for name in chosen:
        if name not in present:
            raise host.LabError(f"no test is called {name!r}; there are: {', '.join(present)}")
    return [
        name
        for name, path in present.items()
        if (not chosen or name in chosen) and (not short or f"\n{SHORT_MARK}" in path.read_text())
    ]


def run(short: bool, chosen: list[str], clock: machine.Clock, results: Path, limit: float) -> bool:
    """Run the tests; return whether all passed. Their logs are in `results` afterwards."""
    report = Report(names(short, chosen))
    script = "#!/bin/bash\nexec /job/lab/suite.sh " + " ".join(report.names) + "\n"
    outcome = machine.run(image.ensure(), clock, script, results, work.product(), limit, report.hear)
    closing = report.close()
    if report.failed:
        host.say(f"lab: logs are in {results}")
    host.say(f"lab: {outcome.real_seconds:.0f} s in the virtual machine")
    host.say(closing)
    return not report.failed and outcome.status == 0
