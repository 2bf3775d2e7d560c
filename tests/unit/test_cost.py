"""What a run cost: amounts worked out by hand, and "unknown" wherever a price would be a guess."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from efs_backup.pure.cost import PRICES_OF, UNKNOWN, Usage, estimate, estimated_cost, given_prices, known_prices
from efs_backup.pure.errors import UsageError

GIB = 1 << 30
NIGHT = Usage("us-east-1", "c5.xlarge", spot=False, seconds=3 * 3600, requests=400, growth=2 * GIB)
DOCS = Path(__file__).parents[2] / "docs" / "cost.md"


def test_three_hours_of_the_default_instance() -> None:
    """3 * (0.17 + 20 * 0.08 / 730) + 400 * 0.00001 = 0.5206, and 2 * 0.30 a month."""
    prices = known_prices(NIGHT)
    assert prices is not None
    made = estimate(NIGHT, prices)
    assert round(made.run, 4) == Decimal("0.5206")
    assert made.storage_month == Decimal("0.60")
    assert estimated_cost(NIGHT) == "0.52 USD, and 0.60 USD a month for what it stored"


@pytest.mark.parametrize(
    ("instance_type", "hour"),
    [
        ("c5.xlarge", "0.17"),
        ("c5.large", "0.085"),
        ("c5.4xlarge", "0.68"),
        ("c6i.xlarge", "0.17"),
        ("c6g.2xlarge", "0.272"),
        ("c7g.large", "0.0725"),
    ],
)
def test_an_hour_of_each_size_is_its_price_and_that_of_its_volume(instance_type: str, hour: str) -> None:
    prices = known_prices(replace(NIGHT, instance_type=instance_type))
    assert prices is not None
    assert prices.instance_hour - Decimal(hour) == pytest.approx(Decimal("0.00219"), abs=Decimal("0.00001"))


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"region": "eu-central-1"},
        {"instance_type": "m7i.xlarge"},
        {"instance_type": "c5.9xlarge"},
        {"instance_type": "c5"},
        {"instance_type": ""},
    ],
)
def test_what_is_not_in_the_table_is_unknown(elsewhere: dict[str, str]) -> None:
    assert estimated_cost(replace(NIGHT, **elsewhere)) == UNKNOWN  # type: ignore[arg-type]


def test_given_prices_hold_everywhere_and_go_before_the_table() -> None:
    given = "instance=1.5,storage=2,currency=CNY"
    assert (
        estimated_cost(replace(NIGHT, region="cn-north-1"), given)
        == "4.50 CNY, and 4.00 CNY a month for what it stored"
    )
    assert estimated_cost(NIGHT, given).startswith("4.50 CNY")


def test_a_spot_instance_costs_at_most_what_the_table_says_and_what_was_given_is_believed() -> None:
    spot = replace(NIGHT, spot=True)
    assert estimated_cost(spot).startswith("at most 0.52 USD")
    assert estimated_cost(spot, "instance=0.06,storage=0.3,currency=USD").startswith("0.18 USD")


def test_small_amounts_are_not_called_nothing_and_nothing_is_not_called_something() -> None:
    short = replace(NIGHT, seconds=20, requests=3, growth=1 << 20)
    assert estimated_cost(short) == "less than 0.01 USD, and less than 0.01 USD a month for what it stored"
    assert estimated_cost(replace(short, spot=True)).startswith("less than 0.01 USD")
    assert estimated_cost(replace(NIGHT, growth=0)) == "0.52 USD"
    assert estimated_cost(replace(NIGHT, growth=-GIB)) == "0.52 USD"


@pytest.mark.parametrize(
    "text",
    [
        "0.17",
        "instance=0.17",
        "instance=0.17,storage=0.3,currency=usd",
        "instance=-1,storage=0.3,currency=USD",
        "instance=0.17, storage=0.3, currency=USD",
        "instance=0.17,storage=0.3,currency=USD\n",
        "instance=1e9,storage=0,currency=USD",
    ],
)
def test_prices_that_cannot_be_read_are_named_and_the_right_form_is_shown(text: str) -> None:
    with pytest.raises(UsageError) as error:
        given_prices(text)
    assert repr(text) in str(error.value)
    assert "instance=0.192,storage=0.33,currency=USD" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_documentation_says_these_prices_and_of_when_they_are() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert PRICES_OF in text
    for family, hour in re.findall(r"^\| (c\w+)\.xlarge, an hour \| ([0-9.]+) \|", text, re.MULTILINE):
        prices = known_prices(replace(NIGHT, instance_type=f"{family}.xlarge"))
        assert prices is not None
        assert round(prices.instance_hour, 3) == Decimal(hour) + Decimal("0.002"), family
    assert "| c5.xlarge, an hour | 0.17 |" in text


def calculated(expression: str) -> float:
    """What an expression of the documentation comes to: numbers, + * / and parentheses, units left out."""
    plain = expression.replace("\N{MULTIPLICATION SIGN}", "*").replace("10⁶", "1000000").replace("h", "")
    plain = re.sub(r" [a-z(][a-z ]+\)?", " ", plain)
    assert re.fullmatch(r"[0-9.+*/() ]+", plain), expression
    return float(eval(plain))


def test_the_arithmetic_of_the_documentation_is_right() -> None:
    cells = [cell.strip() for line in DOCS.read_text(encoding="utf-8").splitlines() for cell in line.split("|")]
    sums = [match for cell in cells if (match := re.fullmatch(r"([0-9][^=]*|\([^=]*) = ([0-9.]+)", cell))]
    assert len(sums) >= 12
    for expression, result in (match.groups() for match in sums):
        assert calculated(expression) == pytest.approx(float(result), abs=0.0051), expression


def test_the_columns_of_the_month_add_up() -> None:
    lines = DOCS.read_text(encoding="utf-8").split("\n## ")[2].splitlines()
    rows = [[cell.strip(" *") for cell in line.strip("| ").split("|")] for line in lines if line.startswith("| ")][1:]
    amounts = {row[0]: [float(cell.rpartition("= ")[2]) for cell in row[1:]] for row in rows}
    allowed = [name for name in amounts if name.startswith(("metrics", "three alarms", "dashboard"))]
    *parts, together, within = amounts
    for column in (0, 1):
        assert sum(amounts[part][column] for part in parts) == pytest.approx(amounts[together][column], abs=0.015)
        rest = amounts[together][column] - sum(amounts[part][column] for part in allowed)
        assert rest == pytest.approx(amounts[within][column], abs=0.015)
