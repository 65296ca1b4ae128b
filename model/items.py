"""An item: an identifier, the fields that make its text, and attributes.

Training and the service build the same `Item`. So the service composes the text of a registered item exactly as
training composed the texts that the tokenizer learned from.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

AttributeValue: TypeAlias = str | int | float | bool | list[str]

MAX_ID_LENGTH = 256
_FIELDS = ("title", "brand", "description", "text")
# All of Unicode's categories Cc and Cs. Regular expressions, since a request may have millions of characters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidItem(ValueError):
    """An item that Kindred refuses. `field` names the part at fault, `reason` says what was expected."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def check_item_id(value: object) -> str:
    """Return `value` if it can name an item. Raises InvalidItem otherwise.

    An identifier has 1 to 256 characters, no control characters, no lone surrogates (they have no UTF-8 form) and no
    blanks at either end. Kindred keeps it byte for byte, so this function repairs nothing.
    """
    if not isinstance(value, str):
        raise InvalidItem("item_id", f"must be a string, not {type(value).__name__}")
    if not value:
        raise InvalidItem("item_id", "must not be empty")
    if len(value) > MAX_ID_LENGTH:
        raise InvalidItem("item_id", f"has {len(value)} characters, at most {MAX_ID_LENGTH} are allowed")
    if value != value.strip():
        raise InvalidItem("item_id", "must not begin or end with a blank")
    if (found := _CONTROL.search(value) or _SURROGATE.search(value)) is not None:
        raise InvalidItem("item_id", f"holds the control character or lone surrogate U+{ord(found[0]):04X}")
    return value


def clean_text(value: str) -> str:
    """Repair free text: NFC, lone surrogates to U+FFFD, control characters and runs of blanks to one blank."""
    if value.isascii() and value.isprintable():
        return " ".join(value.split())
    repaired = _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", value))
    return " ".join(unicodedata.normalize("NFC", repaired).split())


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a catalogue.

    `text`, if given, is the whole text of the item; otherwise `to_text` composes it from the fields. `attributes` are
    no part of the text: the API returns them and filters on them.
    """

    item_id: str
    title: str | None = None
    brand: str | None = None
    categories: tuple[str, ...] = ()
    description: str | None = None
    price: float | None = None
    text: str | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def to_text(self) -> str:
        """The text for the text encoder: `text`, or "title;price;brand;category;…;description" (the paper's form).

        It leaves out missing parts. An item without any part gives "".
        """
        if self.text:
            return self.text
        price = "" if self.price is None else str(float(self.price))
        parts = (self.title, price, self.brand, *self.categories, self.description)
        return ";".join(part for part in parts if part)

    def public_attributes(self) -> dict[str, AttributeValue]:
        """The attributes that the API returns and filters on: the fields that are present, then `attributes`."""
        public: dict[str, AttributeValue] = {}
        if self.title:
            public["title"] = self.title
        if self.brand:
            public["brand"] = self.brand
        if self.categories:
            public["categories"] = list(self.categories)
        if self.price is not None:
            public["price"] = self.price
        public.update(self.attributes)
        return public

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form without missing fields; `from_dict` makes an equal item of it."""
        out: dict[str, Any] = {"item_id": self.item_id}
        for name in ("title", "brand", "description", "text", "price"):
            if (value := getattr(self, name)) is not None:
                out[name] = value
        if self.categories:
            out["categories"] = list(self.categories)
        if self.attributes:
            out["attributes"] = dict(self.attributes)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Item:
        """Build an item from JSON-like data. Raises InvalidItem that names the field at fault."""
        if not isinstance(data, Mapping):
            raise InvalidItem("item", f"must be an object, not {type(data).__name__}")
        known = {"item_id", "categories", "price", "attributes", *_FIELDS}
        if unknown := sorted(set(data) - known):
            raise InvalidItem(unknown[0], f"is not a field of an item; known: {', '.join(sorted(known))}")
        texts = {name: _text_field(name, data.get(name)) for name in _FIELDS}
        return cls(
            item_id=check_item_id(data.get("item_id")),
            title=texts["title"],
            brand=texts["brand"],
            categories=_categories(data.get("categories")),
            description=texts["description"],
            price=_price(data.get("price")),
            text=texts["text"],
            attributes=_attributes(data.get("attributes")),
        )

    def content_hash(self) -> str:
        """SHA-256 of all but the identifier. Equal content gives an equal hash, in any order of keys."""
        content = self.to_dict()
        del content["item_id"]
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _text_field(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidItem(name, f"must be a string, not {type(value).__name__}")
    return clean_text(value) or None


def _categories(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise InvalidItem("categories", "must be a list of strings")
    if not all(isinstance(part, str) for part in value):
        raise InvalidItem("categories", "must be a list of strings")
    return tuple(cleaned for part in value if (cleaned := clean_text(part)))


def _price(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidItem("price", f"must be a number, not {type(value).__name__}")
    try:
        price = float(value)
    except OverflowError:
        price = math.inf
    if not math.isfinite(price) or price < 0:
        raise InvalidItem("price", "must be a finite number, zero or more")
    return price


def _attributes(value: object) -> dict[str, AttributeValue]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidItem("attributes", "must be an object")
    out: dict[str, AttributeValue] = {}
    for key, entry in value.items():
        if not isinstance(key, str) or not (name := clean_text(key)):
            raise InvalidItem("attributes", "every name must be a string that is not blank")
        if name in out:  # "size" and "size " are the same name
            raise InvalidItem(f"attributes.{name}", "is given twice")
        out[name] = _attribute(f"attributes.{name}", entry)
    return out


def _attribute(where: str, value: object) -> AttributeValue:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidItem(where, "must fit into 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidItem(where, "must be a finite number")
        return value
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return [clean_text(part) for part in value]
    raise InvalidItem(where, "must be a string, a number, true, false or a list of strings")
