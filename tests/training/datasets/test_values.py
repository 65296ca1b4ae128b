"""Times, prices, categories and weights as files spell them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from training.datasets.values import TimeUnit, as_id, parse_categories, parse_price, parse_time, parse_weight


@pytest.mark.parametrize(
    ("value", "unit", "microseconds"),
    [
        ("1262304000", "s", 1262304000_000000),
        (" 12 ", "s", 12_000000),
        ("-1.5", "s", -1_500000),
        ("1.2623e9", "s", 1262300000_000000),
        ("1262304000123", "ms", 1262304000_123000),
        (1262304000123, "ms", 1262304000_123000),
        (0.25, "s", 250000),
        ("20140101", "s", 20140101_000000),  # digits are a number, never a date
        ("2014-01-01", "s", 1388534400_000000),
        ("2014-01-01T01:00:00+01:00", "ms", 1388534400_000000),
        ("2014-01-01 00:00:00.5Z", "s", 1388534400_500000),
        (date(2014, 1, 1), "s", 1388534400_000000),
        (datetime(2014, 1, 1), "s", 1388534400_000000),
        ("253402300799", "s", 253402300799_000000),
    ],
)
def test_times(value: object, unit: TimeUnit, microseconds: int) -> None:
    assert parse_time(value, unit) == microseconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "1_000",
        "１２",
        "nan",
        "-inf",
        "1e999",
        "253402300800",
        "9" * 30,
        "2014-13-01",
        True,
        None,
        [],
        10**400,
    ],
)
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_time(value, "s")


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ("12.99", 12.99),
        ("$12.99", 12.99),
        ("€ 5", 5.0),
        ("1,299.00", 1299.0),
        ("12.99 USD", 12.99),
        ("USD 12", 12.0),
        ("5€", 5.0),
        (".5", 0.5),
        ("9,99", 9.99),
        ("1.299,00 €", 1299.0),
        ("1234,50", 1234.5),
        ("1,299", 1299.0),
        ("1,234,567", 1234567.0),
        ("1.299", 1.299),
        ("", None),
        (3, 3),
        (Decimal("1.5"), 1.5),
        (None, None),
    ],
)
def test_prices(value: object, price: float | None) -> None:
    assert parse_price(value) == price


@pytest.mark.parametrize(
    "value", ["free", "$5 - $9", "5,00 - 9,00", "9,9", "1,299,00", "1.299,000", "1.2.3", "$", "-5", "nan", "١٢"]
)
def test_what_is_no_price(value: str) -> None:
    with pytest.raises(ValueError, match="expected one amount"):
        parse_price(value)


@pytest.mark.parametrize(
    ("value", "categories"),
    [
        ("Skin|Face; Neck", ["Skin", "Face; Neck"]),
        ("Skin; Face;", ["Skin", "Face"]),
        ("Skin, Face", ["Skin, Face"]),
        ('["Skin", "Face"]', ["Skin", "Face"]),
        (["Skin"], ["Skin"]),
        ("", []),
    ],
)
def test_categories(value: object, categories: list[str]) -> None:
    assert parse_categories(value) == categories


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1e99", "x", "", True, None, 10**400, 1e-40])
def test_what_is_no_weight(value: object) -> None:
    with pytest.raises(ValueError, match="finite number above zero"):
        parse_weight(value)


def test_weights_and_identifiers() -> None:
    assert parse_weight("2.5") == 2.5
    assert parse_weight(Decimal(3)) == 3.0
    assert as_id(7) == "7"
    assert as_id(True) is True
    assert as_id("7") == "7"
