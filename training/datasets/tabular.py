"""The plain form: interactions.{csv,tsv,parquet,jsonl} with items.{csv,tsv,parquet,jsonl}."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.datasets.attribute_types import type_attributes
from training.datasets.collect import Catalogue, InteractionLog, RawData
from training.datasets.columns import (
    INTERACTION_FIELDS,
    ITEM_FIELDS,
    ColumnMap,
    TableUse,
    UsedTable,
    missing_column,
)
from training.datasets.delimited import DelimitedTable
from training.datasets.files import parse_json
from training.datasets.problems import INVALID_FIELD, ProblemLog, quoted
from training.datasets.tables import Table, open_table
from training.datasets.values import MICROSECONDS, TimeUnit, parse_categories, parse_price

_FIRST_LIKELY_TIME = 365 * 86_400 * MICROSECONDS  # 1971; seconds that are read as milliseconds fall before it


def read_tabular(
    interactions: Path,
    items: Path | None,
    problems: ProblemLog,
    *,
    recognised: str,
    columns: ColumnMap,
    time_unit: TimeUnit,
) -> RawData:
    """Read both tables; without an items file no item has a text.

    Interactions need user_id and item_id. The columns timestamp (a number in `time_unit`, or ISO 8601) and weight are
    optional, but if one exists, every row needs a value. Items need item_id; title, brand, categories, description,
    price and text are fields of the item. The mapping `attributes` and every other column are its attributes. Raises
    `DatasetError` if a file or a column is missing.
    """
    table = open_table(interactions, problems)
    found = columns.find(INTERACTION_FIELDS, table.columns)
    tables: list[UsedTable] = [(interactions, INTERACTION_FIELDS, table.columns)]
    item_table = None
    if items is not None:
        item_table = open_table(items, problems)
        tables.append((items, ITEM_FIELDS, item_table.columns))
    columns.refuse_unused(*tables)
    log = read_interactions(table, found, problems, time_unit=time_unit)
    files = [interactions] if items is None else [interactions, items]
    raw = RawData("tabular", recognised, files, log, Catalogue(problems))
    describe_interactions(raw, table, found, time_unit)
    if item_table is None:
        raw.notes.append("no items file, so no item has a text")
    else:
        _read_items(item_table, columns, raw, problems)
    return raw


def read_interactions(
    table: Table, found: Mapping[str, str], problems: ProblemLog, *, time_unit: TimeUnit
) -> InteractionLog:
    """Read a table of interactions; `found` maps its fields to columns."""
    if table.columns:
        for name in ("user_id", "item_id"):
            if name not in found:
                raise missing_column(table.path, name, table.columns)
    timed, weighted = "timestamp" in found, "weight" in found
    log = InteractionLog(table.path, problems, timed=timed, weighted=weighted)
    if not table.columns:
        return log
    fields = [name for name in INTERACTION_FIELDS if name in found]
    names = [found[name] for name in fields]
    time_at = fields.index("timestamp") if timed else -1
    weight_at = fields.index("weight") if weighted else -1
    for line, cells in table.cells(names):
        time = cells[time_at] if timed else None
        weight = cells[weight_at] if weighted else None
        log.add(line, cells[0], cells[1], time, weight, time_unit)
    return log


def describe_interactions(raw: RawData, table: Table, found: Mapping[str, str], time_unit: TimeUnit) -> None:
    """Add to `raw` the use of its columns, and a warning about odd times."""
    raw.columns.append(TableUse.of_interactions(table.path, found, table.columns))
    if not raw.log.timed:
        raw.notes.append("the interactions have no timestamps, so file order stands for time order")
    elif time_unit == "ms" and raw.log.times and max(raw.log.times) < _FIRST_LIKELY_TIME:
        raw.warnings.append(
            "read as milliseconds, every time lies before 1971: are these seconds? Then leave out --time-unit ms"
        )


def _read_items(table: Table, columns: ColumnMap, raw: RawData, problems: ProblemLog) -> None:
    """Read a table of items into the catalogue of `raw`."""
    if not table.columns:
        raw.notes.append("the items file has no rows")
        return
    found = columns.find(ITEM_FIELDS, table.columns)
    if "item_id" not in found:
        raise missing_column(table.path, "item_id", table.columns)
    field_of = {column: name for name, column in found.items()}
    warn_of_no_text(raw, found)
    others = [column for column in table.columns if column not in field_of]
    # Tools write row numbers as a column without a name.
    left = [column for column in others if column in columns.ignored or not column.strip()]
    attributes = [column for column in others if column not in left and column != "attributes"]
    for line, record in table.records():
        for column in left:
            record.pop(column, None)
        data = item_fields(table.path, line, record, field_of, problems)
        if data is not None:
            raw.catalogue.add(table.path, line, data)
    kinds = dict.fromkeys(attributes, "")
    if isinstance(table, DelimitedTable):
        kinds |= type_attributes(raw.catalogue.items, attributes)
    fields = found | ({"attributes": "attributes"} if "attributes" in others and "attributes" not in left else {})
    raw.columns.append(TableUse(table.path.name, fields, kinds, [column.strip() or "(no name)" for column in left]))


def warn_of_no_text(raw: RawData, found: Mapping[str, str]) -> None:
    """Warn if none of the items' columns contributes to a text."""
    if not any(name in found for name in ("title", "brand", "categories", "description", "text")):
        raw.warnings.append(
            "the items have no column title, brand, categories, description or text, so the model learns nothing "
            "about them; name a column that has one, for example --column title=name"
        )


def item_fields(
    path: Path, line: int, record: Mapping[str, Any], field_of: Mapping[str, str], problems: ProblemLog
) -> dict[str, Any] | None:
    """One row in the form of `Item.from_dict`, or None after recording a problem.

    Leaves out an unreadable price or column `attributes`, and records a problem.
    """
    data: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for column, cell in record.items():
        name = field_of.get(column)
        try:
            if name is not None:
                data[name] = _FIELD_PARSERS.get(name, _as_it_is)(cell)
            elif column != "attributes":
                attributes[column] = cell
        except ValueError as error:
            kind = INVALID_FIELD if name == "price" else "invalid_item"
            problems.add(path, line, kind, f"{name} {quoted(cell)}: {error}", str(name))
            if kind != INVALID_FIELD:
                return None
    nested = None if "attributes" in field_of else record.get("attributes")
    if nested is not None:
        try:
            attributes = _merged(attributes, nested)
        except ValueError as error:
            problems.add(path, line, INVALID_FIELD, f"attributes {quoted(nested)}: {error}", "attributes")
    if attributes:
        data["attributes"] = attributes
    return data


def _as_it_is(cell: object) -> object:
    return cell


_FIELD_PARSERS: Mapping[str, Callable[[object], object]] = {
    "price": parse_price,
    "categories": parse_categories,
}


def _merged(columns: Mapping[str, Any], nested: object) -> dict[str, Any]:
    """Attributes from columns and from a column `attributes`, which is a JSON object in untyped files."""
    value = parse_json(nested) if isinstance(nested, str) else nested
    if not isinstance(value, Mapping):
        raise ValueError("expected an object of names and values")
    if twice := sorted(set(value) & set(columns)):
        raise ValueError(f"{quoted(twice[0])} is in it and is a column, too")
    return {**columns, **{name: entry for name, entry in value.items() if entry is not None}}
