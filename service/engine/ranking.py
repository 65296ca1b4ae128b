"""After the search: choosing candidates by diversity, and the reasons for a score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.catalogue.moment import Moment
from service.index.scan import Doubles, Rows


def pool_size(k: int) -> int:
    """How many candidates diversity chooses from: enough to differ, few enough to be quick."""
    return max(100, min(5 * k, k + 1000))


def diversify(moment: Moment, rows: Rows, scores: Doubles, k: int, diversity: float) -> list[int]:
    """Positions of k of the candidates by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    Each step takes the candidate with the largest (1 − diversity) · relevance − diversity · similarity, where
    relevance is the score scaled to [0, 1] over the candidates, and similarity the largest cosine of its
    embedding with one already chosen. Equal values go to the candidate that came first.
    """
    vectors = moment.index.vectors[rows].astype(np.float64)
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)
    span = scores.max() - scores.min() if len(scores) else 0.0
    relevance = (scores - scores.min()) / span if span > 0 else np.zeros(len(scores))
    closest = np.full(len(rows), -1.0)
    free = np.ones(len(rows), np.bool_)
    chosen: list[int] = []
    for step in range(min(k, len(rows))):
        # The first choice has nothing to differ from, so it is the best by score.
        value = (1 - diversity) * relevance - diversity * closest if step else relevance
        best = int(np.argmax(np.where(free, value, -np.inf)))
        chosen.append(best)
        free[best] = False
        np.maximum(closest, vectors @ vectors[best], out=closest)
    return chosen


def shared_codes(moment: Moment, row: int, history: Sequence[int]) -> list[tuple[str, int]]:
    """The history items whose semantic IDs begin like that of `row`: (item_id, number of leading codes shared).

    Sorted by most codes, then by latest in the history. Each item is named once.
    """
    codes = moment.record(row).codes
    found: dict[str, int] = {}
    for seen in reversed(history):
        record = moment.record(seen)
        if levels := _common_prefix(codes, record.codes):
            found.setdefault(record.item_id, levels)
    return sorted(found.items(), key=lambda pair: -pair[1])


def _common_prefix(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    length = 0
    for x, y in zip(a, b, strict=True):
        if x != y:
            break
        length += 1
    return length
