"""What the API shows of an item, from the record of it that is served."""

from __future__ import annotations

from dataclasses import replace

from service.catalogue.moment import Moment
from service.catalogue.records import Record
from service.contract.answers import ItemPublic, RecommendedItem
from service.contract.explore_answers import FoundItem


def served(moment: Moment, record: Record, content: bool = False) -> ItemPublic:
    """An item as it is served; content: with what registering it again takes."""
    out = shown(record, max(0, moment.shares(record.codes) - 1))
    if not content:
        return out
    kept = {name: value for name, value in record.item.to_dict().items() if name != "item_id"}
    return replace(out, content=kept)


def shown(record: Record, shares: int) -> ItemPublic:
    """An item as it is served where `shares` others have its semantic ID."""
    return ItemPublic(
        item_id=record.item_id,
        cold=record.cold,
        source="registered" if record.revision else "catalogue",
        revision=record.revision,
        semantic_id=list(record.codes),
        shares_semantic_id=shares,
        attributes=record.attributes,
    )


def recommended(record: Record, score: float) -> RecommendedItem:
    """An item of an answer, without reasons."""
    return RecommendedItem(record.item_id, score, record.cold, record.attributes)


def found(moment: Moment, row: int) -> FoundItem:
    """The item at a row, as somebody who looks around sees it."""
    record = moment.record(row)
    return FoundItem(record.item_id, record.cold, record.attributes)
