"""Which column of a file holds which field."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from training.datasets.problems import DatasetError, listed, shown

INTERACTION_FIELDS = ("user_id", "item_id", "timestamp", "weight")
ITEM_FIELDS = ("item_id", "title", "brand", "categories", "description", "price", "text")
UsedTable: TypeAlias = tuple[Path, Sequence[str], Sequence[str]]
_ALL_FIELDS = tuple(dict.fromkeys(INTERACTION_FIELDS + ITEM_FIELDS))


@dataclass(frozen=True)
class ColumnMap:
    """Field → column name, where a file calls it otherwise: `ColumnMap({"item_id": "asin"})`.

    A field that is not named keeps its own name. `item_id` holds for both files; a file without the named
    column is read by the plain name, as long as the other file has it.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, column in self.names.items():
            if name not in _ALL_FIELDS:
                raise DatasetError(f"column {name}={column}: known fields are {', '.join(_ALL_FIELDS)}")
            if not column:
                raise DatasetError(f"column {name}=: expected the name of a column")
        used: dict[str, str] = {}
        for name, column in self.names.items():
            if column in used:
                raise DatasetError(f"column {column!r} is named for both {used[column]} and {name}")
            used[column] = name

    @classmethod
    def parse(cls, pairs: Iterable[str]) -> ColumnMap:
        """Build a map from texts such as "item_id=asin"; raises `DatasetError` for any other form."""
        names: dict[str, str] = {}
        for pair in pairs:
            name, equals, column = pair.partition("=")
            if not equals:
                raise DatasetError(f"column {pair!r}: expected field=column, for example item_id=asin")
            if name in names:
                raise DatasetError(f"column {name} is given twice: {names[name]!r} and {column!r}")
            names[name] = column
        return cls(names)

    def find(self, fields: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
        """The column of every field of `fields` that `columns` holds.

        A column that is mapped to one field is not taken for another by its plain name.
        """
        claimed = {column for column in self.names.values() if column in columns}
        found: dict[str, str] = {}
        for name in fields:
            mapped = self.names.get(name)
            if mapped is not None and mapped in columns:
                found[name] = mapped
            elif name in columns and name not in claimed:
                found[name] = name
        return found

    def refuse_unused(self, *tables: UsedTable) -> None:
        """Raise `DatasetError` for a mapping that no table (path, its fields, its columns) can use."""
        for name, column in self.names.items():
            if not any(name in fields and column in columns for _, fields, columns in tables):
                places = "; ".join(f"{path} has {listed(columns)}" for path, _, columns in tables)
                raise DatasetError(f"column {name}={column}: no such column: {places}")


def check_columns(path: Path, columns: list[str]) -> list[str]:
    """Return the columns; raises `DatasetError` when a name stands twice."""
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DatasetError(f"{path}: the column {shown(twice[0])} stands more than once in the header")
    return columns


def missing_column(path: Path, name: str, columns: Sequence[str]) -> DatasetError:
    """The error for a column that a file must have, with an example that a shell takes as it stands."""
    other = next((column for column in columns if column not in _ALL_FIELDS and listed([column]) == column), None)
    example = "" if other is None else f", for example --column {shlex.quote(f'{name}={other}')}"
    return DatasetError(f"{path}: no column {name}; found: {listed(columns)}. Name the column that holds it{example}")
