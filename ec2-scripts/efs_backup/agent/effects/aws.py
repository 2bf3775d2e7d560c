"""The AWS calls of the agent, each a method that says what it means here. The only module that makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from efs_backup.agent.pure.metrics import DIMENSION, NAMESPACE, Metric
from efs_backup.agent.pure.mounting import MountTarget
from efs_backup.pure.errors import BackupError

_PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=5, read_timeout=15)
_HASTY = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=2, read_timeout=4)
"""For what a run can do without: progress, burst credits."""

Item = dict[str, Any]


class AwsError(BackupError):
    """A call failed, also when it was tried again."""


class RefusedError(AwsError):
    """A conditional write was refused: the item is not what it was thought to be."""


class Aws:
    """The services that the instance talks to, in one region."""

    def __init__(self, region: str) -> None:
        """Nothing is called yet."""
        self._session = boto3.session.Session(region_name=region)
        self._session.events.register("before-send.*.*", self._count)
        self.requests = 0
        """How many requests have been sent, for the estimate of the cost."""

    # ---- the table

    def read(self, table: str, key: str) -> Item | None:
        """Return the item with this key as it is now, None if there is none."""
        with _explained(f"reading {key} in the table {table}"):
            reply = self._dynamodb.get_item(TableName=table, Key=_packed({"BackupId": key}), ConsistentRead=True)
        return _unpacked(reply["Item"]) if "Item" in reply else None

    def update(
        self, table: str, key: str, change: str, condition: str, values: Mapping[str, Any], hasty: bool = False
    ) -> None:
        """Change an item; raise RefusedError if the condition does not hold."""
        client = self._hasty_dynamodb if hasty else self._dynamodb
        with _explained(f"writing {key} in the table {table}"):
            client.update_item(
                TableName=table, Key=_packed({"BackupId": key}), UpdateExpression=change,
                ConditionExpression=condition, **({"ExpressionAttributeValues": _packed(values)} if values else {}),
            )  # fmt: skip

    # ---- the group

    def empty_group(self, group: str) -> None:
        """Set the desired capacity of the group to 0."""
        with _explained(f"setting the capacity of {group}"):
            self._autoscaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0, HonorCooldown=False)

    def complete_hook(self, group: str, hook: str, instance: str, token: str | None = None) -> None:
        """Let the instance that waits in the hook go."""
        with _explained(f"completing the hook {hook}"):
            self._autoscaling.complete_lifecycle_action(
                AutoScalingGroupName=group, LifecycleHookName=hook, InstanceId=instance,
                LifecycleActionResult="CONTINUE", **({"LifecycleActionToken": token} if token else {}),
            )  # fmt: skip

    # ---- what else a run needs

    def mount_targets(self, file_system: str) -> list[MountTarget]:
        """Return the mount targets of a file system that are ready."""
        with _explained(f"listing the mount targets of {file_system}"):
            found = self._efs.describe_mount_targets(FileSystemId=file_system)["MountTargets"]
        return [
            MountTarget(target["IpAddress"], target.get("AvailabilityZoneName", ""))
            for target in found
            if target.get("LifeCycleState") == "available"
        ]

    def burst_credits(self, file_system: str, now: float) -> int | None:
        """Return the newest burst credit balance of a file system in bytes, None if there is none."""
        end = datetime.fromtimestamp(now, UTC)
        metric = {
            "Namespace": "AWS/EFS", "MetricName": "BurstCreditBalance",
            "Dimensions": [{"Name": "FileSystemId", "Value": file_system}],
        }  # fmt: skip
        query = {"Id": "credits", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Average"}}
        with _explained(f"reading the burst credits of {file_system}"):
            reply = self._cloudwatch.get_metric_data(
                MetricDataQueries=[query], StartTime=end - timedelta(hours=3), EndTime=end, ScanBy="TimestampDescending"
            )
        values = reply["MetricDataResults"][0]["Values"] if reply["MetricDataResults"] else []
        return int(values[0]) if values else None

    def put_log(self, bucket: str, key: str, path: str) -> None:
        """Upload a file."""
        with _explained(f"uploading {key} to the bucket {bucket}"):
            self._s3.upload_file(path, bucket, key, ExtraArgs={"ContentType": "text/plain; charset=utf-8"})

    def put_json(self, bucket: str, key: str, document: Mapping[str, Any]) -> None:
        """Write a document into the bucket."""
        with _explained(f"writing {key} to the bucket {bucket}"):
            self._s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(document), ContentType="application/json")

    def put_metrics(self, stack: str, metrics: Sequence[Metric]) -> None:
        """Publish metrics of now, under the stack's name."""
        dimensions = [{"Name": DIMENSION, "Value": stack}]
        data = [
            {"MetricName": metric.name, "Unit": metric.unit, "Value": metric.value, "Dimensions": dimensions}
            for metric in metrics
        ]
        with _explained("publishing metrics"):
            self._cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)

    def publish(self, topic: str, subject: str, message: str) -> None:
        """Send a mail to the subscribers of the topic."""
        with _explained(f"publishing to {topic}"):
            self._sns.publish(TopicArn=topic, Subject=subject, Message=message)

    def has_subscriber(self, topic: str) -> bool:
        """Tell whether a subscription of the topic has been confirmed."""
        with _explained(f"looking at {topic}"):
            attributes = self._sns.get_topic_attributes(TopicArn=topic)["Attributes"]
        return int(attributes.get("SubscriptionsConfirmed", 0)) > 0

    def _count(self, **_: Any) -> None:
        self.requests += 1

    def _client(self, service: str, config: Config = _PATIENT) -> Any:
        return self._session.client(service, config=config)

    @cached_property
    def _dynamodb(self) -> Any:
        return self._client("dynamodb")

    @cached_property
    def _hasty_dynamodb(self) -> Any:
        return self._client("dynamodb", _HASTY)

    @cached_property
    def _autoscaling(self) -> Any:
        return self._client("autoscaling")

    @cached_property
    def _efs(self) -> Any:
        return self._client("efs")

    @cached_property
    def _cloudwatch(self) -> Any:
        return self._client("cloudwatch", _HASTY)

    @cached_property
    def _s3(self) -> Any:
        return self._client("s3")

    @cached_property
    def _sns(self) -> Any:
        return self._client("sns")


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn what botocore raises into one error that says what was being done."""
    try:
        yield
    except ClientError as error:
        kind = RefusedError if error.response["Error"]["Code"] == "ConditionalCheckFailedException" else AwsError
        raise kind(f"{doing} failed: {error}") from error
    except (BotoCoreError, boto3.exceptions.Boto3Error, OSError) as error:
        raise AwsError(f"{doing} failed: {error}") from error


def _packed(item: Mapping[str, Any]) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in item.items()}


def _unpacked(item: Mapping[str, Any]) -> Item:
    deserialize = TypeDeserializer().deserialize
    return {name: _plain(deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    """DynamoDB's numbers are Decimal, and all of the table's are whole."""
    return int(value) if type(value).__name__ == "Decimal" else value
