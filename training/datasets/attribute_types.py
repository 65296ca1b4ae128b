"""Types of text attributes: a CSV column has the one type that fits all its cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from model.items import AttributeValue, Item, clean_text

# A float keeps 15 digits exactly. Longer numbers, and those with a leading zero, are identifiers.
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,14})", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})\.\d{1,30}", re.ASCII)


def type_attributes(items: dict[str, Item], columns: Iterable[str]) -> dict[str, str]:
    """Convert, in place, the text of a column to booleans or numbers if all its cells are booleans or numbers.

    "true" and "false" in any case are booleans. Plain numbers become int, or all float if one has a decimal point.
    Blank cells do not affect the type; a boolean or number column drops them. Returns column → "true or false",
    "number" or "text", without columns that have no cell.
    """
    names = {clean_text(column): column for column in columns}
    kinds: dict[str, str] = {}
    for item in items.values():
        for name, value in item.attributes.items():
            if value and isinstance(value, str) and kinds.get(name) != "text" and name in names:
                kinds[name] = _common(kinds.get(name), _kind(value))
    typed = {name: kind for name, kind in kinds.items() if kind != "text"}
    if typed:
        for item_id, item in items.items():
            if not typed.keys().isdisjoint(item.attributes):
                items[item_id] = replace(item, attributes=_converted(item, typed))
    return {names[name]: _DESCRIPTIONS[kind] for name, kind in kinds.items()}


def _kind(value: str) -> str:
    if value.lower() in ("true", "false"):
        return "boolean"
    if _WHOLE.fullmatch(value):
        return "whole"
    return "decimal" if _DECIMAL.fullmatch(value) else "text"


def _common(one: str | None, other: str) -> str:
    if one is None or one == other:
        return other
    return "decimal" if {one, other} == {"whole", "decimal"} else "text"


def _converted(item: Item, typed: dict[str, str]) -> dict[str, AttributeValue]:
    out: dict[str, AttributeValue] = {}
    for name, value in item.attributes.items():
        if name not in typed or not isinstance(value, str):
            out[name] = value
        elif value:
            out[name] = _CONVERTERS[typed[name]](value)
    return out


def _boolean(value: str) -> bool:
    return value.lower() == "true"


_CONVERTERS: dict[str, Callable[[str], AttributeValue]] = {"boolean": _boolean, "whole": int, "decimal": float}
_DESCRIPTIONS = {"boolean": "true or false", "whole": "number", "decimal": "number", "text": "text"}
