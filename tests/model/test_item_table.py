"""The catalogue of an artifact: rows that do not fit are refused before anything is used."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.artifact import Artifact, ArtifactError
from model.manifest import ITEMS
from tests.support.artifacts import copy_of, rewrite


@pytest.fixture
def folder(tiny_root: Path, tmp_path: Path) -> Path:
    """A version folder to damage."""
    return copy_of(tiny_root, tmp_path / "root")


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        Artifact.load(folder)
    for part in parts:
        assert part in str(caught.value)


def _table(folder: Path, **columns: list[Any]) -> bytes:
    table = pq.read_table(folder / ITEMS)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("item_id", 3, "item-2", "item_ids are not distinct, or differ"),
        ("item_id", 3, None, "holds empty cells"),
        ("content", 3, "[]", "an item is not valid"),
        ("content", 3, "{", "an item is not valid"),
        ("content", 3, '{"item_id": "item-3", "price": "much"}', "price: must be a number"),
        ("content", 3, '{"item_id": "other"}', "differ from the items' content"),
        ("semantic_id", 3, [0, 0], "semantic IDs are not 3 codes below 8"),
        ("semantic_id", 3, [0, 0, 8], "semantic IDs are not 3 codes below 8"),
        ("semantic_id", 3, [0, 0, -1], "semantic IDs are not 3 codes below 8"),
        ("semantic_id", 3, [0, 0, None], "semantic IDs are not 3 codes below 8"),
        ("popularity", 3, None, "holds empty cells"),
        ("popularity", 3, -1, "popularity is negative"),
    ],
)
def test_a_row_of_the_catalogue_that_does_not_fit_is_refused(
    folder: Path, column: str, row: int, value: Any, message: str
) -> None:
    values = pq.read_table(folder / ITEMS)[column].to_pylist()
    values[row] = value
    rewrite(folder, ITEMS, _table(folder, **{column: values}))
    refused(folder, str(folder / ITEMS), message)


def test_a_catalogue_of_another_form_is_refused(folder: Path) -> None:
    rewrite(folder, ITEMS, b"PAR1 and no more")
    refused(folder, str(folder / ITEMS), "is not a parquet file")
    sink = io.BytesIO()
    pq.write_table(pa.table({"item_id": ["a"]}), sink)
    rewrite(folder, ITEMS, sink.getvalue())
    refused(folder, str(folder / ITEMS), "columns ['item_id'], expected")


def test_an_item_twice_is_refused(folder: Path) -> None:
    content = pq.read_table(folder / ITEMS)["content"].to_pylist()
    ids = [json.loads(row)["item_id"] for row in content]
    content[3], ids[3] = content[2], ids[2]
    rewrite(folder, ITEMS, _table(folder, content=content, item_id=ids))
    refused(folder, "item_ids are not distinct")
