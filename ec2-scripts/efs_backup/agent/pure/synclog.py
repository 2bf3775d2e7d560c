"""The synchronization log in the form of the guide's figures 4 and 5, whatever version of fpsync wrote it.

Today's fpsync says the same in other words (``Run ID`` for the job's name, three ``=`` for four), and on most nights
it is not needed at all: the engine copies what has changed by itself. The log always reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_RUN_ID = re.compile(r"Run ID: (\S+)|Resuming run: (\S+)")
_PARTS = re.compile(r"Parts done: (\d+)/(\d+)")
_GENERATED = re.compile(r"Generated (\d+) parts")
_PREPARED = re.compile(r"Successfully prepared run")
_ENDED = re.compile(r"Fpsync completed with(out)? error")


def synchronization_log(said: str, report: Mapping[str, Any] | None, job: str) -> str:
    """Given what fpsync said (nothing, if it was not needed) and the engine's report, return the log.

    Without a report the run did not come to its end, and the log ends where the guide's figure of an incomplete
    synchronization does. ``job`` names the run where fpsync gave it no name.
    """
    lines = [f"====> Job name: {_job_name(said) or job}", "====> Analyzing filesystem..."]
    if said:
        lines += _fpsync_lines(said)
    elif report is not None:
        lines += _engine_lines(report)
    if report is not None:
        lines += ["", _summary(report)]
    if said:
        lines += ["", "What fpsync and rsync said:", "", said.rstrip()]
    return "\n".join(lines) + "\n"


def _job_name(said: str) -> str | None:
    found = _RUN_ID.search(said)
    return next((name for name in found.groups() if name), None) if found else None


def _fpsync_lines(said: str) -> list[str]:
    """The last state of the parts, and the verdict of the transfer.

    Where the parts were prepared first, that has a verdict of its own, and says how many they are: a run that is
    resumed says 0.
    """
    parts, verdicts = _PARTS.findall(said), _ENDED.findall(said)[len(_PREPARED.findall(said)) :]
    generated = [int(number) for number in _GENERATED.findall(said)]
    done = int(parts[-1][0]) if parts else 0
    total = max([*generated, *(int(number) for _, number in parts)], default=0)
    if not verdicts and not (parts and done == total):
        return []
    percent = 100 * done // total if total else 100
    lines = [
        "====> Waiting for sync jobs to complete...",
        f"<==== Parts done: {done}/{total} ({percent}%), remaining: {total - done}",
    ]
    if verdicts:
        lines.append(f"<==== Fpsync completed {'without error.' if verdicts[-1] else 'with error, see below.'}")
    return lines


def _engine_lines(report: Mapping[str, Any]) -> list[str]:
    return [
        "====> Waiting for sync jobs to complete...",
        f"      (no bulk to move: the engine copied {report['files_transferred']} files itself)",
        "<==== Parts done: 1/1 (100%), remaining: 0",
        "<==== Fpsync completed without error.",
    ]


def _summary(report: Mapping[str, Any]) -> str:
    counts = {name: value for name, value in report.items() if isinstance(value, int) and not isinstance(value, bool)}
    return "\n".join([f"Result: {report['outcome']}", *(f"{name}: {value}" for name, value in counts.items())])
