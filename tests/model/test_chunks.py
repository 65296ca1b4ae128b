"""Chunks of rows, and that nothing which compares a whole catalogue with another holds all of it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from model.chunks import row_chunks
from model.config import Metric, TokenizerConfig
from model.quantizer import Codebook
from model.tokenizer import COLD, HybridTokenizer
from training.evaluate.ranking import full_ranks, sampled_ranks


class Largest(TorchDispatchMode):
    """Counts the cells of the largest tensor that is made while it is on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cells = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.cells = max(self.cells, out.numel())
        return out


def test_chunks_cover_the_rows() -> None:
    assert list(row_chunks(5, 10, 20)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(row_chunks(5, 10, 1000)) == [slice(0, 5)]
    assert list(row_chunks(5, 10, 1000, 3)) == [slice(0, 3), slice(3, 5)]
    assert list(row_chunks(2, 10, 3)) == [slice(0, 1), slice(1, 2)]  # a row is never cut
    assert list(row_chunks(0, 0, 3)) == []


def test_many_cold_items_borrow_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TokenizerConfig(text_dim=3, hidden=(), semantic_dim=3, codebook_size=4, cold_policy="neighbour")
    module = HybridTokenizer(config, 300)
    semantic = torch.randn(300, 3)
    trained = module.trained_items(semantic, torch.arange(300) % 3 > 0)
    items = torch.where(torch.arange(300) % 3 > 0, torch.arange(300), COLD)
    whole = module.borrow(semantic, items, trained)
    monkeypatch.setattr("model.tokenizer._CELLS", 1000)
    with Largest() as largest:
        assert torch.equal(module.borrow(semantic, items, trained), whole)
    assert largest.cells <= 1000


def test_a_catalogue_is_quantized_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics: tuple[Metric, ...] = ("cosine", "euclidean")
    for metric in metrics:
        book = Codebook(50, 3, metric)
        points = torch.randn(400, 3)
        whole = book.nearest(points)
        with monkeypatch.context() as patch, Largest() as largest:
            patch.setattr("model.quantizer._CELLS", 2000)
            assert torch.equal(book.nearest(points), whole)
        assert largest.cells <= 2000


def test_ranks_hold_few_users_of_a_large_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    query, catalogue = torch.randn(40, 4), torch.randn(300, 4)
    random = np.random.default_rng(0)
    targets, histories = random.integers(0, 300, 40), list(random.integers(0, 300, (40, 3)).astype(np.int32))
    negatives = random.integers(0, 300, (40, 9))

    def boosts(users: slice) -> torch.Tensor:
        return torch.ones(len(range(40)[users]), 300)

    full = full_ranks(query, catalogue, targets, histories, boosts)
    sampled = sampled_ranks(query, catalogue, targets, negatives, boosts)
    monkeypatch.setattr("training.evaluate.ranking.CELLS", 2100)
    with Largest() as largest:
        again = full_ranks(query, catalogue, targets, histories, boosts)
        sampled_again = sampled_ranks(query, catalogue, targets, negatives, boosts)
    assert largest.cells <= 2100
    assert np.array_equal(again.greater, full.greater)
    assert np.array_equal(sampled_again.greater, sampled.greater)
