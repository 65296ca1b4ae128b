"""The columns of a file and the fields that they hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from training.datasets.problems import DatasetError, listed, printable, quoted

INTERACTION_FIELDS = ("user_id", "item_id", "timestamp", "weight")
ITEM_FIELDS = ("item_id", "title", "brand", "categories", "description", "price", "text")
UsedTable: TypeAlias = tuple[Path, Sequence[str], Sequence[str]]
IGNORE = "ignore"
_ALL_FIELDS = tuple(dict.fromkeys(INTERACTION_FIELDS + ITEM_FIELDS))


@dataclass(frozen=True)
class ColumnMap:
    """Field → column name, for files with other names: `ColumnMap({"item_id": "asin"})`.

    Any other field keeps its own name. `item_id` applies to both files; a file without the named column uses the plain
    name, if the other file has the named one. The reader skips columns in `ignored`.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, column in self.names.items():
            if name not in _ALL_FIELDS:
                known = ", ".join(_ALL_FIELDS)
                raise DatasetError(
                    f"column {name}={column}: unknown field; use one of {known}, or {IGNORE} to skip the column"
                )
        for name, column in (*self.names.items(), *((IGNORE, column) for column in self.ignored)):
            if not column:
                raise DatasetError(f"column {name}=: expected the name of a column")
        used = dict.fromkeys(self.ignored, IGNORE)
        for name, column in self.names.items():
            if column in used:
                raise DatasetError(f"column {column!r} is mapped to both {used[column]} and {name}")
            used[column] = name

    @classmethod
    def from_options(cls, pairs: Iterable[str]) -> ColumnMap:
        """Build a map from texts such as "item_id=asin" and "ignore=dimensions"; raises `DatasetError` for others."""
        names: dict[str, str] = {}
        ignored: set[str] = set()
        for pair in pairs:
            name, equals, column = pair.partition("=")
            if not equals:
                raise DatasetError(f"column {pair!r}: expected field=column, for example item_id=asin")
            if name == IGNORE:
                ignored.add(column)
                continue
            if name in names:
                raise DatasetError(f"column {name} is given twice: {names[name]!r} and {column!r}")
            names[name] = column
        return cls(names, frozenset(ignored))

    def find(self, fields: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
        """The column of every field of `fields` that `columns` holds.

        A column that is mapped to one field never stands for another by its plain name.
        """
        claimed = {column for column in self.names.values() if column in columns} | self.ignored
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
        unused = [
            f"{name}={column}"
            for name, column in self.names.items()
            if not any(name in fields and column in columns for _, fields, columns in tables)
        ]
        unused += [
            f"{IGNORE}={column}"
            for column in sorted(self.ignored)
            if not any(column in columns for _, _, columns in tables)
        ]
        if unused:
            places = "; ".join(f"{path} has {listed(columns)}" for path, _, columns in tables)
            raise DatasetError(f"column {unused[0]}: no such column: {places}")


@dataclass(frozen=True)
class TableUse:
    """How the reader uses the columns of one file.

    `fields` gives the column of each field, `attributes` the type of each attribute if its file does not declare it
    ("" if it does), `not_read` the other columns.
    """

    file: str
    fields: Mapping[str, str]
    attributes: Mapping[str, str]
    not_read: Sequence[str]

    @classmethod
    def of_interactions(cls, path: Path, found: Mapping[str, str], columns: Sequence[str]) -> TableUse:
        """For a table of interactions, which has no attributes; `found` is field → column."""
        return cls(path.name, found, {}, [name for name in columns if name not in found.values()])

    def __str__(self) -> str:
        parts = [name if name == column else f"{name} from {column}" for name, column in self.fields.items()]
        typed = [f"{name} ({kind})" if kind else name for name, kind in self.attributes.items()]
        out = f"{self.file}: {listed(parts)}"
        if typed:
            out += f"; attributes: {listed(typed)}"
        return printable(out) + (f"; not read: {listed(self.not_read)}" if self.not_read else "")


def check_columns(path: Path, columns: list[str]) -> list[str]:
    """Return the columns; raises `DatasetError` if two have one name."""
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DatasetError(f"{path}: the header has the column {quoted(twice[0])} more than once")
    return columns


def missing_column(path: Path, name: str, columns: Sequence[str]) -> DatasetError:
    """The error for a missing column, with an example that works in a shell."""
    other = next((column for column in columns if column not in _ALL_FIELDS and listed([column]) == column), None)
    example = "" if other is None else f", for example --column {shlex.quote(f'{name}={other}')}"
    return DatasetError(f"{path}: no column {name}; found: {listed(columns)}. Name the column that holds it{example}")
