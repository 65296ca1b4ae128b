"""The forward pass in NumPy: each history gets the query vector that the recommender in torch gives it alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.config import RecommenderConfig
from model.numpy_recommender import NumpyRecommender
from model.packing import pack
from model.recommender import SequenceRecommender

LENGTHS = [[1], [12], [5, 5, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [30, 1, 12, 13, 2, 2, 12], [7] * 40]


def perturbed(seed: int = 0, **shape: int) -> SequenceRecommender:
    """A recommender of 12 items and 24 dimensions with random weights, the biases and norms too, which start at 0."""
    torch.manual_seed(seed)
    recommender = SequenceRecommender(RecommenderConfig(dim=24, max_length=12, **shape)).eval()
    with torch.no_grad():
        for parameter in recommender.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return recommender


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(("heads", "feed_forward"), [(1, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("length", [1, 2, 9, 12])
def test_one_history_is_read_as_the_recommender_reads_it(
    blocks: int, heads: int, feed_forward: int, length: int
) -> None:
    recommender = perturbed(blocks * 100 + heads * 10 + length, blocks=blocks, heads=heads, feed_forward=feed_forward)
    history = torch.randn(length, 24)
    with torch.no_grad():
        expected = recommender.query(history, pack([length]).runs)[0].numpy()
    found = NumpyRecommender(recommender).query(history.numpy())
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize(("blocks", "heads", "feed_forward"), [(1, 2, 1), (2, 2, 1), (3, 1, 4)])
def test_each_of_several_histories_is_read_as_the_recommender_reads_it(
    lengths: list[int], blocks: int, heads: int, feed_forward: int
) -> None:
    recommender = perturbed(blocks, blocks=blocks, heads=heads, feed_forward=feed_forward)
    rng = np.random.default_rng(len(lengths))
    vectors = rng.normal(size=(50, 24)).astype(np.float32)
    histories = [rng.integers(0, 50, length).tolist() for length in lengths]
    found = NumpyRecommender(recommender).queries(vectors, histories)
    for history, query in zip(histories, found, strict=True):
        read = torch.from_numpy(vectors[history[-12:]])
        with torch.no_grad():
            expected = recommender.query(read, pack([len(read)]).runs)[0].numpy()
        np.testing.assert_allclose(query, expected, rtol=5e-5, atol=5e-5)


def test_an_empty_history_is_refused() -> None:
    with pytest.raises(ValueError, match="empty history"):
        NumpyRecommender(perturbed()).queries(np.zeros((3, 24), np.float32), [[1], []])


def test_no_histories_give_no_queries() -> None:
    assert NumpyRecommender(perturbed()).queries(np.zeros((3, 24), np.float32), []).shape == (0, 24)


def test_the_recommender_may_change_afterwards() -> None:
    recommender = perturbed()
    copied = NumpyRecommender(recommender)
    history = np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32)
    before = copied.query(history)
    with torch.no_grad():
        for parameter in recommender.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(copied.query(history), before)
