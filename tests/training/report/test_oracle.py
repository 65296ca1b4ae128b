"""The metric code against an independent library, and against every order of tied candidates, enumerated."""

from __future__ import annotations

import warnings
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluate.metrics import Ranks
from training.report.result import METRICS, per_user

ITEMS = 24
ORACLE = {"hit@": "hit_rate@", "ndcg@": "ndcg@", "mrr": "mrr"}


def rankings(users: int, levels: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Random scores [users, ITEMS] of few levels, so that most targets are tied, and a target [users] each."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, levels, size=(users, ITEMS)), rng.integers(0, ITEMS, size=users)


def ranks_of(scores: NDArray[np.int64], targets: NDArray[np.int64]) -> Ranks:
    own = scores[np.arange(len(scores)), targets][:, None]
    return Ranks((scores > own).sum(1), (scores == own).sum(1) - 1)


def plain(place: int) -> list[float]:
    """Every metric of a target at that place, counted from 1, by its definition."""
    hits = [float(place <= k) for k in (1, 5, 10, 20)]
    return [*hits, *(1 / np.log2(place + 1) * (place <= k) for k in (5, 10, 20)), 1 / place]


def test_every_order_of_ties_enumerated() -> None:
    scores, targets = rankings(users=300, levels=9, seed=0)
    ranks = ranks_of(scores, targets)
    enumerated = 0
    for row, found in enumerate(per_user(ranks)):
        tied = [item for item in range(ITEMS) if scores[row, item] == scores[row, targets[row]]]
        if len(tied) > 5:
            continue
        above = int((scores[row] > scores[row, targets[row]]).sum())
        orders = [above + order.index(targets[row]) + 1 for order in permutations(tied)]
        assert found == pytest.approx(np.mean([plain(place) for place in orders], axis=0), abs=1e-12)
        enumerated += len(tied) > 1
    assert enumerated > 150


def oracle(scores: NDArray[np.float64], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """ranx's figures [users, metrics] of scores without ties [users, ITEMS]."""
    with warnings.catch_warnings():
        # Of its own compilation (numba), not of what it computes.
        warnings.simplefilter("ignore")
        from ranx import Qrels, Run, evaluate

        names = [f"u{row:04d}" for row in range(len(scores))]
        wanted = {name: {f"i{target}": 1} for name, target in zip(names, targets, strict=True)}
        given = {
            name: {f"i{item}": float(score) for item, score in enumerate(row)}
            for name, row in zip(names, scores, strict=True)
        }
        asked = [
            next(metric.replace(own, its) for own, its in ORACLE.items() if metric.startswith(own))
            for metric in METRICS
        ]
        found = evaluate(Qrels(wanted), Run(given), asked, return_mean=False)
    return np.stack([found[metric] for metric in asked], axis=1)


def test_an_independent_library_gives_the_same_figures() -> None:
    """Without ties user by user; with ties as the mean over random orders, within what chance allows."""
    clear, clear_targets = rankings(users=200, levels=10**9, seed=1)
    tied, tied_targets = rankings(users=60, levels=6, seed=2)
    expected, ranks = per_user(ranks_of(clear, clear_targets)), ranks_of(tied, tied_targets)
    assert not ranks_of(clear, clear_targets).ties.any()
    assert (ranks.ties > 0).mean() > 0.9
    rng = np.random.default_rng(3)
    draws = 60
    # A fraction of a level, drawn anew each time, puts tied candidates in a random order and no others.
    broken = [tied + rng.random(tied.shape) * 0.5 for _ in range(draws)]
    found = oracle(np.concatenate([clear, *broken]), np.concatenate([clear_targets, *[tied_targets] * draws]))
    assert found[:200] == pytest.approx(expected, abs=1e-9)
    means = found[200:].reshape(draws, 60, -1).mean(1)
    error = means.std(axis=0) / np.sqrt(draws)
    print(f"ranx over {draws} random orders of ties: {means.mean(0).round(4)}, standard error {error.round(5)}")
    assert (np.abs(means.mean(0) - per_user(ranks).mean(0)) <= 4 * error + 1e-12).all()
