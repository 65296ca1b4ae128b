"""Every write: decided in one transaction of the registry, committed, put before readers, answered.

One writer at a time. Kindred acknowledges a write only when its rows are committed and this process serves them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from model.artifact import Artifact
from model.items import Item
from service.catalogue.catalogue import Catalogue
from service.catalogue.moment import Moment
from service.catalogue.presentation import shown
from service.catalogue.publishing import Publisher
from service.catalogue.records import Encoded, Record, encode, registered_record
from service.contract.answers import ItemRegistered, Outcome
from service.errors import ItemConflict, UnknownItem
from service.registry.idempotency import IdempotencyKey, StoredAnswer
from service.registry.registry import Registry, RegistryRow, Transaction
from service.settings import Settings

# The row is None for an item of the catalogue that nobody has written to.
Decision: TypeAlias = tuple[Outcome, RegistryRow | None] | ItemConflict
Results: TypeAlias = Sequence[ItemRegistered | ItemConflict]
# A row to publish, with the code of its item unless the item is deleted.
Change: TypeAlias = tuple[RegistryRow, Encoded | None]


class IdempotentRequest(NamedTuple):
    """A request under an idempotency key.

    `compose` makes the answer that is stored with the write. It runs again whenever the transaction does. If it
    raises, nothing is written.
    """

    key: IdempotencyKey
    compose: Callable[[Results], StoredAnswer]


class WriteResult(NamedTuple):
    """results: one for each item, in order; none for a deletion or a replay. stored: the answer under the idempotency
    key; None without a key. replayed: an earlier request wrote this, and `stored` is the answer that it got.
    """

    results: Results
    stored: StoredAnswer | None = None
    replayed: bool = False


class Writer:
    """Writes through a registry into a catalogue."""

    def __init__(
        self, artifact: Artifact, registry: Registry, catalogue: Catalogue, publisher: Publisher, settings: Settings
    ) -> None:
        self._artifact = artifact
        self._registry = registry
        self._catalogue = catalogue
        self._publisher = publisher
        self._hours = settings.idempotency_hours
        self._unusual = settings.unusual_percentile

    def write(
        self, items: Sequence[Item], replacing: bool = False, once: IdempotentRequest | None = None
    ) -> WriteResult:
        """Register items in one transaction. One item's conflict leaves the others alone.

        replacing: new content replaces an item. Otherwise it is an ItemConflict among the results. once: carry the
        request out once, however often it is sent.

        Raises RegistryUnavailable or RegistryFull, and UnknownItem for an item of the catalogue that is no longer
        served; with `once` also IdempotencyKeyReused and the errors of `compose`. Nothing is written then, unless
        RegistryUnavailable says that this is not known.
        """
        if not items and once is None:
            return WriteResult([])
        encoded = encode(self._artifact, items)  # the slow part, before the lock

        def work(transaction: Transaction) -> tuple[Results, list[Change]]:
            decisions = decide(transaction, self._artifact, items, replacing)
            decided = list(zip(items, encoded, decisions, strict=True))
            # An unchanged row is published too: this process may not serve it yet.
            changes: list[Change] = [
                (decision[1], code)
                for _, code, decision in decided
                if not isinstance(decision, ItemConflict) and decision[1] is not None
            ]
            return self._results(decided), changes

        return self._carry_out(work, [item.item_id for item in items], once)

    def delete(self, item_id: str, once: IdempotentRequest | None = None) -> WriteResult:
        """Stop serving an item, now and after a restart. Raises UnknownItem, and otherwise as `write` does."""

        def work(transaction: Transaction) -> tuple[Results, list[Change]]:
            row = self._remove(transaction, item_id)
            return [], [] if row is None else [(row, None)]

        return self._carry_out(work, [item_id], once)

    def apply(self, rows: Sequence[RegistryRow]) -> int:
        """Serve rows that others committed, in any order and any number of times; return how many were news.

        Raises RegistryUnavailable if another write keeps the lock. Nothing is applied then.
        """
        news: dict[str, RegistryRow] = {}
        for row in rows:
            if self._publisher.is_news(row) and (row.item_id not in news or row.revision > news[row.item_id].revision):
                news[row.item_id] = row
        # The slow part, before the lock.
        encoded = iter(encode(self._artifact, [row.item for row in news.values() if row.item is not None]))
        changes = [(row, None if row.item is None else next(encoded)) for row in news.values()]
        with self._publisher.writing():
            return self._publisher.publish(changes)  # which asks again what is news: another may have been quicker

    def _carry_out(
        self,
        work: Callable[[Transaction], tuple[Results, list[Change]]],
        item_ids: Sequence[str],
        once: IdempotentRequest | None,
    ) -> WriteResult:
        """Commit `work` and publish its changes; or replay the answer that its idempotency key has already."""

        def keyed(transaction: Transaction) -> tuple[WriteResult, list[Change]]:
            if once is None:
                results, changes = work(transaction)
                return WriteResult(results), changes
            if (stored := transaction.claim(once.key, self._hours)) is not None:
                return WriteResult([], stored, replayed=True), []
            results, changes = work(transaction)
            stored = once.compose(results)
            transaction.store(once.key, stored)
            return WriteResult(results, stored), changes

        with self._publisher.writing():
            result, changes = self._registry.write(keyed)
            self._publisher.publish(changes)
        if result.replayed:
            # Another service may have carried it out. Serve here what the answer says before giving it here.
            self.apply(self._registry.rows_of(item_ids))
        return result

    def _remove(self, transaction: Transaction, item_id: str) -> RegistryRow | None:
        before = transaction.get([item_id]).get(item_id)
        if content_hash(self._artifact, item_id, before) is not None:
            return transaction.delete(item_id, before)
        # The item may still be served although its row is deleted: the answer to that commit got lost.
        if self._catalogue.moment.row(item_id) is None:
            raise UnknownItem(item_id)
        return before

    def _results(self, decided: Sequence[tuple[Item, Encoded, Decision]]) -> list[ItemRegistered | ItemConflict]:
        """Each item as it will be served once its transaction is committed and published.

        An answer that is stored with the write has to be known before the commit. It can be: nobody else publishes
        while this writer has the lock.
        """
        moment = self._catalogue.moment
        after = self._records_after(moment, decided)
        added: Counter[tuple[int, ...]] = Counter()  # how many more items have these codes then
        for item_id, record in after.items():
            added[record.codes] += 1
            if (row := moment.row(item_id)) is not None:
                added[moment.record(row).codes] -= 1
        results: list[ItemRegistered | ItemConflict] = []
        for item, code, decision in decided:
            if isinstance(decision, ItemConflict):
                results.append(decision)
                continue
            record = after[item.item_id]
            others = moment.shares(record.codes) + added[record.codes] - 1 if record.codes else 0
            results.append(
                ItemRegistered(
                    **vars(shown(record, others)),
                    outcome=decision[0],
                    quantization_error=code.error,
                    quantization_error_percentile=code.percentile,
                    unusual=code.percentile >= self._unusual,
                )
            )
        return results

    def _records_after(self, moment: Moment, decided: Sequence[tuple[Item, Encoded, Decision]]) -> dict[str, Record]:
        after: dict[str, Record] = {}
        for item, code, decision in decided:
            if isinstance(decision, ItemConflict):
                continue
            if (row := decision[1]) is not None:
                after[item.item_id] = registered_record(self._artifact, item, code, row.seq, row.revision)
            elif (at := moment.row(item.item_id)) is not None:
                after[item.item_id] = moment.record(at)
            else:
                raise UnknownItem(item.item_id)
        return after


def decide(transaction: Transaction, artifact: Artifact, items: Sequence[Item], replacing: bool) -> list[Decision]:
    """Write the items that are new. Content that is there already is written again only if its row has a flaw."""
    rows: dict[str, RegistryRow] = transaction.get([item.item_id for item in items])
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


def content_hash(artifact: Artifact, item_id: str, row: RegistryRow | None) -> str | None:
    """The hash of the content that an id stands for; None if it stands for nothing. A row overrides the artifact."""
    if row is not None:
        return row.content_hash
    index = artifact.items.index_of.get(item_id)
    return None if index is None else artifact.items.items[index].content_hash()
