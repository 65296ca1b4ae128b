"""Health of a tokenizer by hand, and the paper's parameter counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.config import TokenizerConfig
from training.evaluate.health import token_parameters, tokenizer_health


def config(**changes: Any) -> TokenizerConfig:
    return TokenizerConfig(**{"text_dim": 8, "metrics": ("cosine", "euclidean"), "codebook_size": 4} | changes)


def test_usage_perplexity_and_collisions_by_hand() -> None:
    codes = np.array([[0, 0], [0, 0], [0, 1], [1, 1], [1, 2], [1, 0], [3, 3], [3, 3]])
    health = tokenizer_health(codes, config())
    assert health["usage"] == [0.75, 1.0]
    entropies = [3 / 8 * np.log2(8 / 3) * 2 + 2 / 8 * 2, 3 / 8 * np.log2(8 / 3) + 2 / 8 * 2 * 2 + 1 / 8 * 3]
    np.testing.assert_allclose(health["perplexity"], [2**entropy for entropy in entropies])
    # Six distinct semantic IDs of eight items, of which four belong to one item alone.
    assert health["distinct"] == 6 / 8
    assert health["unique"] == 4 / 8
    assert health["largest_collision"] == 2


def test_the_extremes() -> None:
    same = tokenizer_health(np.zeros((5, 2), dtype=np.int64), config())
    assert same == {
        "usage": [0.25, 0.25],
        "perplexity": [1.0, 1.0],
        "distinct": 0.2,
        "unique": 0.0,
        "largest_collision": 5,
    }
    even = tokenizer_health(np.array([[a, b] for a in range(4) for b in range(4)]), config())
    assert (even["usage"], even["distinct"], even["unique"]) == ([1.0, 1.0], 1.0, 1.0)
    np.testing.assert_allclose(even["perplexity"], [4.0, 4.0])


def test_an_id_only_tokenizer_has_no_semantic_health() -> None:
    assert tokenizer_health(np.zeros((5, 0), dtype=np.int64), config(tokens="id")) == {}


@pytest.mark.parametrize(
    ("n_items", "saving"),
    # The paper's token parameters against 64-d ID embeddings: −81.15 % on Beauty, −81.06 % on Toys (3 × 256 × 64).
    [(12_101, 0.8115), (11_924, 0.8106)],
)
def test_the_paper_s_savings(n_items: int, saving: float) -> None:
    parameters = token_parameters(TokenizerConfig(text_dim=768), n_items)
    assert parameters["codebooks"] == 3 * 256 * 64
    assert parameters["id_embeddings"] == n_items * 8
    assert parameters["total"] == parameters["codebooks"] + parameters["id_embeddings"]
    assert parameters["id_only_64"] == n_items * 64
    assert parameters["saving"] == pytest.approx(saving, abs=6e-5)


def test_each_token_type_counts_its_own_half() -> None:
    id_only = token_parameters(config(tokens="id", id_dim=64), 100)
    assert (id_only["codebooks"], id_only["total"], id_only["saving"]) == (0, 6400, 0.0)
    semantic = token_parameters(config(tokens="semantic", semantic_dim=2), 100)
    assert (semantic["id_embeddings"], semantic["total"]) == (0, 16)
