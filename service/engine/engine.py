"""The engine: artifact + registry + catalogue → recommendations and items. Knows no HTTP.

Reads never wait: they work on the moment they began with. Writes are serialised by one lock, and an item is
acknowledged only when its row is committed and the catalogue of this process holds it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from model.artifact import Artifact
from model.items import Item
from service.catalogue.catalogue import Catalogue, Moment
from service.catalogue.generation import Record
from service.catalogue.presentation import recommended, served, shown
from service.catalogue.publishing import Publisher
from service.catalogue.records import Encoded, encode
from service.contract.requests import RecommendRequest, SimilarBy, Source
from service.contract.results import Outcome, Page, Recommendation, RegistryState, Served, Similar, Written
from service.engine.decisions import Answer, Decision, Done, content_hash, decide, foresee
from service.engine.loading import load_artifact, load_catalogue
from service.engine.recommend import Observe, Recommender, unobserved
from service.errors import ItemConflict, UnknownItem
from service.explore.explorer import Explorer
from service.registry.feed import Feed
from service.registry.idempotency import Kept, Once
from service.registry.registry import Registry, Row, Transaction
from service.settings import Settings

_SAMPLES = 256  # histories that an index's recall is measured with


class Engine:
    """Use `Engine.start`. One engine serves one artifact; another artifact is another engine."""

    def __init__(
        self,
        artifact: Artifact,
        registry: Registry,
        catalogue: Catalogue,
        settings: Settings,
        revisions: dict[str, int],
    ) -> None:
        """revisions: of the registry's rows that the catalogue holds, by item id."""
        self.artifact = artifact
        self.catalogue = catalogue
        self.recall = 1.0
        self.started_seconds = 0.0
        self.feed: Feed | None = None
        self.explorer = Explorer(artifact, settings.unusual_percentile)
        self._registry = registry
        self._settings = settings
        self._recommender = Recommender(artifact, settings.cold_share)
        self.publisher = Publisher(artifact, catalogue, settings, revisions, self.explorer.forget)

    @classmethod
    def start(cls, settings: Settings, artifact: Artifact | None = None) -> Engine:
        """Load the artifact, unless `load_artifact` has, tokenize the registry anew, build the index.

        Raises ArtifactError, RegistryError, RegistryUnavailable, RegistryFull or BadIndex; nothing is served then.
        """
        began = time.perf_counter()
        artifact = artifact or load_artifact(settings)
        registry = Registry(settings.database_url, settings.database_timeout, settings.migrate)
        try:
            catalogue, revisions = load_catalogue(artifact, registry, settings)
            engine = cls(artifact, registry, catalogue, settings, revisions)
            if settings.index != "flat":
                engine.recall = catalogue.recall(engine._recommender.sample_queries(catalogue.moment, _SAMPLES))
            engine.feed = Feed.start(registry, revisions, engine.apply)
        except BaseException:
            registry.close()
            raise
        engine.started_seconds = time.perf_counter() - began
        return engine

    def close(self) -> None:
        """Follow others no more and let go of the database."""
        if self.feed is not None:
            self.feed.close()
        self._registry.close()

    # Reading

    def recommend(self, request: RecommendRequest) -> Recommendation:
        """Items to come after a history."""
        return self._recommender.answer(self.catalogue.moment, [request])[0]

    def recommend_batch(
        self, requests: Sequence[RecommendRequest], observe: Observe = unobserved
    ) -> list[Recommendation]:
        """An answer to each request, all at the same moment; the histories are read together. observe: is told how
        many seconds each stage took.
        """
        return self._recommender.answer(self.catalogue.moment, requests, observe)

    def reserves(self, request: RecommendRequest) -> bool:
        """Whether places of its answer are kept for cold items."""
        return self._recommender.reserves(request)

    def similar(self, item_id: str, k: int, by: SimilarBy = "semantic") -> Similar:
        """Items like one item by cosine, of the semantic half or of the whole embedding. Raises UnknownItem.

        The semantic half compares warm and cold items alike. An artifact of ID tokens alone has no such half:
        it compares by the embedding it has, whatever `by` says.
        """
        moment = self.catalogue.moment
        row = _known(moment, item_id)
        semantic = by == "semantic" and moment.index.split > 0
        rows, cosines = moment.alike(row, k, semantic)
        items = [recommended(moment.record(int(row)), float(cosine)) for row, cosine in zip(rows, cosines, strict=True)]
        return Similar(item_id, items, self.artifact.version)

    def get(self, item_id: str, content: bool = False) -> Served:
        """One item, with its content where that is asked for; raises UnknownItem."""
        moment = self.catalogue.moment
        return served(moment, moment.record(_known(moment, item_id)), content)

    def page(self, after: int, limit: int, source: Source = "all", content: bool = False) -> Page:
        """Up to `limit` items in their order, from the first with an order above `after`."""
        moment = self.catalogue.moment
        records = (record for record in moment.listing(after) if _from(record, source))
        found = list(islice(records, limit))
        more = next(records, None) is not None
        items = [served(moment, record, content) for record in found]
        return Page(items, str(found[-1].order) if found and more else None)

    def registered(self) -> RegistryState:
        """Where registered items are kept, and how many of them are served."""
        return RegistryState(self._registry.kind, self.catalogue.registered)

    def export(self, source: Source = "all") -> Iterator[Item]:
        """All items of one moment, in their order."""
        return (record.item for record in self.catalogue.moment.listing() if _from(record, source))

    # Writing

    def add(self, item: Item) -> Written:
        """Register an item; raises ItemConflict when its id has other content, RegistryUnavailable,
        RegistryFull.
        """
        result = self.add_batch([item])[0]
        if isinstance(result, ItemConflict):
            raise result
        return result

    def add_batch(self, items: Sequence[Item]) -> list[Written | ItemConflict]:
        """Register items in one transaction: each is accepted or in conflict by itself, but all wait for one
        commit.
        """
        return self._write(items, replacing=False)

    def put(self, item: Item) -> Written:
        """Register an item or replace the one of its id."""
        result = self._write([item], replacing=True)[0]
        if isinstance(result, ItemConflict):
            raise result
        return result

    def delete(self, item_id: str) -> None:
        """Serve an item no more, now and after a restart; raises UnknownItem."""

        with self.publisher.writing():
            row = self._registry.write(lambda transaction: self._remove(transaction, item_id))
            self.publisher.publish([(row, None)] if row is not None else [])

    def add_once(self, once: Once, items: Sequence[Item], answer: Answer) -> Done:
        """`add_batch` under an idempotency key. `answer` makes the answer of the results; it may be asked again where
        the transaction is run again, and what it raises undoes everything. Raises IdempotencyKeyReused too.
        """
        return self._write_once(once, items, False, answer)

    def put_once(self, once: Once, item: Item, answer: Answer) -> Done:
        """`put` under an idempotency key, as `add_once`."""
        return self._write_once(once, [item], True, answer)

    def delete_once(self, once: Once, item_id: str, answer: Kept) -> Done:
        """`delete` under an idempotency key."""

        def remove(transaction: Transaction) -> tuple[Done, Row | None]:
            if (kept := transaction.claim(once, self._settings.idempotency_hours)) is not None:
                return Done(kept, None), None
            row = self._remove(transaction, item_id)
            transaction.keep(once, answer)
            return Done(answer, []), row

        with self.publisher.writing():
            done, row = self._registry.write(remove)
            self.publisher.publish([(row, None)] if row is not None else [])
        if done.replayed:
            self._take_over([item_id])
        return done

    def apply(self, rows: Sequence[Row]) -> int:
        """Serve rows that others committed, in any order and any number of times; how many of them were news.

        Raises RegistryUnavailable where a write keeps the lock; nothing is applied then.
        """
        news: dict[str, Row] = {}
        for row in rows:
            if self.publisher.is_news(row) and (row.item_id not in news or row.revision > news[row.item_id].revision):
                news[row.item_id] = row
        # The slow part, before the lock.
        encoded = iter(encode(self.artifact, [row.item for row in news.values() if row.item is not None]))
        changes = [(row, None if row.item is None else next(encoded)) for row in news.values()]
        with self.publisher.writing():
            # Again: another may have applied a later row meanwhile.
            return self.publisher.publish(changes)

    # Making room for another engine

    def hand_over(self, exchange: Callable[[], None]) -> None:
        """Let `exchange` put another engine in this one's place while nothing is written.

        Writes that wait meanwhile, and all later ones, raise Superseded; reads go on. Raises RegistryUnavailable where
        a write keeps the lock, and what `exchange` raises: this engine stays in its place then.
        """
        with self.publisher.writing():
            exchange()
            self.publisher.end()

    def _remove(self, transaction: Transaction, item_id: str) -> Row | None:
        before = transaction.get([item_id]).get(item_id)
        if content_hash(self.artifact, item_id, before) is not None:
            return transaction.delete(item_id, before)
        # An item that is served although its row says it is gone: a commit whose answer got lost.
        if self.catalogue.moment.row(item_id) is None:
            raise UnknownItem(item_id)
        return before

    def _write(self, items: Sequence[Item], replacing: bool) -> list[Written | ItemConflict]:
        encoded = encode(self.artifact, items)  # the slow part, before the lock
        with self.publisher.writing():
            decisions = self._registry.write(lambda transaction: decide(transaction, self.artifact, items, replacing))
            self._publish_decided(decisions, encoded)
            moment = self.catalogue.moment
        return [
            decision
            if isinstance(decision, ItemConflict)
            else self._written(served(moment, moment.record(_known(moment, item.item_id))), code, decision[0])
            for item, code, decision in zip(items, encoded, decisions, strict=True)
        ]

    def _write_once(self, once: Once, items: Sequence[Item], replacing: bool, answer: Answer) -> Done:
        encoded = encode(self.artifact, items)

        def work(transaction: Transaction) -> tuple[Done, list[Decision]]:
            if (kept := transaction.claim(once, self._settings.idempotency_hours)) is not None:
                return Done(kept, None), []
            decisions = decide(transaction, self.artifact, items, replacing)
            # All of the answer follows from the rows and from this moment, which nothing changes before they are
            # published. So nothing has to be made up at a replay, where codes and neighbours may be others.
            foreseen = foresee(self.artifact, self.catalogue.moment, list(zip(items, encoded, decisions, strict=True)))
            results = [
                seen
                if isinstance(seen, ItemConflict)
                else self._written(shown(seen.record, seen.shares), code, seen.outcome)
                for seen, code in zip(foreseen, encoded, strict=True)
            ]
            kept = answer(results)
            transaction.keep(once, kept)
            return Done(kept, results), decisions

        with self.publisher.writing():
            done, decisions = self._registry.write(work)
            if not done.replayed:
                self._publish_decided(decisions, encoded)
        if done.replayed:
            self._take_over([item.item_id for item in items])
        return done

    def _take_over(self, item_ids: Sequence[str]) -> None:
        """Serve what an answer from elsewhere says is served, before it is given here too."""
        self.apply(self._registry.rows_of(item_ids))

    def _publish_decided(self, decisions: Sequence[Decision], encoded: Sequence[Encoded]) -> None:
        # Committed. A row that was there unchanged is published too: this process may not hold it yet.
        made = zip(decisions, encoded, strict=True)
        self.publisher.publish([(one[1], code) for one, code in made if isinstance(one, tuple) and one[1] is not None])

    def _written(self, now: Served, encoded: Encoded, outcome: Outcome) -> Written:
        return Written(
            **vars(now),
            outcome=outcome,
            quantization_error=encoded.error,
            quantization_error_percentile=encoded.percentile,
            unusual=encoded.percentile >= self._settings.unusual_percentile,
        )


def _known(moment: Moment, item_id: str) -> int:
    row = moment.row(item_id)
    if row is None:
        raise UnknownItem(item_id)
    return row


def _from(record: Record, source: Source) -> bool:
    return source == "all" or (source == "registered") == (record.revision > 0)
