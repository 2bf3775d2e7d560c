"""Anonymous data about a restore: none of it names anything. A backup's is sent by the orchestrator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from efs_backup.agent.pure.restoring import RestoreOutcome
from efs_backup.agent.pure.settings import RestoreSettings
from efs_backup.agent.pure.times import timestamp

SOLUTION_ID = "SO0031R"


def restore_usage(
    settings: RestoreSettings, outcome: RestoreOutcome, instance_type: str, began: float, ended: float
) -> dict[str, Any]:
    """Given a restore that has ended, return what is sent about it."""
    report = outcome.report or {}
    counts = {
        "NumberOfFilesTransferred": report.get("files_transferred"),
        "TotalTransferredFileSize": report.get("bytes_transferred"),
    }
    return {
        "Solution": SOLUTION_ID,
        "UUID": settings.uuid,
        "TimeStamp": datetime.fromtimestamp(ended, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        "Data": {
            "EventType": "Restore",
            "RestoreStatus": outcome.status,
            "RestoreStartTime": timestamp(began),
            "RestoreStopTime": timestamp(ended),
            "InstanceType": instance_type,
            "IntervalTag": settings.interval,
            "Region": settings.region,
            "Version": settings.version,
            **{name: value for name, value in counts.items() if value is not None},
        },
    }
