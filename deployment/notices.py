"""Who gets the mails of a stack, and a mail to try it."""

from __future__ import annotations

from deployment import stacks
from deployment.aws import Account
from deployment.errors import DeploymentError

PENDING = "PendingConfirmation"


def subscriptions(account: Account, topic: str) -> dict[str, bool]:
    """Return the addresses that are subscribed to a topic, and whether each has confirmed."""
    pages = account.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    found = [subscription for page in pages for subscription in page["Subscriptions"]]
    return {subscription["Endpoint"]: subscription["SubscriptionArn"] != PENDING for subscription in found}


def confirmed(account: Account, topic: str) -> bool:
    """Say whether anybody gets what is sent to a topic."""
    return any(subscriptions(account, topic).values())


def send_test_mail(account: Account, stack: str) -> str:
    """Send a mail to whoever is told about a backup stack; return a sentence about who gets it.

    Raises:
        DeploymentError: nobody does.
    """
    topic = stacks.physical_id(account.client("cloudformation"), stack, "SNSTopic")
    known = subscriptions(account, topic)
    waiting = [address for address, is_confirmed in known.items() if not is_confirmed]
    missing = (
        f"{', '.join(waiting)} must first follow the link in the mail “AWS Notification - Subscription Confirmation”"
    )
    if len(waiting) == len(known):
        raise DeploymentError(
            f"nobody would get a mail of {stack}: {missing if known else 'its topic has no subscription'}"
        )
    account.client("sns").publish(
        TopicArn=topic,
        Subject=f"EFS backup test: {stack}"[:99],
        Message=f"This is a test. Mails about the backups of the stack {stack} reach you.\n",
    )
    sent = ", ".join(address for address, is_confirmed in known.items() if is_confirmed)
    return f"sent to {sent}" + (f"; {missing}" if waiting else "")
