"""Tables from CSV, TSV, JSON lines and parquet files: columns, then rows with their line numbers."""

from __future__ import annotations

import csv
import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from training.datasets.files import base_suffix, read_json_lines, read_lines, read_text_lines
from training.datasets.problems import DatasetError, ProblemLog, listed, shown

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
# Texts that are not UTF-8 and times that datetime cannot hold come as ValueError and OverflowError.
_PARQUET_ERRORS = (OSError, pa.ArrowException, ValueError, OverflowError)


class Table(Protocol):
    """A file with columns. Rows that do not fit the columns go to the problem log and are passed over."""

    path: Path
    columns: list[str]

    def cells(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
        """Yield (line, the cells of these columns); a missing cell is None or ""."""
        ...

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, column → cell) without the cells that are missing."""
        ...


def open_table(path: Path, problems: ProblemLog) -> Table:
    """Open a table by its suffix; raises `DatasetError` when the file or its header cannot be read."""
    suffix = base_suffix(path)
    if suffix in _DELIMITERS:
        return DelimitedTable(path, problems, _DELIMITERS[suffix])
    if suffix == ".jsonl":
        return JsonTable(path, problems)
    if suffix == ".parquet" and not path.name.lower().endswith(".gz"):
        return ParquetTable(path)
    expected = ", ".join(TABLE_SUFFIXES)
    raise DatasetError(f"{path}: expected a file that ends in one of {expected} (text files may add .gz)")


def check_columns(path: Path, columns: list[str]) -> list[str]:
    """Return the columns; raises `DatasetError` when a name stands twice."""
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DatasetError(f"{path}: the column {shown(twice[0])} stands more than once in the header")
    return columns


class _Feed:
    """Lines for `csv.reader`: knows where it is, and whether a line since the last look was not UTF-8."""

    def __init__(self, path: Path) -> None:
        self._lines = read_lines(path)
        self.number = 0
        self.damaged_line = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            self.number = number
            if line is None:
                self.damaged_line = self.damaged_line or self.number
                yield "\n"
            else:
                yield line


class DelimitedTable:
    """CSV or TSV with a header line, quoted by RFC 4180."""

    def __init__(self, path: Path, problems: ProblemLog, delimiter: str) -> None:
        self.path = path
        self._problems = problems
        self._delimiter = delimiter
        self.columns = check_columns(path, self._header())

    def _header(self) -> list[str]:
        for number, line in read_lines(self.path):
            if line is None:
                raise DatasetError(f"{self.path}:{number}: the header is not UTF-8; save the file as UTF-8")
            if line.strip():
                try:
                    return [name.strip() for name in self._split(line.rstrip("\r\n"))]
                except csv.Error as error:
                    raise DatasetError(f"{self.path}:{number}: the header cannot be read: {error}") from None
        raise DatasetError(f"{self.path}: the file is empty; expected a header line with column names")

    def _split(self, line: str) -> list[str]:
        if '"' not in line:
            return line.split(self._delimiter)
        return next(csv.reader([line], delimiter=self._delimiter, strict=True))

    def cells(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
        """See `Table`. Each line is parsed by itself, so that an open quote spoils one row and no more."""
        width = len(self.columns)
        pick = operator.itemgetter(*(self.columns.index(name) for name in names))
        lines = read_text_lines(self.path, self._problems)
        next(lines)  # the header, which the constructor has read
        for number, line in lines:
            try:
                fields = self._split(line)
            except csv.Error as error:
                self._problems.add(self.path, number, "malformed_row", f"{shown(line)}: {error}")
                continue
            if len(fields) == width:
                picked = pick(fields)
                yield number, picked if len(names) > 1 else (picked,)
            else:
                self._refuse_width(number, len(fields))

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """See `Table`. A quoted cell may hold line ends, as descriptions do."""
        feed = _Feed(self.path)
        reader = csv.reader(feed, delimiter=self._delimiter, strict=True)
        header_seen = False
        while True:
            start = feed.number + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                message = f"lines {start} to {feed.number}: {error} (a quote that is not closed?)"
                self._problems.add(self.path, start, "malformed_row", message)
                continue
            if feed.damaged_line:
                self._problems.add(self.path, feed.damaged_line, "encoding", "the line is not UTF-8")
                feed.damaged_line = 0
            elif len(fields) < 2 and not "".join(fields).strip():
                continue
            elif not header_seen:
                header_seen = True
            elif len(fields) == len(self.columns):
                yield start, {name: cell for name, cell in zip(self.columns, fields, strict=True) if cell}
            else:
                self._refuse_width(start, len(fields))

    def _refuse_width(self, line: int, width: int) -> None:
        message = f"{width} fields; expected {len(self.columns)}: {listed(self.columns)}"
        self._problems.add(self.path, line, "malformed_row", message)


class JsonTable:
    """One JSON object a line, each with some of the columns; `columns` are those that any of them has."""

    def __init__(self, path: Path, problems: ProblemLog) -> None:
        self.path = path
        self._problems = problems
        seen: dict[str, None] = {}
        # Problems met in this first pass are recorded in the second, which reads the rows.
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
    """A parquet file; the line of a row is its number, counted from 1."""

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
        # Python's datetime holds microseconds; finer times are cut.
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    values: list[object] = column.to_pylist()
    return values
