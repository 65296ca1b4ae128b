"""The semantic IDs of a catalogue as a tree: how many items a beginning has, what they say, how levels are used."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.artifact import Artifact
from model.telling_words import TellingWords
from service.catalogue.moment import Moment
from service.catalogue.presentation import found
from service.contract.results import CodeBranch, CodeTree, Level
from service.index.scan import Rows

_TEXTS = 20_000  # items whose words stand for the catalogue's
_WORDS = 5  # of a branch
_SHOWN = 100  # items of a branch
_FEW = 5  # items of a branch among those texts below which others of it are read too,
_READ = 10  # at most so many,
_READ_IN_ALL = 2_000


class _CodesAndWords:
    """What is read of a generation's rows once: codes [n, levels] of all, words of some."""

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
        """Read the codes of rows that came since."""
        start, levels = self.codes.shape
        if start < moment.index.n:
            more = [moment.record(row).codes for row in range(start, moment.index.n)]
            self.codes = np.concatenate([self.codes, np.array(more, np.int32).reshape(len(more), levels)])

    def place(self, rows: Rows) -> Rows:
        """By row, its place among the words; −1 where its text was not read."""
        known = rows < len(self._place)
        return np.where(known, self._place[np.where(known, rows, 0)], -1)


class CodeTreeBuilder:
    """The tree over the moments of one artifact's catalogue.

    The first call reads the words of the catalogue, a second for ten thousand items; who asks waits for it.
    """

    def __init__(self, artifact: Artifact) -> None:
        config = artifact.tokenizer.config
        self._version = artifact.version
        self._metrics: tuple[str, ...] = tuple(config.metrics) if config.has_semantic else ()
        self._size = config.codebook_size
        self._lock = threading.Lock()
        self._held: _CodesAndWords | None = None
        self._used: tuple[Moment, list[Level]] | None = None

    def below(self, moment: Moment, prefix: Sequence[int]) -> CodeTree:
        """What lies below a beginning of semantic IDs: the empty one is all items."""
        with self._lock:
            held = self._follow(moment)
            codes = held.codes
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
            words = _words(moment, held, rows, group, len(distinct))
            order = np.lexsort((distinct, -counts))
            branches = [CodeBranch(int(distinct[each]), int(counts[each]), words[each]) for each in order.tolist()]
        here = _words(moment, held, rows, np.zeros(len(rows), np.int64), 1)[0] if at and len(rows) else []
        shown = rows[np.argsort(moment.index.orders[rows], kind="stable")][:_SHOWN].tolist() if at else []
        items = [found(moment, row) for row in shown]
        return CodeTree(list(prefix), len(rows), here, levels, branches, items, self._version)

    def forget(self, generation: object) -> None:
        """Let go of what is kept of a generation."""
        with self._lock:
            if self._held is not None and self._held.generation is generation:
                self._held = None
            if self._used is not None and self._used[0].generation is generation:
                self._used = None

    def _follow(self, moment: Moment) -> _CodesAndWords:
        held = self._held
        if held is None or held.generation is not moment.generation:
            held = self._held = _CodesAndWords(moment, len(self._metrics))
        held.follow(moment)
        return held

    def _levels(self, moment: Moment, codes: NDArray[np.int32]) -> list[Level]:
        if self._used is not None and self._used[0] is moment:
            return self._used[1]
        live = codes[moment.rows].astype(np.int64)
        levels: list[Level] = []
        prefix = np.zeros(len(live), np.int64)
        for level, metric in enumerate(self._metrics):
            # Numbers of the prefixes so far are below the number of items, so that the product does not overflow.
            _, prefix, counts = np.unique(prefix * self._size + live[:, level], return_inverse=True, return_counts=True)
            levels.append(
                Level(
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


def _words(moment: Moment, held: _CodesAndWords, rows: Rows, groups: Rows, n_groups: int) -> list[list[str]]:
    """The telling words of each group of rows [m], by its number in groups [m]."""
    places = held.place(rows)
    known = places >= 0
    read = np.flatnonzero(~known & (np.bincount(groups[known], minlength=n_groups) < _FEW)[groups])
    of = groups[read]
    order = np.argsort(of, kind="stable")
    rank = np.arange(len(order)) - np.searchsorted(of[order], of[order])
    read = read[order][rank < _READ][:_READ_IN_ALL]
    telling = held.words.with_more([text_of(moment, row) for row in rows[read].tolist()])
    every = np.concatenate([places[known], len(held.words) + np.arange(len(read))])
    return telling.of_groups(every, np.concatenate([groups[known], groups[read]]), n_groups, _WORDS)


def text_of(moment: Moment, row: int) -> str:
    """The words that the item at a row is told by: what is shown of it, or its text where that is nothing. Whole texts
    would tell branches by how descriptions are written.
    """
    item = moment.record(row).item
    shown = [part for part in (item.title, item.brand, *item.categories) if part]
    return "\n".join(shown) if shown else item.to_text()
