"""Parsers of the values in files: times, prices, lists of categories, weights, identifiers."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from training.datasets.files import parse_json

TimeUnit: TypeAlias = Literal["s", "ms"]

MICROSECONDS = 1_000_000
_FIRST_SECOND = -62_135_596_800  # year 1
_LAST_SECOND = 253_402_300_799  # year 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# 1,299.00; then 9,99 and 1.299,00, where a comma before two last digits must be a decimal comma; then 12.99.
_AMOUNT = (
    r"(?P<points>\d{1,3}(?:,\d{3})+(?:\.\d+)?)"
    r"|(?P<commas>(?:\d{1,3}(?:\.\d{3})+|\d+),\d{2})"
    r"|(?P<plain>\d+(?:\.\d*)?|\.\d+)"
)
_PRICE = re.compile(rf"(?:[$€£¥₹]|[A-Z]{{3}})?\s*(?:{_AMOUNT})", re.ASCII)
_PRICE_UNIT_BEHIND = re.compile(r"\s*(?:[$€£¥₹]|[A-Z]{3})$", re.ASCII)


def parse_time(value: object, unit: TimeUnit) -> int:
    """A time as whole microseconds since 1970, from a number in `unit`, an ISO 8601 date or a datetime.

    Digits alone are always a number, never a date such as 20140101. A date without an offset is UTC. Raises
    `ValueError` that names the expected form, also for times outside the years 1 to 9999.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdigit() and len(text) < 20:
            return _from_number(int(text), unit)
        if len(text) < 64 and _NUMBER.fullmatch(text):
            return _from_number(float(text), unit)
        return _from_iso(text)
    if isinstance(value, bool):
        raise ValueError(_expected_time(unit))
    if isinstance(value, int | float):
        return _from_number(value, unit)
    if isinstance(value, datetime):
        return _from_datetime(value)
    if isinstance(value, date):
        return _from_datetime(datetime(value.year, value.month, value.day))
    raise ValueError(_expected_time(unit))


def _expected_time(unit: TimeUnit) -> str:
    return f"expected {'seconds' if unit == 's' else 'milliseconds'} since 1970 or an ISO 8601 date"


def _from_number(number: int | float, unit: TimeUnit) -> int:
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(_expected_time(unit))
    factor = 1 if unit == "s" else 1000
    if not _FIRST_SECOND * factor <= number <= _LAST_SECOND * factor:
        milliseconds = unit == "s" and _FIRST_SECOND * 1000 <= number <= _LAST_SECOND * 1000
        hint = " (a time in milliseconds? add --time-unit ms)" if milliseconds else ""
        raise ValueError(f"{_expected_time(unit)} within the years 1 to 9999{hint}")
    if isinstance(number, int):
        return number * (MICROSECONDS // factor)
    return round(number * (MICROSECONDS // factor))


def _from_iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected a number since 1970 or an ISO 8601 date") from None
    return _from_datetime(moment)


def _from_datetime(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    difference = moment - _EPOCH
    # Whole numbers throughout: total_seconds() would round.
    return (difference.days * 86_400 + difference.seconds) * MICROSECONDS + difference.microseconds


def parse_price(value: object) -> object:
    """A price as a number: "$12.99", "1,299.00", "1.299,00 EUR" → float; numbers pass, blank text is None.

    A comma before exactly two last digits is a decimal comma, one before three separates thousands: "9,99" is 9.99,
    "1,299" is 1299. Raises `ValueError` for text that is not one amount ("$5 - $9", "9,9"). Other types pass unchanged,
    and the item refuses them.
    """
    if isinstance(value, Decimal):
        return float(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text:
        return None
    match = _PRICE.match(text)
    if match and (match.end() == len(text) or _PRICE_UNIT_BEHIND.fullmatch(text, match.end())):
        if (amount := match["commas"]) is not None:
            return float(amount.replace(".", "").replace(",", "."))
        return float((match["points"] or match["plain"]).replace(",", ""))
    raise ValueError("expected one amount such as 12.99 or $1,299.00")


def parse_categories(value: object) -> object:
    """Categories from one cell: a JSON list, or parts between `|`, or between `;` if there is no `|`.

    Raises `ValueError` for a broken JSON list. Other types pass unchanged.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return parse_json(text)
        except ValueError as error:
            raise ValueError(f"expected a JSON list or parts between | or ;: {error}") from None
    return [part.strip() for part in text.split("|" if "|" in text else ";") if part.strip()]


def parse_weight(value: object) -> float:
    """A weight: a finite number above zero. Raises `ValueError` for any other value."""
    expected = "expected a finite number above zero"
    if isinstance(value, str):
        if not (len(value) < 64 and _NUMBER.fullmatch(value.strip())):
            raise ValueError(expected)
        weight = float(value)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            weight = float(value)
        except OverflowError:
            raise ValueError(expected) from None
    else:
        raise ValueError(expected)
    # We store weights as float32, so we also refuse those that overflow or vanish there.
    if not 1e-30 <= weight <= 1e30:
        raise ValueError(expected)
    return weight


def as_id(value: object) -> object:
    """Whole numbers become their digits, as in untyped files; any other value passes unchanged."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
