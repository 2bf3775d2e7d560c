"""Sizes and metrics at the start of a backup, as far as they can be had."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.aws import Aws
from orchestrator.config import Settings

FIVE_MINUTES, DAY = 300, 86400


def backup_sizes(settings: Settings, aws: Aws, now: datetime) -> dict[str, Any]:
    """Return the attributes of a backup's item that are measured at its start. What cannot be had is left out."""
    sizes: dict[str, Any] = {}
    for side, file_system in (("Source", settings.source_efs), ("Destination", settings.backup_efs)):
        if known := aws.size_and_mode(file_system):
            sizes[f"{side}EfsSize"], sizes[f"{side}PerformanceMode"] = known
    measured = aws.metrics(metric_queries(settings), now)
    return sizes | {name[0].upper() + name[1:]: value for name, value in measured.items()}


def metric_queries(settings: Settings) -> list[dict[str, Any]]:
    """Return the metrics that a backup's item records; ids are the attributes' names with a small first letter.

    Units are bytes, and bytes a second for the permitted throughput (Amazon EFS user guide, "CloudWatch metrics").
    The size of a bucket is measured once a day.
    """
    source = {"FileSystemId": settings.source_efs}
    bucket = {"BucketName": settings.log_bucket, "StorageType": "StandardStorage"}
    return [
        _query("sourceBurstCreditBalance", "AWS/EFS", "BurstCreditBalance", source, FIVE_MINUTES),
        _query("sourcePermittedThroughput", "AWS/EFS", "PermittedThroughput", source, FIVE_MINUTES),
        _query("s3BucketSize", "AWS/S3", "BucketSizeBytes", bucket, DAY),
    ]


def _query(query_id: str, namespace: str, metric: str, dimensions: dict[str, str], period: int) -> dict[str, Any]:
    return {
        "Id": query_id,
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            },
            "Period": period,
            "Stat": "Average",
        },
    }
