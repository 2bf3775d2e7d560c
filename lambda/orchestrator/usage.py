"""Anonymous data about a finished backup: the fields of the guide's Appendix E, and none that names anything."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from collector import timestamp
from orchestrator.config import Settings
from orchestrator.state import Item

SOLUTION_ID = "SO0031"

FIELDS = (
    "BackupId",
    "BackupStatus",
    "BackupStartTime",
    "BackupStopTime",
    "BackupWindow",
    "SourceEfsSize",
    "DestinationEfsSize",
    "InstanceType",
    "IntervalTag",
    "RetainPeriod",
    "S3BucketSize",
    "SourceBurstCreditBalance",
    "SourceBurstCreditBalancePostBackup",
    "SourcePerformanceMode",
    "DestinationPerformanceMode",
    "NumberOfFiles",
    "NumberOfFilesTransferred",
    "TotalFileSize",
    "TotalTransferredFileSize",
    "CreateHardlinksStartTime",
    "CreateHardlinksStopTime",
    "RemoveSnapshotStartTime",
    "RemoveSnapshotStopTime",
    "RsyncDeleteStartTime",
    "RsyncDeleteStopTime",
)


def report(settings: Settings, item: Item, now: datetime) -> dict[str, Any]:
    """Given a finished backup's item, return what is sent about it."""
    data = {name: item[name] for name in FIELDS if name in item}
    return {
        "Solution": SOLUTION_ID,
        "UUID": settings.uuid,
        "TimeStamp": timestamp(now),
        "Data": data | {"Region": settings.region, "Version": settings.version},
    }
