"""The AWS calls of the orchestrator but the table's, each a method that says what it means here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.clients import HASTY, PATIENT
from orchestrator.config import Settings
from orchestrator.events import InstanceTerminating
from orchestrator.schedule import cron
from orchestrator.state import Group
from subscriptions import Subscription

log = logging.getLogger(__name__)

NAMESPACE = "EFS-Backup"
"""Of the product's metrics; docs/dashboard.md lists them."""

TARGET = "Orchestrator"


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
            Rule=self.settings.stop_rule,
            Targets=[
                {
                    "Id": TARGET,
                    "Arn": function_arn,
                    "Input": target_input,
                    "DeadLetterConfig": {"Arn": self.settings.dead_letters},
                }
            ],
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

    def subscriptions(self) -> list[Subscription] | None:
        """Return the subscriptions of the stack's topic, None if they cannot be had."""
        pages = self._sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=self.settings.topic)
        try:
            return [Subscription(s["Endpoint"], s["SubscriptionArn"]) for page in pages for s in page["Subscriptions"]]
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
