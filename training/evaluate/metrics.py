"""Ranking metrics from two counts: the candidates above a target, and those tied with it.

Neither luck nor the item number breaks ties. Each metric is its exact expectation over random orders of the tied
candidates, so identical scores (two items with one semantic ID) neither help nor harm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.config import Monitor

CUTOFFS = (1, 5, 10, 20)


class Ranks(NamedTuple):
    """greater: [users] candidates scored above the target. ties: [users] other candidates with the same score."""

    greater: NDArray[np.int64]
    ties: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Ranks:
        return Ranks(self.greater[rows], self.ties[rows])


def hit(ranks: Ranks, k: int) -> NDArray[np.float64]:
    """Probability per user that the target is among the first k; with one target, HIT@k equals Recall@k."""
    return _mean_gain(ranks, np.where(np.arange(_places(ranks)) < k, 1.0, 0.0))


def ndcg(ranks: Ranks, k: int) -> NDArray[np.float64]:
    """NDCG@k per user for one target: 1 / log2(place + 1) up to place k, counted from 1, and 0 after it."""
    gain: NDArray[np.float64] = np.zeros(_places(ranks))
    gain[:k] = 1.0 / np.log2(np.arange(min(k, len(gain))) + 2.0)
    return _mean_gain(ranks, gain)


def reciprocal_rank(ranks: Ranks) -> NDArray[np.float64]:
    """1 / place per user, over all candidates (no cut-off); its mean is MRR."""
    gain: NDArray[np.float64] = 1.0 / (np.arange(_places(ranks), dtype=np.float64) + 1.0)
    return _mean_gain(ranks, gain)


def summary(ranks: Ranks) -> dict[str, float]:
    """Means over users: hit@1,5,10,20, ndcg@5,10,20 and mrr."""
    values = {f"hit@{k}": float(hit(ranks, k).mean()) for k in CUTOFFS}
    values |= {f"ndcg@{k}": float(ndcg(ranks, k).mean()) for k in CUTOFFS[1:]}
    return values | {"mrr": float(reciprocal_rank(ranks).mean())}


def protocol_of(monitor: Monitor) -> str:
    """The protocol, "full" or "sampled", whose ranks the monitor reads."""
    return monitor.partition("_")[0]


def monitored(ranks: Ranks, monitor: Monitor) -> float:
    """The figure by which validation chooses, of ranks in the monitor's protocol."""
    return float((reciprocal_rank(ranks) if monitor == "sampled_mrr" else ndcg(ranks, 10)).mean())


def _places(ranks: Ranks) -> int:
    return int((ranks.greater + ranks.ties).max(initial=0)) + 1


def _mean_gain(ranks: Ranks, gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of `gain` over the places greater … greater + ties that the target may take."""
    total = np.concatenate([[0.0], np.cumsum(gain)])
    mean: NDArray[np.float64] = (total[ranks.greater + ranks.ties + 1] - total[ranks.greater]) / (ranks.ties + 1)
    return mean
