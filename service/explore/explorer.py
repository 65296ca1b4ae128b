"""The explorer: everything that a person who gets to know a model can look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakSet

from model.artifact import Artifact
from model.items import Item
from service.catalogue.moment import Moment
from service.catalogue.presentation import found
from service.contract.explore_answers import (
    CodesResponse,
    ExamplesResponse,
    ExampleUser,
    MapResponse,
    PreviewResponse,
    SearchResponse,
)
from service.engine.engine import Engine
from service.explore.audience import ExampleUsers
from service.explore.code_tree import CodeTreeBuilder
from service.explore.map import MapBuilder
from service.explore.preview import Previewer
from service.explore.search import Search


class Explorer:
    """Search, examples, previews, the tree of codes and the map, over the moments of one artifact's catalogue.

    It keeps what it has read of a generation for the next caller, until `forget`.
    """

    def __init__(self, artifact: Artifact, unusual_percentile: float) -> None:
        self._artifact = artifact
        self._search = Search()
        self._users = ExampleUsers(artifact)
        self._previewer = Previewer(artifact, unusual_percentile, self._users)
        self._code_trees = CodeTreeBuilder(artifact)
        self._maps = MapBuilder(artifact)
        self._left: WeakSet[object] = WeakSet()  # forgotten, but somebody may still be reading them

    @classmethod
    def beside(cls, engine: Engine) -> Explorer:
        """The explorer of an engine's items. It lets go of what the engine's catalogue leaves behind."""
        explorer = cls(engine.artifact, engine.settings.unusual_percentile)
        engine.catalogue.left.append(explorer.forget)
        return explorer

    def search(self, moment: Moment, query: str, limit: int) -> SearchResponse:
        """Up to `limit` items that have every word of the query, or a word that begins with it; best first."""
        with self._asking(moment):
            rows = self._search.find(moment, query, limit)
        return SearchResponse([found(moment, row) for row in rows], self._artifact.version)

    def examples(self, moment: Moment, count: int, seed: int) -> ExamplesResponse:
        """Up to `count` users of the test split, drawn with the seed: what they had used, and what they chose next.

        Training has seen none of these choices. Empty if the artifact holds no evaluation data.
        """
        shown = [
            ExampleUser([found(moment, row) for row in user.history], found(moment, user.chosen))
            for user in self._users.drawn(moment, count, seed)
        ]
        return ExamplesResponse(shown, self._artifact.version)

    def preview(self, moment: Moment, item: Item) -> PreviewResponse:
        """What an item would become if it were put now, and which users of the test split it would reach."""
        with self._asking(moment):
            return self._previewer.preview(moment, item)

    def codes(self, moment: Moment, prefix: Sequence[int]) -> CodesResponse:
        """The part of the tree of codes below a prefix of semantic IDs."""
        with self._asking(moment):
            return self._code_trees.below(moment, prefix)

    def map(self, moment: Moment, limit: int) -> MapResponse:
        """The positions of up to `limit` items on the artifact's map."""
        with self._asking(moment):
            return self._maps.points(moment, limit)

    def forget(self, generation: object) -> None:
        """Let go of a generation that is no longer served, so that its memory is free at once."""
        self._left.add(generation)
        for each in (self._search, self._previewer, self._code_trees, self._maps):
            each.forget(generation)

    @contextmanager
    def _asking(self, moment: Moment) -> Iterator[None]:
        # A caller that began before `forget` and ends after it would keep the generation alive: forget it again.
        try:
            yield
        finally:
            if moment.generation in self._left:
                self.forget(moment.generation)
