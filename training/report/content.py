"""The content of a part: tables, figures and notes, JSON-ready, the same for report.json and for the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["text", "figure", "percent", "count", "seconds"]


class Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(Content):
    """A value with its range over seeds, or its interval over users."""

    value: float
    low: float
    high: float


Cell = str | int | float | Spread | None


class Column(Content):
    name: str
    kind: Kind = "figure"


class Table(Content):
    """rows: one cell per column; the first is the row's name. note: how to read the table."""

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    note: str = ""


class Figure(Content):
    """file: name in figures/, beside the page. alt: the picture in words. caption: includes data, recipe and seed."""

    file: str
    title: str
    caption: str
    alt: str


class Branch(Content):
    """A node of the semantic-ID tree. code: the prefix. words: those that its items use more often than others."""

    code: list[int]
    items: int
    words: list[str]
    examples: list[str] = []
    branches: list[Branch] = []


class Section(Content):
    """One part of the report."""

    name: str
    title: str
    intro: str
    notes: list[str] = []
    tables: list[Table] = []
    figures: list[Figure] = []
    tree: list[Branch] = []
    runs: list[str] = []


def over_seeds(values: Iterable[float | None]) -> Spread | float | None:
    """Median with least and greatest; a single value stays alone; None if a value is missing."""
    found = list(values)
    if not found or any(value is None for value in found):
        return None
    numbers = [float(value) for value in found if value is not None]
    if len(numbers) == 1:
        return numbers[0]
    return Spread(value=statistics.median(numbers), low=min(numbers), high=max(numbers))


def cell_text(cell: Cell, kind: Kind) -> str:
    """A cell as the page shows it."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Spread):
        value, low, high = (_number(number, kind) for number in (cell.value, cell.low, cell.high))
        return f"{value} ({low} to {high})"
    return _number(cell, kind)


def _number(value: float, kind: Kind) -> str:
    if kind == "percent":
        return f"{value:.1%}"
    if kind == "count":
        return f"{value:,.0f}"
    return f"{value:.0f}" if kind == "seconds" else f"{value:.4f}"


def columns(*names: str, kind: Kind = "figure") -> list[Column]:
    """A column of names, then columns of one kind."""
    first, *rest = names
    return [Column(name=first, kind="text"), *(Column(name=name, kind=kind) for name in rest)]


def table(title: str, heads: Sequence[Column], rows: Iterable[Sequence[Any]], note: str = "") -> Table:
    """Build a table; raises ValueError if a row does not have one cell per column."""
    listed = [list(row) for row in rows]
    for row in listed:
        if len(row) != len(heads):
            raise ValueError(f"table {title!r}: a row of {len(row)} cells for {len(heads)} columns")
    return Table(title=title, columns=list(heads), rows=listed, note=note)
