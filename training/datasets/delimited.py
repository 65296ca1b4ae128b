"""CSV and TSV: a header line, then records with RFC 4180 quotes, which may contain line ends."""

from __future__ import annotations

import csv
import operator
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from training.datasets.columns import check_columns
from training.datasets.files import NOT_UTF8, base_suffix, read_lines, read_text_lines
from training.datasets.problems import DatasetError, ProblemLog, listed, quoted

Line: TypeAlias = tuple[int, str | None]

# Possible delimiters by suffix; we use the first one that the header contains.
DELIMITERS = {".csv": (",", ";", "\t"), ".tsv": ("\t",)}


class _Lines:
    """Lines of a file from `read_lines`; a caller can put some back and read them again."""

    def __init__(self, path: Path) -> None:
        self._source = read_lines(path)
        self._back: deque[Line] = deque()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> Line:
        return self._back.popleft() if self._back else next(self._source)

    def put_back(self, lines: Sequence[Line]) -> None:
        self._back.extendleft(reversed(lines))


class DelimitedTable:
    """CSV or TSV with a header line. A .csv without a comma in its header may use semicolons or tabs."""

    def __init__(self, path: Path, problems: ProblemLog) -> None:
        self.path = path
        self._problems = problems
        self._delimiter = ""
        self.columns = check_columns(path, self._header())

    def _header(self) -> list[str]:
        for number, line in read_lines(self.path):
            if line is None:
                raise DatasetError(f"{self.path}:{number}: the header is not UTF-8; save the file as UTF-8")
            if line.strip():
                possible = DELIMITERS[base_suffix(self.path)]
                self._delimiter = next((sign for sign in possible if sign in line), possible[0])
                try:
                    return [name.strip() for name in self._split(line)]
                except csv.Error as error:
                    raise DatasetError(f"{self.path}:{number}: the header cannot be read: {error}") from None
        raise DatasetError(f"{self.path}: the file is empty; expected a header line with column names")

    def _split(self, line: str) -> list[str]:
        line = line.rstrip("\r\n")
        if '"' not in line:
            return line.split(self._delimiter)
        return next(csv.reader([line], delimiter=self._delimiter, strict=True))

    def cells(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
        """See `Table`. Parses each line by itself, so that an open quote spoils only one row."""
        width = len(self.columns)
        pick = operator.itemgetter(*(self.columns.index(name) for name in names))
        lines = read_text_lines(self.path, self._problems)
        next(lines)  # the header, which the constructor has read
        for number, line in lines:
            try:
                fields = self._split(line)
            except csv.Error as error:
                self._refuse_quote(number, line, error)
                continue
            if len(fields) == width:
                picked = pick(fields)
                yield number, picked if len(names) > 1 else (picked,)
            else:
                self._refuse_width(number, len(fields))

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """See `Table`. A quoted cell may contain line ends, as descriptions do.

        If a record of several lines is invalid, read the lines after its first again, so that an open quote spoils only
        one row.
        """
        lines = _Lines(self.path)
        next((line for _, line in lines if line is None or line.strip()), None)  # the header
        # Before this line, an open quote cannot lead to a valid record, because an earlier one did not. We read such
        # lines one by one, so that stray quotes make us read a line at most twice. No valid record of several lines
        # begins there: its first quote would have closed the open one.
        known_until = 0
        for start, line in lines:
            if line is None:
                self._problems.add(self.path, start, "encoding", NOT_UTF8)
                continue
            if not line.strip():
                continue
            taken: list[Line] = [(start, line)]
            try:
                if '"' in line:
                    feed = self._feed(taken, None if start < known_until else lines)
                    fields = next(csv.reader(feed, delimiter=self._delimiter, strict=True))
                else:
                    fields = line.rstrip("\r\n").split(self._delimiter)
            except csv.Error as error:
                self._refuse_quote(start, line, error)
                good = False
            else:
                good = len(fields) == len(self.columns)
                # A cell that is blank, alone in its line, is a blank line; over several it is two quotes that stray.
                if not good and (len(taken) > 1 or len(fields) > 1 or fields[0].strip()):
                    self._refuse_width(start, len(fields))
            if not good:
                lines.put_back(taken[1:])
                known_until = max(known_until, taken[-1][0])
            elif (damaged := next((number for number, text in taken if text is None), None)) is not None:
                self._problems.add(self.path, damaged, "encoding", NOT_UTF8)
            else:
                yield start, {name: cell for name, cell in zip(self.columns, fields, strict=True) if cell}

    def _feed(self, taken: list[Line], lines: Iterator[Line] | None) -> Iterator[str]:
        """The line in `taken`, then, as far as they are asked for, those of `lines`, which join it there."""
        yield taken[0][1] or ""
        for number, line in lines or ():
            taken.append((number, line))
            yield "\n" if line is None else line

    def _refuse_quote(self, line: int, text: str, error: csv.Error) -> None:
        message = f"{quoted(text.rstrip())}: {error} (unclosed quote?)"
        self._problems.add(self.path, line, "malformed_row", message)

    def _refuse_width(self, line: int, width: int) -> None:
        message = f"{width} fields; expected {len(self.columns)}: {listed(self.columns)}"
        self._problems.add(self.path, line, "malformed_row", message)
