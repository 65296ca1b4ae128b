"""Evaluation against naive loops: each item of the history is masked, and the target never is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import RecommenderConfig
from model.packing import Run
from model.recommender import SequenceRecommender
from training.datasets.base import Indices
from training.evaluate.ranking import full_ranks, queries, sampled_ranks


def histories(*rows: list[int]) -> list[Indices]:
    return [np.array(row, dtype=np.int32) for row in rows]


def case(users: int = 23, items: int = 40, seed: int = 0) -> tuple[Tensor, Tensor, NDArray[np.int64], list[Indices]]:
    """Scores on a coarse grid, so that ties are common; every second target is in its own history."""
    rng = np.random.default_rng(seed)
    query = torch.from_numpy(rng.integers(-2, 3, (users, 3)).astype(np.float32))
    catalogue = torch.from_numpy(rng.integers(-2, 3, (items, 3)).astype(np.float32))
    targets = rng.integers(0, items, users)
    seen = [rng.integers(0, items, rng.integers(1, 15)).astype(np.int32) for _ in range(users)]
    for user in range(0, users, 2):
        seen[user][0] = targets[user]
    return query, catalogue, targets, seen


@pytest.mark.parametrize("chunk", [1, 4, 512])
def test_full_ranks_against_a_loop(chunk: int) -> None:
    query, catalogue, targets, seen = case()
    found = full_ranks(query, catalogue, targets, seen, chunk=chunk)
    assert found.ties.sum() > 20
    for user in range(len(query)):
        goal = float(query[user] @ catalogue[targets[user]])
        others = [
            float(query[user] @ catalogue[item])
            for item in range(len(catalogue))
            if item != targets[user] and item not in seen[user]
        ]
        assert found.greater[user] == sum(score > goal for score in others)
        assert found.ties[user] == sum(score == goal for score in others)


def test_the_history_is_masked_and_the_target_never_is() -> None:
    catalogue = torch.tensor([[5.0], [4.0], [3.0], [2.0]])
    query = torch.ones(3, 1)
    seen = histories([0, 1], [3], [2, 0])
    found = full_ranks(query, catalogue, np.array([2, 2, 2]), seen)
    # Items 0 and 1 are out; only 3 is out; 0 is out and the target stays though it is in the history.
    assert found.greater.tolist() == [0, 2, 1]
    assert found.ties.tolist() == [0, 0, 0]


def test_full_ranks_leaves_its_arguments_alone() -> None:
    query, catalogue, targets, seen = case()
    before = (query.clone(), catalogue.clone())
    first = full_ranks(query, catalogue, targets, seen)
    second = full_ranks(query, catalogue, targets, seen)
    assert torch.equal(query, before[0])
    assert torch.equal(catalogue, before[1])
    assert np.array_equal(first.greater, second.greater)


@pytest.mark.parametrize("chunk", [1, 5, 2048])
def test_sampled_ranks_against_a_loop(chunk: int) -> None:
    query, catalogue, targets, _ = case()
    negatives = np.random.default_rng(1).integers(0, len(catalogue), (len(query), 9))
    found = sampled_ranks(query, catalogue, targets, negatives, chunk=chunk)
    for user in range(len(query)):
        goal = float(query[user] @ catalogue[targets[user]])
        scores = [float(query[user] @ catalogue[item]) for item in negatives[user]]
        assert found.greater[user] == sum(score > goal for score in scores)
        assert found.ties[user] == sum(score == goal for score in scores)


def test_queries_against_one_history_at_a_time() -> None:
    torch.manual_seed(0)
    recommender = SequenceRecommender(RecommenderConfig(dim=8, max_length=5)).train()
    catalogue = torch.randn(30, 8)
    rng = np.random.default_rng(0)
    seen = [rng.integers(0, 30, length).astype(np.int32) for length in rng.integers(1, 12, 20)]
    found = queries(recommender, catalogue, seen, chunk=6)
    for user, history in enumerate(seen):
        kept = torch.from_numpy(history[-5:].astype(np.int64))
        expected = recommender(catalogue[kept], (Run(1, len(kept)),))[-1]
        torch.testing.assert_close(found[user], expected)
    with pytest.raises(ValueError, match="an empty history has no query vector"):
        queries(recommender, catalogue, histories([1], []))
