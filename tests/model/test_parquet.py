"""Parquet from memory: the table that was written, and an error for anything else."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.parquet import read_parquet


def test_what_was_written_is_read() -> None:
    table = pa.table({"id": ["a", "b"], "codes": [[1, 2], []]})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    assert read_parquet(file.getvalue()).equals(table)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1 and no more PAR1"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises((pa.ArrowException, OSError)):
        read_parquet(data)
