"""One history in NumPy: the same query vectors as the recommender's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.config import RecommenderConfig
from model.packing import pack
from model.recommender import SequenceRecommender
from model.single import SingleQuery


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(("heads", "feed_forward"), [(1, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("length", [1, 2, 9, 12])
def test_it_computes_what_the_recommender_computes(blocks: int, heads: int, feed_forward: int, length: int) -> None:
    torch.manual_seed(blocks * 100 + heads * 10 + length)
    config = RecommenderConfig(dim=24, blocks=blocks, heads=heads, feed_forward=feed_forward, max_length=12)
    recommender = SequenceRecommender(config).eval()
    with torch.no_grad():
        for parameter in recommender.parameters():  # the biases and norms too, which start at nothing
            parameter.add_(torch.randn_like(parameter) * 0.3)
    history = torch.randn(length, 24)
    with torch.no_grad():
        expected = recommender.query(history, pack([length]).runs)[0].numpy()
    found = SingleQuery(recommender)(history.numpy())
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
