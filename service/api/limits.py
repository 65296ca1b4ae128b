"""Checks well-formed requests against the limits of the settings."""

from __future__ import annotations

import json
from collections.abc import Sequence

from model.items import AttributeValue, InvalidItem, Item, check_item_id
from service.contract.requests import ItemContent, RecommendRequest
from service.errors import LimitExceeded
from service.settings import Settings


def _at_most(field: str, count: int, limit: int, what: str) -> None:
    if count > limit:
        raise LimitExceeded(field, f"{count} {what}, at most {limit} are allowed")


def check_k(k: int, settings: Settings) -> None:
    """Raises LimitExceeded."""
    if k > settings.k_max:
        shown = str(k) if k < 10**18 else "a number above 10^18"
        raise LimitExceeded("k", f"{shown} is asked for, at most {settings.k_max} are allowed")


def check_recommend(request: RecommendRequest, settings: Settings) -> None:
    """Raises LimitExceeded, or InvalidItem for an entry of `history` or `exclude` that can be no item id."""
    check_k(request.k, settings)
    for field, ids in (("history", request.history), ("exclude", request.exclude)):
        _at_most(field, len(ids), settings.history_max, "entries are given")
        _check_ids(field, ids)
    values = sum(len(values) for values in request.filter.values())
    _at_most("filter", values, settings.filter_max, "values are given")


def _check_ids(field: str, ids: Sequence[str]) -> None:
    for position, item_id in enumerate(ids):
        # A short cut for plain ids, which most are: this runs for every request.
        if item_id.isalnum() and len(item_id) <= 64:
            continue
        try:
            check_item_id(item_id)
        except InvalidItem as error:
            raise InvalidItem(f"{field}.{position}", error.reason) from None


def _length(value: AttributeValue) -> int:
    if isinstance(value, list):
        return sum(len(part) + 1 for part in value)
    return len(value) if isinstance(value, str) else 1


def check_batch(field: str, count: int, settings: Settings) -> None:
    """Raises LimitExceeded."""
    _at_most(field, count, settings.batch_max, "entries are given")


def accept_item(item_id: str, content: ItemContent, settings: Settings) -> Item:
    """The item of a request, cleaned and within limits. Raises LimitExceeded or InvalidItem.

    Refuses an item without any text: its semantic ID would say nothing about it.
    """
    parts = (content.title, content.brand, content.description, content.text, *content.categories)
    _at_most("text", sum(len(part) for part in parts if part), settings.text_max, "characters of text")
    _at_most("categories", len(content.categories), settings.categories_max, "categories are given")
    _at_most("attributes", len(content.attributes), settings.attributes_max, "attributes are given")
    # Before cleaning, so that far too long attributes cost no time.
    raw = sum(len(name) + _length(value) for name, value in content.attributes.items())
    _at_most("attributes", raw, settings.attributes_size_max, "characters")
    item = content.to_item(item_id)
    size = len(json.dumps(dict(item.attributes), ensure_ascii=False))
    _at_most("attributes", size, settings.attributes_size_max, "characters as JSON")
    if not any((item.title, item.brand, item.description, item.text, *item.categories)):  # a price alone is no text
        raise InvalidItem("text", "is missing: give `text`, or at least one of title, brand, categories, description")
    return item
