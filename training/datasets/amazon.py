"""Raw Amazon reviews: the 2014 files (JSON or Python literals, one per line) and the 2023 files (JSON lines).

Sources: https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html (2014), https://amazon-reviews-2023.github.io
(2023). As in the literature, every review is an interaction, whatever its rating.
"""

from __future__ import annotations

import ast
import html
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from training.datasets.collect import ITEM_ROWS_UNSEEN, Catalogue, InteractionLog, RawData
from training.datasets.files import parse_json, read_json_lines, read_text_lines
from training.datasets.problems import ProblemLog, quoted
from training.datasets.values import TimeUnit, parse_price

# Numbers from here on are milliseconds: this is 1973 in milliseconds, but the year 5138 in seconds.
FIRST_MILLISECONDS = 100_000_000_000
_LEADING_ASIN = re.compile(r"""\{\s*['"]asin['"]:\s*(?:'([^'\\]*)'|"([^"\\]*)")""")


def read_amazon2014(
    reviews: Path, meta: Path | None, problems: ProblemLog, *, recognised: str, all_items: bool
) -> RawData:
    """Read `reviews_X_5.json.gz` with `meta_X.json.gz`: reviewerID, asin, unixReviewTime (seconds).

    Unless `all_items`, skips meta rows without a review before parsing them: they are nine in ten, and Python literals
    parse slowly.
    """
    log = InteractionLog(reviews, problems, timed=True)
    for line, row in read_literal_lines(reviews, problems):
        log.add(line, row.get("reviewerID"), row.get("asin"), row.get("unixReviewTime"), None)
    raw = _raw("amazon2014", recognised, reviews, meta, log, problems)
    if meta is not None:
        wanted = None if all_items else log.items.numbers
        _read_meta(raw, meta, read_literal_lines(meta, problems, raw, wanted), _item_2014)
    return raw


def read_amazon2023(
    reviews: Path, meta: Path | None, problems: ProblemLog, *, recognised: str, all_items: bool
) -> RawData:
    """Read `X.jsonl.gz` with `meta_X.jsonl.gz`: user_id, parent_asin, timestamp.

    Published files have milliseconds. Numbers below `FIRST_MILLISECONDS` are seconds, as in converted files.
    """
    log = InteractionLog(reviews, problems, timed=True)
    for line, row in read_json_lines(reviews, problems):
        time = row.get("timestamp")
        unit: TimeUnit = "s"
        if isinstance(time, int | float) and time >= FIRST_MILLISECONDS:
            unit = "ms"
        log.add(line, row.get("user_id"), row.get("parent_asin"), time, None, unit)
    raw = _raw("amazon2023", recognised, reviews, meta, log, problems)
    if meta is not None:
        rows = read_json_lines(meta, problems)
        if not all_items:
            rows = _only(rows, raw, log)
        _read_meta(raw, meta, rows, _item_2023)
    return raw


def read_literal_lines(
    path: Path, problems: ProblemLog, raw: RawData | None = None, wanted: Mapping[str, int] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, mapping) of lines that are JSON or Python literals; never evaluates code.

    With `wanted`, skips lines that begin with another asin, and counts them as dropped in `raw`.
    """
    for number, line in read_text_lines(path, problems):
        if raw is not None and wanted is not None:
            match = _LEADING_ASIN.match(line)
            if match and (match[1] or match[2]) not in wanted:
                raw.dropped[ITEM_ROWS_UNSEEN] += 1
                continue
        value = _parse_literal(line)
        if isinstance(value, dict):
            yield number, value
        else:
            message = f"{quoted(line)}: expected a JSON object or a Python dictionary"
            problems.add(path, number, "malformed_row", message)


def _parse_literal(line: str) -> object:
    try:
        return parse_json(line)
    except ValueError:
        pass  # not JSON: try a Python literal
    try:
        with warnings.catch_warnings():
            # Descriptions contain stray backslashes, of which Python only warns.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _raw(
    format: str, recognised: str, reviews: Path, meta: Path | None, log: InteractionLog, problems: ProblemLog
) -> RawData:
    files = [reviews] if meta is None else [reviews, meta]
    raw = RawData(format, recognised, files, log, Catalogue(problems), keep_unseen=False)
    if meta is None:
        raw.notes.append("no meta file, so no item has a text")
    return raw


def _only(
    rows: Iterator[tuple[int, dict[str, Any]]], raw: RawData, log: InteractionLog
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row in rows:
        item_id = row.get("parent_asin")
        if isinstance(item_id, str) and item_id not in log.items.numbers:
            raw.dropped[ITEM_ROWS_UNSEEN] += 1
        else:
            yield line, row


def _read_meta(
    raw: RawData,
    meta: Path,
    rows: Iterator[tuple[int, dict[str, Any]]],
    to_item: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> None:
    for line, row in rows:
        data = to_item(row)
        try:
            data["price"] = parse_price(data["price"])
        except ValueError:
            # "$5 - $9", "from 3.99" and "—" are common in these files, and an item needs no price.
            data["price"] = None
            raw.dropped["prices that are not one amount"] += 1
        raw.catalogue.add(meta, line, data)


def _item_2014(row: Mapping[str, Any]) -> dict[str, Any]:
    paths = row.get("categories")
    if isinstance(paths, list) and all(isinstance(path, list) for path in paths):
        # Each path begins with the shop's department, which is the same in the whole file; S3-Rec leaves it out.
        parts = [part for path in paths for part in path[1:]]
        paths = list(dict.fromkeys(_unescape(part) for part in parts if isinstance(part, str)))
    return {
        "item_id": row.get("asin"),
        "title": _unescape(row.get("title")),
        "brand": _unescape(row.get("brand")),
        "categories": paths,
        "description": _joined(row.get("description")),
        "price": row.get("price"),
    }


def _item_2023(row: Mapping[str, Any]) -> dict[str, Any]:
    details = row.get("details")
    brand = details.get("Brand") if isinstance(details, Mapping) else None
    categories = row.get("categories")
    if isinstance(categories, list):
        categories = [_unescape(part) for part in categories]
    data = {
        "item_id": row.get("parent_asin"),
        "title": _unescape(row.get("title")),
        "brand": _unescape(brand or row.get("store")),
        "categories": categories,
        "description": _joined(row.get("description")),
        "price": row.get("price"),
    }
    if (department := row.get("main_category")) is not None:
        data["attributes"] = {"main_category": department}
    return data


def _joined(value: object) -> object:
    """A description: a text or a list of paragraphs. Other types pass, and the item refuses them."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return _unescape(" ".join(value))
    return _unescape(value)


def _unescape(value: Any) -> Any:
    """These files have HTML texts: "Dr. Scholl&#39;s"."""
    return html.unescape(value) if isinstance(value, str) else value
