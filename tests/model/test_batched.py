"""Histories that are computed together: each gets the query vector that the recommender gives it alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.batched import Queries
from model.config import RecommenderConfig
from model.packing import pack
from model.recommender import SequenceRecommender

LENGTHS = [[1], [12], [5, 5, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [30, 1, 12, 13, 2, 2, 12], [7] * 40]


def perturbed(config: RecommenderConfig) -> SequenceRecommender:
    """Random weights, biases and norms too, which start at nothing."""
    torch.manual_seed(config.blocks)
    recommender = SequenceRecommender(config).eval()
    with torch.no_grad():
        for parameter in recommender.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return recommender


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize(("blocks", "heads", "feed_forward"), [(1, 2, 1), (2, 2, 1), (3, 1, 4)])
def test_each_history_is_read_as_the_recommender_reads_it(
    lengths: list[int], blocks: int, heads: int, feed_forward: int
) -> None:
    recommender = perturbed(
        RecommenderConfig(dim=24, blocks=blocks, heads=heads, feed_forward=feed_forward, max_length=12)
    )
    rng = np.random.default_rng(len(lengths))
    vectors = rng.normal(size=(50, 24)).astype(np.float32)
    histories = [rng.integers(0, 50, length).tolist() for length in lengths]
    found = Queries(recommender)(vectors, histories)
    for history, query in zip(histories, found, strict=True):
        read = torch.from_numpy(vectors[history[-12:]])
        with torch.no_grad():
            expected = recommender.query(read, pack([len(read)]).runs)[0].numpy()
        np.testing.assert_allclose(query, expected, rtol=5e-5, atol=5e-5)


def test_an_empty_history_is_refused() -> None:
    with pytest.raises(ValueError, match="empty history"):
        Queries(perturbed(RecommenderConfig(dim=24, max_length=12)))(np.zeros((3, 24), np.float32), [[1], []])


def test_no_histories_give_no_queries() -> None:
    assert Queries(perturbed(RecommenderConfig(dim=24, max_length=12)))(np.zeros((3, 24), np.float32), []).shape == (
        0,
        24,
    )
