"""SNS mail: delivered into files, one a mail, and only to addresses that have confirmed.

moto delivers no mail and takes every subscription for confirmed.
"""

import itertools
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from moto.sns.models import SNSBackend, Subscription, sns_backends
from moto.sqs.models import sqs_backends

from localcloud.patching import replace

PENDING = "PendingConfirmation"
MAIL_PROTOCOLS = ("email", "email-json")
SENDER = "no-reply@sns.amazonaws.com"


class Mail:
    """The mailboxes of everyone who is subscribed, in one directory."""

    def __init__(self, account: str, region: str, directory: Path, endpoint: str, now: Callable[[], float]) -> None:
        """Write mails into ``directory``; links in mails lead to ``endpoint``."""
        self._account, self._region, self._endpoint, self._now = account, region, endpoint, now
        self._directory = directory
        self._directory.mkdir()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def install(self) -> None:
        """Have moto ask for confirmation, and hand messages over."""
        mail = self

        def subscribe(original: Any) -> Any:
            def patched(self: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Subscription:
                known = self._find_subscription(topic_arn, endpoint, protocol)
                subscription: Subscription = known or original(self, topic_arn, endpoint, protocol)
                if protocol in MAIL_PROTOCOLS and known is None:
                    mail._ask(subscription)
                return subscription

            return patched

        def publish(original: Any) -> Any:
            def patched(self: Subscription, message: str, message_id: str, *rest: Any, **keywords: Any) -> None:
                if self.protocol in MAIL_PROTOCOLS:
                    mail._deliver(self, message, keywords)
                else:
                    original(self, message, message_id, *rest, **keywords)

            return patched

        replace(SNSBackend, "subscribe", subscribe)
        replace(Subscription, "publish", publish)

    def confirm(self, address: str) -> int:
        """Follow the link of every confirmation mail sent to ``address``; return how many there were."""
        waiting = [
            (arn, subscription)
            for arn, subscription in self._backend().subscriptions.items()
            if subscription.endpoint == address and subscription.arn == PENDING
        ]
        for arn, subscription in waiting:
            subscription.arn, subscription.confirmed = arn, True
            subscription.attributes.update(PendingConfirmation=False, SubscriptionArn=arn)
            subscription.topic.subscriptions_pending -= 1
            subscription.topic.subscriptions_confimed += 1
        return len(waiting)

    def send(self, arn: str, text: str, subject: str | None = None) -> None:
        """Bring a message to a topic or a queue, as Lambda, EventBridge and CloudWatch do."""
        if arn.split(":")[2] == "sns":
            self._backend().publish(text, arn=arn, subject=subject)
        else:
            sqs_backends[self._account][self._region].send_message(arn.rpartition(":")[2], text)

    def _backend(self) -> SNSBackend:
        return sns_backends[self._account][self._region]

    def _ask(self, subscription: Subscription) -> None:
        subscription.attributes.update(PendingConfirmation=True, SubscriptionArn=PENDING)
        subscription.arn = PENDING
        subscription.topic.subscriptions_pending += 1
        body = (
            f"You have chosen to subscribe to the topic:\n{subscription.topic.arn}\n\n"
            "To confirm this subscription, visit the link below:\n"
            f"{self._endpoint}/_localcloud/confirm?address={subscription.endpoint}\n"
        )
        self._write(subscription, "AWS Notification - Subscription Confirmation", body)

    def _deliver(self, subscription: Subscription, message: str, keywords: dict[str, Any]) -> None:
        if subscription.arn == PENDING:
            return
        if keywords.get("message_structure") == "json":
            texts = json.loads(message)
            message = texts.get(subscription.protocol, texts["default"])
        self._write(subscription, keywords.get("subject") or "AWS Notification Message", message)

    def _write(self, subscription: Subscription, subject: str, body: str) -> None:
        name = subscription.topic.display_name or "AWS Notifications"
        message = EmailMessage()
        message["From"] = f'"{name}" <{SENDER}>'
        message["To"] = subscription.endpoint
        message["Subject"] = subject
        message["Date"] = format_datetime(datetime.fromtimestamp(self._now(), UTC))
        message["X-Topic-Arn"] = subscription.topic.arn
        message.set_content(body)
        with self._lock:
            path = self._directory / f"{next(self._numbers):04d}.eml"
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(message.as_bytes())
            unfinished.rename(path)
