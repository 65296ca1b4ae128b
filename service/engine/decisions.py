"""What a write makes of each item, decided in its transaction, and what the answer to it will say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from model.artifact import Artifact
from model.items import Item
from service.catalogue.catalogue import Moment
from service.catalogue.generation import Record
from service.catalogue.records import Encoded, registered_record
from service.contract.results import Outcome, Written
from service.errors import ItemConflict, UnknownItem
from service.registry.idempotency import Kept
from service.registry.registry import Row, Transaction

# No row for an untouched item of the catalogue.
Decision: TypeAlias = tuple[Outcome, Row | None] | ItemConflict
Answer: TypeAlias = Callable[[Sequence[Written | ItemConflict]], Kept]


class Done(NamedTuple):
    """What a request under an idempotency key is answered with. `results` is None where it was kept from before."""

    kept: Kept
    results: Sequence[Written | ItemConflict] | None

    @property
    def replayed(self) -> bool:
        return self.results is None


def decide(transaction: Transaction, artifact: Artifact, items: Sequence[Item], replacing: bool) -> list[Decision]:
    """Write what is new. The same content is written again where its row has a flaw."""
    rows: dict[str, Row] = transaction.get([item.item_id for item in items])
    decisions: list[Decision] = []
    for item in items:
        before = rows.get(item.item_id)
        existing = content_hash(artifact, item.item_id, before)
        same = existing == item.content_hash()
        damaged = before is not None and before.flaw is not None
        if same and not damaged:
            decisions.append(("unchanged", before))
        elif existing is None or replacing or same:
            rows[item.item_id] = row = transaction.put(item, before)
            decisions.append(("created" if existing is None else "replaced", row))
        else:
            decisions.append(ItemConflict(item.item_id))
    return decisions


def content_hash(artifact: Artifact, item_id: str, row: Row | None) -> str | None:
    """That of what an id stands for, None when it stands for nothing: a row overlays the catalogue."""
    if row is not None:
        return row.content_hash
    index = artifact.items.index_of.get(item_id)
    return None if index is None else artifact.items.items[index].content_hash()


class Foreseen(NamedTuple):
    """An item as it will be served, and how many others share its codes then."""

    outcome: Outcome
    record: Record
    shares: int


def foresee(
    artifact: Artifact, moment: Moment, written: Sequence[tuple[Item, Encoded, Decision]]
) -> list[Foreseen | ItemConflict]:
    """What each item is once its transaction is committed and nothing but that is published: to be kept with the
    write, an answer has to be known before the commit. Raises UnknownItem where an item of the catalogue has gone.
    """
    after: dict[str, Record] = {}
    for item, code, decision in written:
        if isinstance(decision, ItemConflict):
            continue
        if (row := decision[1]) is not None:
            after[item.item_id] = registered_record(artifact, item, code, row.seq, row.revision)
        elif (place := moment.row(item.item_id)) is not None:
            after[item.item_id] = moment.record(place)
        else:
            raise UnknownItem(item.item_id)
    more: Counter[tuple[int, ...]] = Counter()
    for item_id, record in after.items():
        more[record.codes] += 1
        if (place := moment.row(item_id)) is not None:
            more[moment.record(place).codes] -= 1
    foreseen: list[Foreseen | ItemConflict] = []
    for item, _, decision in written:
        if isinstance(decision, ItemConflict):
            foreseen.append(decision)
        else:
            record = after[item.item_id]
            shares = moment.shares(record.codes) + more[record.codes] - 1 if record.codes else 0
            foreseen.append(Foreseen(decision[0], record, shares))
    return foreseen
