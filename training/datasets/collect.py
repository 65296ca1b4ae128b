"""The containers that readers fill: a log of interactions and a catalogue of item rows."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.items import InvalidItem, Item, check_item_id
from training.datasets.columns import TableUse
from training.datasets.problems import INVALID_FIELD, ProblemLog, quoted
from training.datasets.values import MICROSECONDS, TimeUnit, as_id, parse_time, parse_weight

# Readers and `assemble` count these rows under one reason.
ITEM_ROWS_UNSEEN = "item rows without interactions"


class IdTable:
    """Numbers identifiers in order of first sight, and checks each once."""

    def __init__(self, field_name: str) -> None:
        self.field_name = field_name
        self.numbers: dict[str, int] = {}

    def number(self, value: object) -> int:
        """The number of an identifier; raises `InvalidItem` for an invalid one."""
        found = self.numbers.get(value) if isinstance(value, str) else None
        if found is not None:
            return found
        try:
            checked = check_item_id(as_id(value))
        except InvalidItem as error:
            raise InvalidItem(self.field_name, error.reason) from None
        return self.numbers.setdefault(checked, len(self.numbers))


class InteractionLog:
    """Interactions in file order, as arrays of numbers: user, item, microseconds and weight."""

    def __init__(self, path: Path, problems: ProblemLog, *, timed: bool, weighted: bool = False) -> None:
        self.path = path
        self.problems = problems
        self.timed = timed
        self.weighted = weighted
        self.users = IdTable("user_id")
        self.items = IdTable("item_id")
        self.user_numbers = array("i")
        self.item_numbers = array("i")
        self.times = array("q")
        self.weights = array("f")

    def __len__(self) -> int:
        return len(self.user_numbers)

    def add(self, line: int, user: object, item: object, time: object, weight: object, unit: TimeUnit = "s") -> bool:
        """Add one row, or record its problem; reads `time` and `weight` only if the log has them."""
        # Look into the dictionaries first: they already hold nearly every identifier.
        user_number = self.users.numbers.get(user) if type(user) is str else None
        item_number = self.items.numbers.get(item) if type(item) is str else None
        if user_number is None or item_number is None:
            for name, value in (("user_id", user), ("item_id", item)):
                if value is None or value == "":
                    return self._refuse(line, "missing_value", name, "is missing; expected an identifier")
            try:
                user_number = self.users.number(user)
                item_number = self.items.number(item)
            except InvalidItem as error:
                value = user if error.field == "user_id" else item
                return self._refuse(line, "invalid_id", error.field, f"{quoted(value)} {error.reason}")
        microseconds, checked_weight = 0, 1.0
        if self.timed and type(time) is str and len(time) == 10 and time.isascii() and time.isdigit():
            # A quick path for most rows: ten digits are always in range.
            microseconds = int(time) * (MICROSECONDS if unit == "s" else 1000)
        elif self.timed:
            if time is None or time == "":
                return self._refuse(line, "missing_value", "timestamp", "is missing; other rows have one")
            try:
                microseconds = parse_time(time, unit)
            except ValueError as error:
                return self._refuse(line, "invalid_timestamp", "timestamp", f"{quoted(time)}: {error}")
        if self.weighted:
            if weight is None or weight == "":
                return self._refuse(line, "missing_value", "weight", "is missing; other rows have one")
            try:
                checked_weight = parse_weight(weight)
            except ValueError as error:
                return self._refuse(line, "invalid_weight", "weight", f"{quoted(weight)}: {error}")
        self.user_numbers.append(user_number)
        self.item_numbers.append(item_number)
        if self.timed:
            self.times.append(microseconds)
        if self.weighted:
            self.weights.append(checked_weight)
        return True

    def _refuse(self, line: int, kind: str, field: str, reason: str) -> bool:
        self.problems.add(self.path, line, kind, f"{field} {reason}", field)
        return False


@dataclass
class Catalogue:
    """Item rows in file order. Counts a row that repeats another; records one that contradicts it as a problem."""

    problems: ProblemLog
    items: dict[str, Item] = field(default_factory=dict)
    repeated_rows: int = 0
    _lines: dict[str, int] = field(default_factory=dict)

    def add(self, path: Path, line: int, data: Mapping[str, Any]) -> None:
        """Add one item in the form of `Item.from_dict`, or record its problem.

        An invalid price or attribute is left out, and the item is added without it.
        """
        if data.get("item_id") in (None, ""):
            message = "item_id is missing; expected an identifier"
            self.problems.add(path, line, "missing_value", message, "item_id")
            return
        data = {**data, "item_id": as_id(data["item_id"])}
        try:
            item = Item.from_dict(data)
        except InvalidItem as error:
            if not _drops_only_the_field(error):
                kind = "invalid_id" if error.field == "item_id" else "invalid_item"
                message = f"{error.field} {quoted(data.get(error.field))} {error.reason}"
                self.problems.add(path, line, kind, message, error.field)
                return
            # `Item` checks these fields last, so the others are valid.
            item = Item.from_dict(self._without_bad_fields(path, line, data))
        known = self.items.get(item.item_id)
        if known is None:
            self.items[item.item_id] = item
            self._lines[item.item_id] = line
        elif known == item:
            self.repeated_rows += 1
        else:
            first = self._lines[item.item_id]
            reason = f"item_id {quoted(item.item_id)} is described differently in line {first}"
            self.problems.add(path, line, "conflicting_item", f"{reason}; expected one row per item", "item_id")

    def _without_bad_fields(self, path: Path, line: int, data: Mapping[str, Any]) -> dict[str, Any]:
        """The item without an invalid price and invalid attributes; records each as a problem."""
        out = {name: value for name, value in data.items() if name not in ("price", "attributes")}
        if self._is_valid(path, line, {"price": data.get("price")}, data.get("price"), set()):
            out["price"] = data.get("price")
        given = data.get("attributes")
        names: set[str] = set()
        out["attributes"] = {
            name: value
            for name, value in (given.items() if isinstance(given, Mapping) else ())
            if self._is_valid(path, line, {"attributes": {name: value}}, value, names)
        }
        return out

    def _is_valid(self, path: Path, line: int, part: dict[str, Any], value: object, names: set[str]) -> bool:
        """Whether this field is valid; adds valid attributes in their final spelling to `names`."""
        try:
            item = Item.from_dict({"item_id": "any", **part})
            for name in item.attributes:
                if name in names:  # "size" and "size " are each valid, but not both
                    raise InvalidItem(f"attributes.{name}", "is given twice")
        except InvalidItem as error:
            self.problems.add(path, line, INVALID_FIELD, f"{error.field} {quoted(value)} {error.reason}", error.field)
            return False
        names.update(item.attributes)
        return True


def _drops_only_the_field(error: InvalidItem) -> bool:
    return error.field in ("price", "attributes") or error.field.startswith("attributes.")


@dataclass
class RawData:
    """A reader's result, before sorting, filtering and numbering.

    `keep_unseen`: by default keep items without interactions; false for sources whose item file covers far more than
    the interactions.
    """

    format: str
    recognised: str
    files: list[Path]
    log: InteractionLog
    catalogue: Catalogue
    keep_unseen: bool = True
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    columns: list[TableUse] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
