"""What a run cost, as far as prices are known: instance, its volume, requests, and what storage grew by.

Prices are those of US East (N. Virginia), for the instance types that the template offers by default and their sizes,
or what the user gives. For anything else the answer is "unknown": a guess would be believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from efs_backup.pure.errors import UsageError

UNKNOWN = "unknown"

PRICED_REGION = "us-east-1"
PRICES_OF = "2026-06"
"""When the prices below were last compared with the pages named beside them (docs/cost.md)."""

_XLARGE_HOUR = {"c5": Decimal("0.17"), "c6i": Decimal("0.17"), "c6g": Decimal("0.136"), "c7g": Decimal("0.145")}
"""USD for an hour of On-Demand Linux in the size xlarge (aws.amazon.com/ec2/pricing/on-demand)."""
_SIZES = {"large": Decimal("0.5"), "xlarge": Decimal(1), "2xlarge": Decimal(2), "4xlarge": Decimal(4)}
"""In these families a size costs twice the one below it."""
_STORAGE_MONTH = Decimal("0.30")
"""USD for a GiB of Amazon EFS Standard for a month (aws.amazon.com/efs/pricing)."""
_VOLUME_HOUR = 20 * Decimal("0.08") / 730
"""USD for an hour of the instance's volume, 20 GiB of gp3 (aws.amazon.com/ebs/pricing)."""
_REQUEST = Decimal("0.00001")
"""USD for a request at the dearest of the services that the agent asks, Amazon CloudWatch's PutMetricData."""

_GIB = 1 << 30
_GIVEN = re.compile(r"instance=([0-9]{1,4}(?:\.[0-9]{1,6})?),storage=([0-9]{1,4}(?:\.[0-9]{1,6})?),currency=([A-Z]{3})")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used: seconds of an instance, requests to AWS, and bytes by which the backup file system grew."""

    region: str
    instance_type: str
    spot: bool
    seconds: float
    requests: int
    growth: int


@dataclass(frozen=True, slots=True)
class Prices:
    """What an hour of the instance with its volume costs, a GiB of storage for a month, and a request.

    `ceiling` is set where the instance may have cost less, as a Spot instance does.
    """

    instance_hour: Decimal
    storage_month: Decimal
    request: Decimal
    currency: str
    ceiling: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run cost, and what the storage it added costs every month from now on."""

    run: Decimal
    storage_month: Decimal
    currency: str
    ceiling: bool

    def __str__(self) -> str:
        """Return the estimate for a person, like ``0.03 USD, and 0.30 USD a month for what it stored``."""
        run = f"{_money(self.run, 'at most ' if self.ceiling else '')} {self.currency}"
        if not self.storage_month:
            return run
        return f"{run}, and {_money(self.storage_month)} {self.currency} a month for what it stored"


def estimated_cost(usage: Usage, given: str = "") -> str:
    """Return the estimate of a run's cost in words, "unknown" where there is no price.

    `given` is what the user says the prices are, empty if nothing. Raises UsageError if it cannot be read.
    """
    prices = given_prices(given) if given else known_prices(usage)
    return UNKNOWN if prices is None else str(estimate(usage, prices))


def estimate(usage: Usage, prices: Prices) -> Estimate:
    """Return what a run cost at these prices. Storage that shrank saves nothing that a run could claim."""
    hours = Decimal(str(max(usage.seconds, 0))) / 3600
    run = hours * prices.instance_hour + usage.requests * prices.request
    stored = Decimal(max(usage.growth, 0)) / _GIB * prices.storage_month
    return Estimate(run, stored, prices.currency, prices.ceiling)


def known_prices(usage: Usage) -> Prices | None:
    """Return the prices for where and on what a run was, None if the table does not have them."""
    family, _, size = usage.instance_type.partition(".")
    if usage.region != PRICED_REGION or family not in _XLARGE_HOUR or size not in _SIZES:
        return None
    instance = _XLARGE_HOUR[family] * _SIZES[size] + _VOLUME_HOUR
    return Prices(instance, _STORAGE_MONTH, _REQUEST, "USD", ceiling=usage.spot)


def given_prices(text: str) -> Prices:
    """Return the prices in a text like ``instance=0.192,storage=0.33,currency=USD``: an hour, a GiB for a month.

    Raises UsageError, naming the text, if it is not like that.
    """
    found = _GIVEN.fullmatch(text)
    if not found:
        raise UsageError(
            f"prices {text!r} cannot be read: write them like instance=0.192,storage=0.33,currency=USD "
            "(an hour of the instance, a GiB stored for a month)"
        )
    return Prices(Decimal(found[1]), Decimal(found[2]), Decimal(0), found[3])


def _money(amount: Decimal, bound: str = "") -> str:
    """Return an amount with two decimals, and that it is a bound; what is less than a hundredth says so."""
    if 0 < amount < Decimal("0.01"):
        return "less than 0.01"
    return f"{bound}{amount.quantize(Decimal('0.01'), ROUND_HALF_UP)}"
