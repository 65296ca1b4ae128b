"""Rows in chunks, so that a table of rows by columns that is needed only in passing never lies in memory whole."""

from __future__ import annotations

from collections.abc import Iterator


def row_chunks(rows: int, columns: int, cells: int, most: int | None = None) -> Iterator[slice]:
    """Slices that cover 0 … rows, each of at most `cells` cells and at most `most` rows, but of one row at least."""
    step = max(1, cells // max(1, columns))
    if most is not None:
        step = min(step, most)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
