"""The catalogue of an artifact: items in index order with their semantic IDs and training popularity."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.items import InvalidItem, Item
from model.parquet import read_parquet
from model.store import ArtifactError

_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("content", pa.string()),  # the item as JSON: fields and attributes
        ("text", pa.string()),  # the text that was encoded
        ("semantic_id", pa.list_(pa.int32())),
        ("popularity", pa.int64()),  # interactions seen in training
    ]
)


@dataclass(frozen=True, eq=False)
class ItemTable:
    """The items of a catalogue by item_index.

    codes [n, levels] int64: their semantic IDs. popularity [n] int64: their interactions in training.
    """

    items: Sequence[Item]
    codes: NDArray[np.int64]
    popularity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def item_ids(self) -> list[str]:
        return [item.item_id for item in self.items]

    @cached_property
    def index_of(self) -> dict[str, int]:
        return {item_id: index for index, item_id in enumerate(self.item_ids)}

    @property
    def cold(self) -> NDArray[np.bool_]:
        """[n]: true for items that no training sequence has, so that their ID embedding was never trained."""
        return np.asarray(self.popularity == 0)

    def to_parquet(self) -> bytes:
        columns = [
            self.item_ids,
            [json.dumps(item.to_dict(), ensure_ascii=False) for item in self.items],
            [item.to_text() for item in self.items],
            self.codes.astype(np.int32).tolist(),
            self.popularity,
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), sink, compression="zstd")
        return sink.getvalue()

    @classmethod
    def from_parquet(cls, data: bytes, *, where: str, n_items: int, levels: int, codebook_size: int) -> ItemTable:
        """Read and check a table. Raises ArtifactError that names `where` and the flaw."""
        try:
            table = read_parquet(data)
        except (pa.ArrowException, OSError) as error:
            raise ArtifactError(f"{where}: is not a readable parquet file: {error}") from error
        if table.schema.remove_metadata() != _SCHEMA:
            raise ArtifactError(f"{where}: columns {table.schema.names}, expected {_SCHEMA.names} of their types")
        if len(table) != n_items:
            raise ArtifactError(f"{where}: {len(table)} items, the manifest says {n_items}")
        if any(column.null_count for column in table.columns):
            raise ArtifactError(f"{where}: holds empty cells")
        try:
            items = [Item.from_dict(json.loads(row)) for row in table["content"].to_pylist()]
        except (InvalidItem, TypeError, ValueError) as error:
            raise ArtifactError(f"{where}: an item is not valid: {error}") from error
        rows = table["semantic_id"].to_pylist()
        if any(len(row) != levels or any(code not in range(codebook_size) for code in row) for row in rows):
            raise ArtifactError(f"{where}: semantic IDs are not {levels} codes below {codebook_size}")
        codes = np.array(rows, dtype=np.int64).reshape(n_items, levels)
        out = cls(items, codes, table["popularity"].to_numpy().astype(np.int64))
        if (out.popularity < 0).any():
            raise ArtifactError(f"{where}: popularity is negative")
        if out.item_ids != table["item_id"].to_pylist() or len(out.index_of) != n_items:
            raise ArtifactError(f"{where}: item_ids are not distinct, or differ from the items' content")
        return out
