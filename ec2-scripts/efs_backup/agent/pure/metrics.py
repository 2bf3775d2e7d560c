"""What is published to Amazon CloudWatch (docs/dashboard.md): names, units, and from what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from efs_backup.agent.pure.outcome import SUCCESS

NAMESPACE = "EFS-Backup"
DIMENSION = "StackName"


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of a metric."""

    name: str
    unit: str
    value: float


def progress_metrics(progress: Mapping[str, Any]) -> list[Metric]:
    """Given the engine's progress, return the metrics of the phase that runs."""
    metrics = [
        Metric("ProgressFiles", "Count", progress["files"]),
        Metric("ProgressBytes", "Bytes", progress["bytes"]),
    ]
    if expected := progress["files_expected"]:
        # A source that has grown since the last snapshot has more than was expected.
        metrics.append(Metric("ProgressPercent", "Percent", min(100.0, 100.0 * progress["files"] / expected)))
    return metrics


def end_metrics(status: str, seconds: float, report: Mapping[str, Any] | None) -> list[Metric]:
    """Given how a run ended, how long it took and the engine's report, return the metrics of its end."""
    metrics = [
        Metric("Success", "Count", 1 if status == SUCCESS else 0),
        Metric("Duration", "Seconds", max(0.0, seconds)),
    ]
    named = (
        ("Files", "Count", "files"), ("Bytes", "Bytes", "bytes"),
        ("FilesTransferred", "Count", "files_transferred"), ("BytesTransferred", "Bytes", "bytes_transferred"),
    )  # fmt: skip
    # A restore's report has no totals, and gets no metrics of them.
    return metrics + [Metric(name, unit, report[key]) for name, unit, key in named if report and key in report]
