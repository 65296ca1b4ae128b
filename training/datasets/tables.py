"""Tables in CSV, TSV, JSON lines and parquet files: columns, and rows with their line numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from training.datasets.columns import check_columns
from training.datasets.delimited import DELIMITERS, DelimitedTable
from training.datasets.files import base_suffix, read_json_lines
from training.datasets.problems import DatasetError, ProblemLog

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
# Text that is not UTF-8 raises ValueError, and a time outside datetime's range raises OverflowError.
_PARQUET_ERRORS = (OSError, pa.ArrowException, ValueError, OverflowError)


class Table(Protocol):
    """A file with columns. It records rows that do not fit the columns as problems, and skips them."""

    path: Path
    columns: list[str]

    def cells(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
        """Yield (line, the cells of these columns); a missing cell is None or ""."""
        ...

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, column → cell) without missing cells."""
        ...


def open_table(path: Path, problems: ProblemLog) -> Table:
    """Open a table by its suffix; raises `DatasetError` if the file or its header is unreadable."""
    suffix = base_suffix(path)
    if suffix in DELIMITERS:
        return DelimitedTable(path, problems)
    if suffix == ".jsonl":
        return JsonTable(path, problems)
    if suffix == ".parquet" and not path.name.lower().endswith(".gz"):
        return ParquetTable(path)
    expected = ", ".join(TABLE_SUFFIXES)
    raise DatasetError(f"{path}: expected a file that ends in one of {expected} (text files may add .gz)")


class JsonTable:
    """One JSON object per line, each with some of the columns; `columns` has the names of all."""

    def __init__(self, path: Path, problems: ProblemLog) -> None:
        self.path = path
        self._problems = problems
        seen: dict[str, None] = {}
        # The second pass, which reads the rows, records the problems.
        for _, value in read_json_lines(path, ProblemLog()):
            seen.update(dict.fromkeys(value))
        self.columns = list(seen)

    def cells(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
        """See `Table`."""
        for number, value in read_json_lines(self.path, self._problems):
            yield number, [value.get(name) for name in names]

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """See `Table`."""
        for number, value in read_json_lines(self.path, self._problems):
            yield number, {name: cell for name, cell in value.items() if cell is not None}


class ParquetTable:
    """A parquet file; a row's line is its number, counted from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
            names = list(self._file.schema_arrow.names)
        except _PARQUET_ERRORS as error:
            raise DatasetError(f"{path}: cannot be read as parquet: {error}") from None
        self.columns = check_columns(path, names)

    def cells(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
        """See `Table`."""
        number = 0
        try:
            for batch in self._file.iter_batches(columns=list(names)):
                columns = [_values(batch.column(name)) for name in names]
                for row in zip(*columns, strict=True):
                    number += 1
                    yield number, row
        except _PARQUET_ERRORS as error:
            raise DatasetError(f"{self.path}: cannot be read after row {number}: {error}") from None

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """See `Table`."""
        for number, row in self.cells(self.columns):
            pairs = zip(self.columns, row, strict=True)
            yield number, {name: cell for name, cell in pairs if cell is not None}


def _values(column: pa.Array) -> list[object]:
    if pa.types.is_timestamp(column.type):
        # Python's datetime has microseconds; cut finer times.
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    values: list[object] = column.to_pylist()
    return values
