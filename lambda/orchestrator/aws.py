"""The AWS calls of the orchestrator, each a method that says what it means here. The only module that makes them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.config import Settings
from orchestrator.events import InstanceTerminating
from orchestrator.schedule import cron
from orchestrator.state import RUNNING, SUCCESS, Group, History, Item

log = logging.getLogger(__name__)

PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=3, read_timeout=10)
HASTY = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=2, read_timeout=3)
"""For what a backup can do without: sizes and metrics never hold it up."""

NAMESPACE = "EFS-Backup"
"""Of the product's metrics; docs/dashboard.md lists them."""

CONDITION_FAILED = "ConditionalCheckFailed"
TARGET = "Orchestrator"


class RefusedError(Exception):
    """A conditional write was refused."""

    def __init__(self, items: list[Item | None], refused: list[bool]) -> None:
        """Given, in the order of the writes, the items in the way (None is no item) and which writes were refused."""
        super().__init__("a conditional write was refused")
        self.items = items
        self.refused = refused


@dataclass(frozen=True)
class Update:
    """Changes to an item: attributes to set, to set if they are absent, and to remove, on a condition."""

    key: str
    put: Mapping[str, Any] = field(default_factory=dict)
    put_if_absent: Mapping[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    condition: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Put:
    """A whole item to write, on a condition."""

    item: Item
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A metric to publish; the unit is one of CloudWatch's."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Aws:
    """The services that one stack's orchestrator talks to. Made anew for each invocation."""

    settings: Settings

    # ---- the table

    def read(self, key: str) -> Item | None:
        """Return the item with this key as it is now, None if there is none."""
        reply = self._dynamodb.get_item(
            TableName=self.settings.table, Key=_to_dynamodb({"BackupId": key}), ConsistentRead=True
        )
        return _from_dynamodb(reply["Item"]) if "Item" in reply else None

    def put(self, put: Put) -> None:
        """Write an item. Raises RefusedError if its condition does not hold."""
        try:
            self._dynamodb.put_item(**self._put(put))
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise _refused(error) from error

    def update(self, update: Update) -> Item:
        """Change an item and return all of it. Raises RefusedError if its condition does not hold."""
        try:
            reply = self._dynamodb.update_item(**self._update(update), ReturnValues="ALL_NEW")
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise _refused(error) from error
        return _from_dynamodb(reply["Attributes"])

    def write_all(self, writes: list[Put | Update]) -> None:
        """Do all these writes or none. Raises RefusedError if a condition does not hold."""
        items = [{"Put": self._put(w)} if isinstance(w, Put) else {"Update": self._update(w)} for w in writes]
        try:
            self._dynamodb.transact_write_items(TransactItems=items)
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            reasons = error.response["CancellationReasons"]
            refused = [reason.get("Code") == CONDITION_FAILED for reason in reasons]
            if not any(refused):
                raise  # a conflict with another writer, or the table's limits: the event is tried again
            raise RefusedError(
                [_from_dynamodb(r["Item"]) if r.get("Item") else None for r in reasons], refused
            ) from error

    def release(self, backup_id: str) -> None:
        """Remove the lease if it is still this backup's."""
        try:
            self._dynamodb.delete_item(
                TableName=self.settings.table,
                Key=_to_dynamodb({"BackupId": RUNNING}),
                ConditionExpression="RunningBackupId = :backup",
                ExpressionAttributeValues=_to_dynamodb({":backup": backup_id}),
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            log.info("the lease of backup %s is gone already", backup_id)

    def history(self) -> History:
        """Return what the table's items of all backups say together."""
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self.settings.table,
            ConsistentRead=True,
            FilterExpression="BackupStatus = :success OR attribute_exists(MailClaim)",
            ProjectionExpression="BackupId, BackupStatus, BackupStopTime",
            ExpressionAttributeValues=_to_dynamodb({":success": SUCCESS}),
        )
        return History.from_items([_from_dynamodb(item) for page in pages for item in page["Items"]])

    def _put(self, put: Put) -> dict[str, Any]:
        request = {"TableName": self.settings.table, "Item": _to_dynamodb(put.item)}
        return request | _conditions(put.condition, put.values)

    def _update(self, update: Update) -> dict[str, Any]:
        request = {"TableName": self.settings.table, "Key": _to_dynamodb({"BackupId": update.key})}
        expression, values = _expression(update)
        if expression:
            request["UpdateExpression"] = expression
        return request | _conditions(update.condition, values | dict(update.values))

    # ---- the group

    def group(self) -> Group:
        """Return the group as it is now. A group that is gone has no capacity and no instance."""
        name = self.settings.group
        groups = self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not groups:
            return Group(0, ())
        instances = (i["InstanceId"] for i in groups[0]["Instances"] if i["LifecycleState"] != "Terminated")
        return Group(groups[0]["DesiredCapacity"], tuple(instances), groups[0]["CreatedTime"])

    def set_capacity(self, desired: int) -> None:
        """Have the group launch its instance (1) or let it go (0)."""
        self._autoscaling.set_desired_capacity(
            AutoScalingGroupName=self.settings.group, DesiredCapacity=desired, HonorCooldown=False
        )

    # ---- the stop rule

    def arm_stop_rule(self, due: datetime) -> None:
        """Have the stop rule fire once, in this minute."""
        self._events.put_rule(
            Name=self.settings.stop_rule,
            ScheduleExpression=cron(due),
            State="ENABLED",
            Description=f"EFS backup {self.settings.stack}: stops the backup at the end of its window",
        )

    def aim_stop_rule(self, function_arn: str, target_input: str) -> None:
        """Have the stop rule send this to the function."""
        reply = self._events.put_targets(
            Rule=self.settings.stop_rule, Targets=[{"Id": TARGET, "Arn": function_arn, "Input": target_input}]
        )
        if reply.get("FailedEntryCount"):
            raise RuntimeError(f"the stop rule did not take its target: {reply['FailedEntries']}")

    def remove_stop_rule(self) -> None:
        """Remove the stop rule; nothing is wrong if it is not there."""
        missing = self._events.exceptions.ResourceNotFoundException
        try:
            self._events.remove_targets(Rule=self.settings.stop_rule, Ids=[TARGET])
        except missing:
            log.info("the stop rule has no target any more")
        try:
            self._events.delete_rule(Name=self.settings.stop_rule)
        except missing:
            log.info("the stop rule is gone already")

    # ---- mail, and the instance

    def publish(self, subject: str, message: str) -> None:
        """Send a mail to everyone who subscribed to the stack's topic."""
        self._sns.publish(TopicArn=self.settings.topic, Subject=subject, Message=message)

    def subscriptions(self) -> list[tuple[str, str]] | None:
        """Return address and ARN of each subscription to the stack's topic, None if they cannot be had."""
        pages = self._sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=self.settings.topic)
        try:
            return [(s["Endpoint"], s["SubscriptionArn"]) for page in pages for s in page["Subscriptions"]]
        except (ClientError, BotoCoreError) as error:
            log.warning("the subscriptions cannot be had: %s", error)
            return None

    def publish_metrics(self, metrics: list[Metric], now: datetime) -> None:
        """Put metrics under the stack's name."""
        dimensions = [{"Name": "StackName", "Value": self.settings.stack}]
        self._cloudwatch.put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                {"MetricName": m.name, "Value": m.value, "Unit": m.unit, "Timestamp": now, "Dimensions": dimensions}
                for m in metrics
            ],
        )

    def drain(self, request: InstanceTerminating, command: str) -> bool:
        """Run a shell command on the instance; False if Systems Manager cannot reach it."""
        try:
            self._ssm.send_command(
                DocumentName="AWS-RunShellScript",
                InstanceIds=[request.instance_id],
                Comment="EFS backup: drain and finish",
                Parameters={"commands": [command], "executionTimeout": [str(self.settings.drain * 60)]},
                TimeoutSeconds=60,
                OutputS3BucketName=self.settings.log_bucket,
                OutputS3KeyPrefix="ssm-logs",
            )
        except self._ssm.exceptions.InvalidInstanceId:
            return False
        return True

    # ---- what a backup can do without

    def size_and_mode(self, file_system: str) -> tuple[int, str] | None:
        """Return the metered size in bytes and the performance mode of a file system, None if they cannot be had."""
        try:
            described = self._efs.describe_file_systems(FileSystemId=file_system)["FileSystems"][0]
        except (ClientError, BotoCoreError) as error:
            log.warning("the size of %s cannot be had: %s", file_system, error)
            return None
        return described["SizeInBytes"]["Value"], described["PerformanceMode"]

    def metrics(self, queries: list[dict[str, Any]], now: datetime) -> dict[str, int]:
        """Given metric data queries, return the newest value of each that has one, by the query's id."""
        try:
            reply = self._cloudwatch.get_metric_data(
                MetricDataQueries=queries, StartTime=now - timedelta(days=3), EndTime=now, ScanBy="TimestampDescending"
            )
        except (ClientError, BotoCoreError) as error:
            log.warning("metrics cannot be had: %s", error)
            return {}
        return {r["Id"]: round(r["Values"][0]) for r in reply["MetricDataResults"] if r["Values"]}

    # ---- clients, made when they are first needed

    @cached_property
    def _dynamodb(self) -> Any:
        return boto3.client("dynamodb", config=PATIENT)

    @cached_property
    def _autoscaling(self) -> Any:
        return boto3.client("autoscaling", config=PATIENT)

    @cached_property
    def _events(self) -> Any:
        return boto3.client("events", config=PATIENT)

    @cached_property
    def _sns(self) -> Any:
        return boto3.client("sns", config=PATIENT)

    @cached_property
    def _ssm(self) -> Any:
        return boto3.client("ssm", config=PATIENT)

    @cached_property
    def _efs(self) -> Any:
        return boto3.client("efs", config=HASTY)

    @cached_property
    def _cloudwatch(self) -> Any:
        return boto3.client("cloudwatch", config=HASTY)


def _to_dynamodb(item: Mapping[str, Any]) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in item.items()}


def _from_dynamodb(item: Mapping[str, Any]) -> Item:
    deserialize = TypeDeserializer().deserialize
    return {name: _plain(deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    """DynamoDB's numbers are Decimal; whole ones become int, the others float."""
    if type(value).__name__ == "Decimal":
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _conditions(condition: str, values: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {}
    if condition:
        request["ConditionExpression"] = condition
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if values:
        request["ExpressionAttributeValues"] = _to_dynamodb(values)
    return request


def _expression(update: Update) -> tuple[str, dict[str, Any]]:
    """Given an update, return its UpdateExpression and the values that it names."""
    values: dict[str, Any] = {}
    sets: list[str] = []
    for number, (name, value) in enumerate(update.put.items()):
        values[f":put{number}"] = value
        sets.append(f"{name} = :put{number}")
    for number, (name, value) in enumerate(update.put_if_absent.items()):
        values[f":absent{number}"] = value
        sets.append(f"{name} = if_not_exists({name}, :absent{number})")
    parts = ["SET " + ", ".join(sets)] if sets else []
    if update.remove:
        parts.append("REMOVE " + ", ".join(update.remove))
    return " ".join(parts), values


def _refused(error: Any) -> RefusedError:
    item = error.response.get("Item")
    return RefusedError([_from_dynamodb(item) if item else None], [True])
