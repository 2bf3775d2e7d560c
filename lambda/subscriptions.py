"""Who gets the mails of a topic. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PENDING = "PendingConfirmation"


@dataclass(frozen=True)
class Subscription:
    """A mail subscription. Until it is confirmed, it has a word in place of its ARN."""

    address: str
    arn: str

    @property
    def confirmed(self) -> bool:
        """Whether the mail that asks for the confirmation was answered."""
        return self.arn.startswith("arn:")


def unconfirmed(email: str, subscriptions: Iterable[Subscription]) -> list[str]:
    """Given the stack's address and what is subscribed, return the addresses that get no mail.

    A subscription that nobody confirms vanishes after two days; the stack's own address is missing then.
    """
    subscriptions = list(subscriptions)
    confirmed = {s.address.lower() for s in subscriptions if s.confirmed}
    wanted = {email.lower()} | {s.address.lower() for s in subscriptions if s.arn == PENDING}
    return sorted(wanted - confirmed)
