"""Records of items as they are served, made by an artifact: its own items, the registry's, and new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from model.artifact import Artifact
from model.items import AttributeValue, Item
from model.neighbours import TextNeighbours
from model.tokenizer import COLD
from service.index.neighbour_index import ItemLinks
from service.index.scan import Floats


@dataclass(frozen=True, slots=True)
class Record:
    """One item as it is served. `order` sorts all items, the same after every restart."""

    item: Item
    codes: tuple[int, ...]
    cold: bool  # without an ID embedding of its own
    order: int
    popularity: int  # interactions in training
    revision: int  # 0: as the artifact has it
    attributes: Mapping[str, AttributeValue]
    links: ItemLinks
    previous: int = -1  # the row this one replaced

    @property
    def item_id(self) -> str:
        return self.item.item_id


class Encoded(NamedTuple):
    """What the tokenizer makes of an item's text. percentile: of `error`, among the training items."""

    codes: tuple[int, ...]
    embedding: Floats  # [D]
    item_index: int  # in the artifact's catalogue, or COLD
    error: float
    percentile: float
    neighbours: TextNeighbours


def encode(artifact: Artifact, items: Sequence[Item]) -> list[Encoded]:
    """Tokenize items. An item of the artifact's catalogue keeps its trained ID half under a new text."""
    index = [artifact.items.index_of.get(item.item_id, COLD) for item in items]
    new = artifact.encode_new(items, index)
    percentiles = artifact.error_percentile(new.error)
    return [
        Encoded(
            codes=tuple(new.codes[position].tolist()),
            embedding=new.embeddings[position],
            item_index=index[position],
            error=float(new.error[position]),
            percentile=float(percentiles[position]),
            neighbours=new.neighbours[position],
        )
        for position in range(len(items))
    ]


def catalogue_records(artifact: Artifact) -> list[Record]:
    """The artifact's own items, in index order."""
    table = artifact.items
    columns = zip(table.items, table.codes.tolist(), table.popularity.tolist(), table.cold.tolist(), strict=True)
    return [
        Record(
            item=item,
            codes=tuple(codes),
            cold=cold,
            order=index,
            popularity=popularity,
            revision=0,
            attributes=item.public_attributes(),
            links=ItemLinks(index, None),
        )
        for index, (item, codes, popularity, cold) in enumerate(columns)
    ]


def registered_record(artifact: Artifact, item: Item, encoded: Encoded, seq: int, revision: int) -> Record:
    """The record of a registry row. An item of the artifact keeps its order; a new one comes after all of them."""
    table = artifact.items
    index = encoded.item_index
    return Record(
        item=item,
        codes=encoded.codes,
        cold=index == COLD or bool(table.cold[index]),
        order=len(table) + seq if index == COLD else index,
        popularity=0 if index == COLD else int(table.popularity[index]),
        revision=revision,
        attributes=item.public_attributes(),
        links=ItemLinks(index, encoded.neighbours),
    )
