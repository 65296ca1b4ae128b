"""Rows in chunks, so that a large intermediate table is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator


def row_chunks(rows: int, columns: int, cells: int, most: int | None = None) -> Iterator[slice]:
    """Slices that cover 0 … rows − 1, each of at most `cells` cells and `most` rows, but of at least one row."""
    step = max(1, cells // max(1, columns))
    if most is not None:
        step = min(step, most)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
