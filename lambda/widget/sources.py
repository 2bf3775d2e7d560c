"""What the widget reads. The only module that calls AWS; what cannot be read is said in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from subscriptions import Subscription
from widget.config import Settings
from widget.history import Item

SNAPSHOTS = "snapshots.json"
"""The key of the list of the snapshots in the log bucket (docs/dashboard.md)."""

NOT_THERE = ("NoSuchKey", "AccessDenied")
"""Amazon S3 says the second of a key that is not there to whoever may not list the bucket, as this function may not."""

HASTY = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=2, read_timeout=4)
"""A person waits."""


class UnavailableError(Exception):
    """Something cannot be read; the message is one sentence for the person who looks."""


@dataclass(frozen=True)
class Sources:
    """The three places that the widget reads, each a method that raises UnavailableError."""

    settings: Settings

    def snapshots(self) -> bytes:
        """Return the list of the snapshots as the agent wrote it."""
        bucket = self.settings.log_bucket
        try:
            return bytes(_client("s3").get_object(Bucket=bucket, Key=SNAPSHOTS)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in NOT_THERE:
                raise UnavailableError(
                    f"There is no list of snapshots yet: the next backup writes {SNAPSHOTS} to the bucket {bucket}."
                ) from error
            raise UnavailableError(f"The list of the snapshots cannot be read: {error}.") from error
        except BotoCoreError as error:
            raise UnavailableError(f"The list of the snapshots cannot be read: {error}.") from error

    def items(self) -> list[Item]:
        """Return all items of the table."""
        plain = TypeDeserializer().deserialize
        found = self._pages("dynamodb", "scan", "Items", TableName=self.settings.table)
        return [{name: plain(value) for name, value in item.items()} for item in found]

    def subscriptions(self) -> list[Subscription]:
        """Return the subscriptions of the topic."""
        found = self._pages("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=self.settings.topic)
        return [Subscription(s["Endpoint"], s["SubscriptionArn"]) for s in found]

    def _pages(self, service: str, call: str, what: str, **parameters: str) -> list[dict[str, Any]]:
        subject = {"dynamodb": f"The table {self.settings.table}", "sns": "The topic of the mails"}[service]
        try:
            pages = _client(service).get_paginator(call).paginate(**parameters)
            return [entry for page in pages for entry in page[what]]
        except (ClientError, BotoCoreError) as error:
            raise UnavailableError(f"{subject} cannot be read: {error}.") from error


def _client(service: str) -> Any:
    return boto3.client(service, config=HASTY)
