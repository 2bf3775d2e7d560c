"""The custom resource that gives a new stack's alarm its first data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from custom_resource import Event, Result
from solution_helper.clients import client

HOURS_BACK = 3
"""As many as the alarm looks at."""


def start_overdue(event: Event) -> Result:
    """Custom::OverdueStart: on Create, says that nothing is overdue, nor was in the hours before."""
    properties = event["ResourceProperties"]
    if event["RequestType"] == "Create":
        now = datetime.now(UTC)
        client("cloudwatch").put_metric_data(
            Namespace=properties["Namespace"],
            MetricData=[
                {
                    "MetricName": properties["MetricName"],
                    "Dimensions": [{"Name": "StackName", "Value": properties["StackName"]}],
                    "Timestamp": now - timedelta(hours=hours),
                    "Value": 0.0,
                    "Unit": "None",
                }
                for hours in range(HOURS_BACK + 1)
            ],
        )
    return Result(event.get("PhysicalResourceId") or f"overdue-start-{event['RequestId']}")
