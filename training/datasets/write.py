"""Writes a `Dataset` in the canonical form, which `load_dataset` reads back to equal content."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from training.datasets.base import Dataset


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """Write `interactions.csv` and `items.jsonl` into `folder`; makes the folder if it is missing.

    Writes each file under another name and then moves it, so that no reader sees half a file. Reading them back gives
    the same fingerprint. Raises `OSError` if it cannot write to the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Items first: a reader would take interactions alone for a data set.
    _replace(folder / "items.jsonl", lambda stream: _write_items(dataset, stream))
    _replace(folder / "interactions.csv", lambda stream: _write_interactions(dataset, stream))


def _write_items(dataset: Dataset, stream: TextIO) -> None:
    for item in dataset.items:
        stream.write(json.dumps(item.to_dict(), ensure_ascii=False) + "\n")


def _write_interactions(dataset: Dataset, stream: TextIO) -> None:
    timestamps, weights = dataset.timestamps, dataset.weights
    optional = [name for name, rows in (("timestamp", timestamps), ("weight", weights)) if rows is not None]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["user_id", "item_id", *optional])
    ids = [item.item_id for item in dataset.items]
    for user, (user_id, sequence) in enumerate(zip(dataset.user_ids, dataset.sequences, strict=True)):
        columns: list[list[object]] = [[user_id] * len(sequence), [ids[index] for index in sequence.tolist()]]
        if timestamps is not None:
            columns.append(timestamps[user].tolist())
        if weights is not None:
            # repr of the float64 value names the float32 exactly.
            columns.append(weights[user].tolist())
        writer.writerows(zip(*columns, strict=True))


def _replace(path: Path, write: Callable[[TextIO], None]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
