"""The engine: artifact + registry + catalogue → recommendations and items. Knows no HTTP.

Reads never wait: each works on the moment it began with. `Writer` makes the writes, one at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from model.artifact import Artifact
from model.items import Item
from service.catalogue.catalogue import Catalogue
from service.catalogue.moment import Moment
from service.catalogue.presentation import recommended, served
from service.catalogue.publishing import Publisher
from service.catalogue.records import Record
from service.contract.answers import ItemList, ItemPublic, RecommendResponse, SimilarResponse
from service.contract.operation_answers import VersionResponse
from service.contract.requests import RecommendRequest, SimilarBy, Source
from service.engine.loading import load_artifact, load_catalogue
from service.engine.recommend import Observe, Recommender, unobserved
from service.engine.writer import Writer
from service.errors import UnknownItem
from service.registry.feed import Feed
from service.registry.registry import Registry
from service.settings import Settings

_SAMPLES = 256  # histories to measure an index's recall with


class Engine:
    """Use `Engine.start`. An engine serves one artifact; another artifact takes another engine."""

    def __init__(
        self,
        artifact: Artifact,
        registry: Registry,
        catalogue: Catalogue,
        settings: Settings,
        revisions: dict[str, int],
    ) -> None:
        """revisions: by item id, the revision of each registry row that the catalogue holds."""
        self.artifact = artifact
        self.settings = settings
        self.catalogue = catalogue
        self.recall = 1.0
        self.started_seconds = 0.0
        self.feed: Feed | None = None
        self._registry = registry
        self._recommender = Recommender(artifact, settings.cold_share)
        self.publisher = Publisher(artifact, catalogue, settings, revisions)
        self.writer = Writer(artifact, registry, catalogue, self.publisher, settings)

    @classmethod
    def start(cls, settings: Settings, artifact: Artifact | None = None) -> Engine:
        """Load the artifact, unless it is given; tokenize the registry's items by it; build the index.

        Raises ArtifactError, RegistryError, RegistryUnavailable, RegistryFull or BadIndex.
        """
        began = time.perf_counter()
        artifact = artifact or load_artifact(settings)
        registry = Registry(settings.database_url, settings.database_timeout, settings.migrate)
        try:
            catalogue, revisions = load_catalogue(artifact, registry, settings)
            engine = cls(artifact, registry, catalogue, settings, revisions)
            if settings.index != "flat":
                engine.recall = catalogue.recall(engine._recommender.sample_queries(catalogue.moment, _SAMPLES))
            engine.feed = Feed.start(registry, revisions, engine.writer.apply)
        except BaseException:
            registry.close()
            raise
        engine.started_seconds = time.perf_counter() - began
        return engine

    def close(self) -> None:
        """Stop following other services and close the database."""
        if self.feed is not None:
            self.feed.close()
        self._registry.close()

    # Reading

    def recommend(self, request: RecommendRequest) -> RecommendResponse:
        """Recommend items after one history."""
        return self._recommender.answer(self.catalogue.moment, [request])[0]

    def recommend_batch(
        self, requests: Sequence[RecommendRequest], observe: Observe = unobserved
    ) -> list[RecommendResponse]:
        """Answer each request, all at the same moment and in one computation.

        observe: called with the name of each stage and the seconds that it took.
        """
        return self._recommender.answer(self.catalogue.moment, requests, observe)

    def reserves(self, request: RecommendRequest) -> bool:
        """Whether the answer to this request has places reserved for cold items."""
        return self._recommender.reserves(request)

    def similar(self, item_id: str, k: int, by: SimilarBy = "semantic") -> SimilarResponse:
        """The k items most like one item, by the cosine of embeddings or of their semantic halves. Raises UnknownItem.

        The semantic half treats warm and cold items alike. An artifact of ID tokens alone has no semantic half, and
        compares whole embeddings whatever `by` says.
        """
        moment = self.catalogue.moment
        row = _known(moment, item_id)
        semantic = by == "semantic" and moment.index.split > 0
        rows, cosines = moment.alike(row, k, semantic)
        items = [recommended(moment.record(int(row)), float(cosine)) for row, cosine in zip(rows, cosines, strict=True)]
        return SimilarResponse(item_id, items, self.artifact.version)

    def get(self, item_id: str, content: bool = False) -> ItemPublic:
        """One item; with its content if `content` says so. Raises UnknownItem."""
        moment = self.catalogue.moment
        return served(moment, moment.record(_known(moment, item_id)), content)

    def page(self, after: int, limit: int, source: Source = "all", content: bool = False) -> ItemList:
        """Up to `limit` items with an order above `after`, in that order."""
        moment = self.catalogue.moment
        records = (record for record in moment.listing(after) if _from(record, source))
        found = list(islice(records, limit))
        more = next(records, None) is not None
        items = [served(moment, record, content) for record in found]
        return ItemList(items, str(found[-1].order) if found and more else None)

    def registered(self) -> VersionResponse.Registry:
        """Which database keeps registered items, and how many of them are served."""
        return VersionResponse.Registry(self._registry.kind, self.catalogue.registered)

    def export(self, source: Source = "all") -> Iterator[Item]:
        """All items of one moment, in order."""
        return (record.item for record in self.catalogue.moment.listing() if _from(record, source))

    # Making room for another engine

    def hand_over(self, exchange: Callable[[], None]) -> None:
        """Call `exchange`, which puts another engine in this one's place, while nobody writes.

        Writes that wait meanwhile, and all later ones, raise Superseded. Reads go on. Raises RegistryUnavailable if a
        write keeps the lock, and the errors of `exchange`; this engine then goes on as before.
        """
        with self.publisher.writing():
            exchange()
            self.publisher.end()


def _known(moment: Moment, item_id: str) -> int:
    row = moment.row(item_id)
    if row is None:
        raise UnknownItem(item_id)
    return row


def _from(record: Record, source: Source) -> bool:
    return source == "all" or (source == "registered") == (record.revision > 0)
