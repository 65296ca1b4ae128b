"""The semantic IDs of a catalogue as a tree: the items of a prefix, their telling words, the use of each level."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.artifact import Artifact
from model.telling_words import TellingWords
from service.catalogue.moment import Moment
from service.catalogue.presentation import found
from service.contract.explore_answers import CodeBranch, CodesResponse, LevelUse
from service.contract.schema import Metric
from service.index.scan import Rows

_TEXTS = 20_000  # items whose words are read for the whole catalogue
_WORDS = 5  # of a branch
_SHOWN = 100  # items of a branch
_FEW = 5  # a branch with fewer items among those texts has more of its texts read,
_READ = 10  # at most so many of one branch,
_READ_IN_ALL = 2_000  # and of all branches


class _CodesAndWords:
    """Read once of a generation: the codes [n, levels] of all rows, and the words of some."""

    def __init__(self, moment: Moment, levels: int) -> None:
        self.generation = moment.generation
        self.codes = np.empty((0, levels), np.int32)
        self.follow(moment)
        rows = moment.rows
        if len(rows) > _TEXTS:
            rows = rows[np.linspace(0, len(rows) - 1, _TEXTS).astype(np.int64)]
        self.words = TellingWords([text_of(moment, row) for row in rows.tolist()])
        self._place = np.full(moment.index.n, -1, np.int64)
        self._place[rows] = np.arange(len(rows))

    def follow(self, moment: Moment) -> None:
        """Read the codes of newer rows."""
        start, levels = self.codes.shape
        if start < moment.index.n:
            more = [moment.record(row).codes for row in range(start, moment.index.n)]
            self.codes = np.concatenate([self.codes, np.array(more, np.int32).reshape(len(more), levels)])

    def place(self, rows: Rows) -> Rows:
        """For rows [m], their positions among the words [m]; −1 for a row whose text was not read."""
        known = rows < len(self._place)
        return np.where(known, self._place[np.where(known, rows, 0)], -1)


class CodeTreeBuilder:
    """The tree over the moments of one artifact's catalogue.

    The first call reads the words of the catalogue, which takes a second for ten thousand items.
    """

    def __init__(self, artifact: Artifact) -> None:
        config = artifact.tokenizer.config
        self._version = artifact.version
        self._metrics: tuple[Metric, ...] = tuple(config.metrics) if config.has_semantic else ()
        self._size = config.codebook_size
        self._lock = threading.Lock()
        self._cache: _CodesAndWords | None = None
        self._used: tuple[Moment, list[LevelUse]] | None = None

    def below(self, moment: Moment, prefix: Sequence[int]) -> CodesResponse:
        """The part of the tree below a prefix of semantic IDs. The empty prefix is the whole tree."""
        with self._lock:
            cache = self._follow(moment)
            codes = cache.codes
            levels = self._levels(moment, codes)
        rows = moment.rows
        at = len(prefix)
        if at > len(self._metrics):
            rows = rows[:0]
        elif at:
            rows = rows[(codes[rows, :at] == np.array(prefix, np.int64)).all(axis=1)]
        branches: list[CodeBranch] = []
        if at < len(self._metrics):
            distinct, group, counts = np.unique(codes[rows, at], return_inverse=True, return_counts=True)
            words = _words(moment, cache, rows, group, len(distinct))
            order = np.lexsort((distinct, -counts))
            branches = [CodeBranch(int(distinct[each]), int(counts[each]), words[each]) for each in order.tolist()]
        here = _words(moment, cache, rows, np.zeros(len(rows), np.int64), 1)[0] if at and len(rows) else []
        shown = rows[np.argsort(moment.index.orders[rows], kind="stable")][:_SHOWN].tolist() if at else []
        items = [found(moment, row) for row in shown]
        return CodesResponse(list(prefix), len(rows), here, levels, branches, items, self._version)

    def forget(self, generation: object) -> None:
        """Let go of what is kept of a generation that is no longer served."""
        with self._lock:
            if self._cache is not None and self._cache.generation is generation:
                self._cache = None
            if self._used is not None and self._used[0].generation is generation:
                self._used = None

    def _follow(self, moment: Moment) -> _CodesAndWords:
        cache = self._cache
        if cache is None or cache.generation is not moment.generation:
            cache = self._cache = _CodesAndWords(moment, len(self._metrics))
        cache.follow(moment)
        return cache

    def _levels(self, moment: Moment, codes: NDArray[np.int32]) -> list[LevelUse]:
        if self._used is not None and self._used[0] is moment:
            return self._used[1]
        live = codes[moment.rows].astype(np.int64)
        levels: list[LevelUse] = []
        prefix = np.zeros(len(live), np.int64)
        for level, metric in enumerate(self._metrics):
            # Prefixes are numbered below the number of items, so the product cannot overflow.
            _, prefix, counts = np.unique(prefix * self._size + live[:, level], return_inverse=True, return_counts=True)
            levels.append(
                LevelUse(
                    level=level + 1,
                    metric=metric,
                    codewords=self._size,
                    used=len(np.unique(live[:, level])),
                    prefixes=len(counts),
                    alone=int((counts == 1).sum()),
                    most=int(counts.max(initial=0)),
                )
            )
        self._used = moment, levels
        return levels


def _words(moment: Moment, cache: _CodesAndWords, rows: Rows, groups: Rows, n_groups: int) -> list[list[str]]:
    """The telling words of each group of rows [m]; groups [m] numbers the group of each row."""
    places = cache.place(rows)
    known = places >= 0
    read = np.flatnonzero(~known & (np.bincount(groups[known], minlength=n_groups) < _FEW)[groups])
    of = groups[read]
    order = np.argsort(of, kind="stable")
    rank = np.arange(len(order)) - np.searchsorted(of[order], of[order])
    read = read[order][rank < _READ][:_READ_IN_ALL]
    telling = cache.words.with_more([text_of(moment, row) for row in rows[read].tolist()])
    every = np.concatenate([places[known], len(cache.words) + np.arange(len(read))])
    return telling.of_groups(every, np.concatenate([groups[known], groups[read]]), n_groups, _WORDS)


def text_of(moment: Moment, row: int) -> str:
    """The words that tell what the item at a row is: its title, brand and categories, or its text if it has none.

    Whole texts would tell branches apart by the style of their descriptions.
    """
    item = moment.record(row).item
    shown = [part for part in (item.title, item.brand, *item.categories) if part]
    return "\n".join(shown) if shown else item.to_text()
