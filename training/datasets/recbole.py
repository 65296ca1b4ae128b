"""RecBole atomic files: `.inter` and `.item`, tab separated, with a type in every name of the header.

Format: https://recbole.io/docs/user_guide/data/atomic_files.html. There is no quoting; the parts of a
sequence stand between blanks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.items import AttributeValue
from training.datasets.collect import Catalogue, RawData
from training.datasets.columns import (
    INTERACTION_FIELDS,
    ITEM_FIELDS,
    ColumnMap,
    TableUse,
    UsedTable,
    check_columns,
    missing_column,
)
from training.datasets.files import read_lines, read_text_lines
from training.datasets.problems import INVALID_FIELD, DatasetError, ProblemLog, listed, quoted
from training.datasets.tabular import describe_interactions, read_interactions, warn_of_no_text
from training.datasets.values import TimeUnit, parse_categories, parse_price

TYPES = ("token", "token_seq", "float", "float_seq")
_TEXTS = ("title", "brand", "description", "text")


class AtomicTable:
    """One atomic file; `types` gives the type of each column by its name without the type."""

    def __init__(self, path: Path, problems: ProblemLog) -> None:
        self.path = path
        self._problems = problems
        self.types = self._header()
        self.columns = list(self.types)

    def _header(self) -> dict[str, str]:
        for number, line in read_lines(self.path):
            if line is None:
                raise DatasetError(f"{self.path}:{number}: the header is not UTF-8")
            pairs = [name.strip().rpartition(":") for name in line.rstrip("\r\n").split("\t")]
            for name, _, kind in pairs:
                if not name or kind not in TYPES:
                    raise DatasetError(
                        f"{self.path}:{number}: the header holds {quoted(f'{name}:{kind}')}; "
                        f"expected tab separated names such as user_id:token, of type {', '.join(TYPES)}"
                    )
            check_columns(self.path, [name for name, _, _ in pairs])
            return {name: kind for name, _, kind in pairs}
        raise DatasetError(f"{self.path}: the file is empty; expected a header such as user_id:token")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        lines = read_text_lines(self.path, self._problems)
        next(lines)  # the header
        for number, line in lines:
            fields = line.split("\t")
            if len(fields) == len(self.columns):
                yield number, fields
            else:
                message = f"{len(fields)} fields; expected {len(self.columns)}: {listed(self.columns)}"
                self._problems.add(self.path, number, "malformed_row", message)

    def cells(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
        """See `tables.Table`."""
        positions = [self.columns.index(name) for name in names]
        for number, fields in self._rows():
            yield number, [fields[position] for position in positions]

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """See `tables.Table`."""
        for number, fields in self._rows():
            yield (
                number,
                {name: cell for name, cell in zip(self.columns, fields, strict=True) if cell.strip()},
            )


def read_recbole(
    interactions: Path,
    items: Path | None,
    problems: ProblemLog,
    *,
    recognised: str,
    columns: ColumnMap,
    time_unit: TimeUnit,
) -> RawData:
    """Read `.inter` and `.item`; columns that are no item field become attributes of their type.

    A rating counts as a weight only if the caller says so (`--column weight=rating`). Raises `DatasetError` for a
    header of another form, or one without user_id or item_id.
    """
    table = AtomicTable(interactions, problems)
    found = columns.find(INTERACTION_FIELDS, table.columns)
    tables: list[UsedTable] = [(interactions, INTERACTION_FIELDS, table.columns)]
    item_table = None
    if items is not None:
        item_table = AtomicTable(items, problems)
        tables.append((items, ITEM_FIELDS, item_table.columns))
    columns.refuse_unused(*tables)
    log = read_interactions(table, found, problems, time_unit=time_unit)
    files = [interactions] if items is None else [interactions, items]
    raw = RawData("recbole", recognised, files, log, Catalogue(problems))
    describe_interactions(raw, table, found, time_unit)
    if item_table is None:
        raw.notes.append("no .item file, so no item has a text")
    else:
        _read_items(item_table, columns, raw, problems)
    return raw


def _read_items(table: AtomicTable, columns: ColumnMap, raw: RawData, problems: ProblemLog) -> None:
    found = columns.find(ITEM_FIELDS, table.columns)
    if "item_id" not in found:
        raise missing_column(table.path, "item_id", table.columns)
    field_of = {column: name for name, column in found.items()}
    warn_of_no_text(raw, found)
    left = [column for column in table.columns if column in columns.ignored]
    for line, record in table.records():
        for column in left:
            record.pop(column, None)
        raw.catalogue.add(table.path, line, _item(table, line, record, field_of, problems))
    attributes = {name: "" for name in table.columns if name not in field_of and name not in left}
    raw.columns.append(TableUse(table.path.name, found, attributes, left))


def _item(
    table: AtomicTable, line: int, record: Mapping[str, str], field_of: Mapping[str, str], problems: ProblemLog
) -> dict[str, Any]:
    """One row in the form of `Item.from_dict`; leaves out cells that do not fit their type, and records them."""
    data: dict[str, Any] = {}
    attributes: dict[str, AttributeValue] = {}
    for column, cell in record.items():
        name = field_of.get(column)
        try:
            if name == "item_id" or name in _TEXTS:
                # RecBole stores a title as token_seq: it takes the words for a sequence.
                data[name or column] = cell
            elif name == "price":
                data["price"] = parse_price(cell)
            elif name == "categories":
                data["categories"] = split_categories(cell)
            else:
                attributes[column] = _typed(cell, table.types[column])
        except ValueError as error:
            field = name or column
            problems.add(table.path, line, INVALID_FIELD, f"{field} {quoted(cell)}: {error}", field)
    if attributes:
        data["attributes"] = attributes
    return data


def _typed(cell: str, kind: str) -> AttributeValue:
    if kind == "float":
        try:
            return float(cell)
        except ValueError:
            raise ValueError("expected a number, as the header says float") from None
    return cell.split() if kind in ("token_seq", "float_seq") else cell


def split_categories(cell: str) -> object:
    """The categories of one cell, in any form of the published files.

    The forms are a list or quoted parts ("'Skin Care', 'Face'"), parts between `|` or `;`, parts between commas, and
    words between blanks, which is RecBole's own.
    """
    text = cell.strip()
    if text[0] in "['\"":
        try:
            value = ast.literal_eval(text if text.startswith("[") else f"[{text}]")
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            value = None
        if isinstance(value, list):
            return value
    if "|" in text or ";" in text:
        return parse_categories(text)
    if "," in text:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text.split()
