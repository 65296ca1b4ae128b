"""Lines of text files, plain or gzip, decoded as UTF-8 line by line, with a clear error for a damaged file."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from training.datasets.problems import DatasetError, ProblemLog, quoted

_BOM = b"\xef\xbb\xbf"
NOT_UTF8 = "the line is not UTF-8; save the file as UTF-8"


def base_suffix(path: Path) -> str:
    """The suffix in lower case without ".gz": `interactions.CSV.gz` → `.csv`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def read_lines(path: Path) -> Iterator[tuple[int, str | None]]:
    """Yield (line number from 1, line with its line end); the line is None if it is not UTF-8.

    Raises `DatasetError` if the file is unreadable, or its gzip data is damaged or cut short.
    """
    number = 0
    try:
        zipped = path.name.lower().endswith(".gz")
        # GzipFile splits lines in Python; the buffered reader around it does so in C.
        with io.BufferedReader(gzip.GzipFile(path, "rb")) if zipped else path.open("rb") as stream:
            for raw in stream:
                number += 1
                if number == 1:
                    raw = raw.removeprefix(_BOM)
                try:
                    yield number, raw.decode("utf-8")
                except UnicodeDecodeError:
                    yield number, None
    except EOFError:
        raise DatasetError(f"{path}: the gzip data is cut short after line {number}; copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: the gzip data is damaged after line {number}: {error}") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_text_lines(path: Path, problems: ProblemLog) -> Iterator[tuple[int, str]]:
    """Yield (line number, line without line end); skips blank lines and records bad UTF-8 as a problem."""
    for number, line in read_lines(path):
        if line is None:
            problems.add(path, number, "encoding", NOT_UTF8)
        elif line.strip():
            yield number, line.rstrip("\r\n")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class Pairs(list[tuple[str, Any]]):
    """A JSON object as a list of pairs, which keeps repeated names."""


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_PAIRS_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=Pairs)


def parse_json(text: str, *, pairs: bool = False) -> Any:
    """Parse one JSON value strictly (no NaN, no infinity); with `pairs`, objects become `Pairs`.

    Raises `ValueError` with the reason.
    """
    try:
        return (_PAIRS_DECODER if pairs else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json_lines(path: Path, problems: ProblemLog) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a file with one JSON object per line; records any other line as a problem."""
    for number, line in read_text_lines(path, problems):
        try:
            value = parse_json(line)
        except ValueError as error:
            problems.add(path, number, "malformed_row", f"{quoted(line)}: expected a JSON object: {error}")
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            problems.add(path, number, "malformed_row", f"{quoted(line)}: expected a JSON object")
