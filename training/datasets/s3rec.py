"""S3-Rec's files: each line has a user and the items in order, and a JSON object maps item → text.

Source: https://github.com/RUCAIBox/CIKM2020-S3Rec. There are no timestamps; the order of a line stands for
time order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.datasets.collect import Catalogue, InteractionLog, RawData
from training.datasets.files import NOT_UTF8, Pairs, parse_json, read_lines, read_text_lines
from training.datasets.problems import DatasetError, ProblemLog, quoted


def read_s3rec(interactions: Path, items: Path, problems: ProblemLog, *, recognised: str) -> RawData:
    """Read "user item item …" lines and {"item": "text", …}.

    Items are in numeric order if all identifiers are numbers, otherwise in the order of the file. A user on more than
    one line is a problem, because either line may have come first. Raises `DatasetError` if the file of texts is not
    one JSON object.
    """
    log = InteractionLog(interactions, problems, timed=False)
    first_lines: dict[str, int] = {}
    for line, text in read_text_lines(interactions, problems):
        user, *sequence = text.split()
        if user in first_lines:
            message = f"user {quoted(user)} is already in line {first_lines[user]}; expected one line per user"
            problems.add(interactions, line, "repeated_user", message)
            continue
        first_lines[user] = line
        if not sequence:
            message = f"user {quoted(user)} has no items; expected user item item …"
            problems.add(interactions, line, "missing_value", message)
        for item in sequence:
            log.add(line, user, item, None, None)

    catalogue = Catalogue(problems)
    pairs = _read_texts(items, problems)
    if all(item.isascii() and item.isdigit() and len(item) < 19 for item, _ in pairs):
        pairs.sort(key=lambda pair: int(pair[0]))
    for item, item_text in pairs:
        catalogue.add(items, 1, {"item_id": item, "text": item_text})
    notes = ["the format has no timestamps, so the order of a line stands for time order"]
    return RawData("s3rec", recognised, [interactions, items], log, catalogue, notes=notes)


def _read_texts(path: Path, problems: ProblemLog) -> list[tuple[str, Any]]:
    parts: list[str] = []
    for number, line in read_lines(path):
        if line is None:
            raise DatasetError(f"{path}:{number}: {NOT_UTF8}")
        parts.append(line)
    try:
        # Pairs instead of a dictionary, to notice an item that occurs twice.
        value = parse_json("".join(parts), pairs=True)
    except ValueError as error:
        raise DatasetError(f"{path}: expected one JSON object of item and text: {error}") from None
    if not isinstance(value, Pairs):
        raise DatasetError(f"{path}: expected one JSON object of item and text")
    return list(value)
