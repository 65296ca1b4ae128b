"""Configurations: the published setting, the widths that follow, and refusals by field."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from model.config import RecommenderConfig, TokenizerConfig


def test_the_defaults_are_the_published_setting() -> None:
    config = TokenizerConfig(text_dim=768)
    assert config.hidden == (512, 256)
    assert config.metrics == ("cosine", "cosine", "euclidean")
    assert (config.levels, config.codebook_size, config.semantic_dim, config.id_dim) == (3, 256, 64, 8)
    assert (config.tokens, config.dim) == ("hybrid", 72)
    recommender = RecommenderConfig(dim=72)
    assert (recommender.blocks, recommender.heads, recommender.max_length, recommender.dropout) == (2, 2, 50, 0.5)


@pytest.mark.parametrize(
    ("tokens", "dim", "halves"),
    [("hybrid", 72, (True, True)), ("semantic", 64, (True, False)), ("id", 8, (False, True))],
)
def test_the_token_type_decides_the_halves(tokens: Any, dim: int, halves: tuple[bool, bool]) -> None:
    config = TokenizerConfig(text_dim=10, tokens=tokens)
    assert config.dim == dim
    assert (config.has_semantic, config.has_id) == halves


def test_a_configuration_survives_json() -> None:
    config = TokenizerConfig(text_dim=5, hidden=(), metrics=("euclidean",), cold_policy="mean")
    assert TokenizerConfig.model_validate_json(config.model_dump_json()) == config


def test_a_configuration_is_frozen() -> None:
    config = RecommenderConfig(dim=4)
    with pytest.raises(ValidationError, match="frozen"):
        config.dim = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text_dim": 0}, "text_dim"),
        ({"text_dim": 16385}, "text_dim"),
        ({"hidden": (4, 0)}, "hidden"),
        ({"semantic_dim": 0}, "semantic_dim"),
        ({"metrics": ()}, "metrics"),
        ({"metrics": ("cosine",) * 9}, "metrics"),
        ({"metrics": ("manhattan",)}, "metrics"),
        ({"codebook_size": 1}, "codebook_size"),
        ({"id_dim": 0}, "id_dim"),
        ({"tokens": "both"}, "tokens"),
        ({"cold_policy": "warm"}, "cold_policy"),
        ({"depth": 3}, "depth"),
    ],
)
def test_a_tokenizer_field_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        TokenizerConfig(**({"text_dim": 8} | change))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dim": 0}, "dim"),
        ({"blocks": 0}, "blocks"),
        ({"heads": 3}, "heads: 3 does not divide dim 8"),
        ({"max_length": 0}, "max_length"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"width": 3}, "width"),
    ],
)
def test_a_recommender_field_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        RecommenderConfig(**({"dim": 8} | change))
