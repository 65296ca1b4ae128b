"""Recipes: all settings of a training run in one frozen object that checks itself.

`paper` is the published setting of arXiv 2502.16474; `default` is the best setting that we found. Every option of the
command line is a field here, so an artifact's manifest records how we trained it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from model.config import ColdPolicy, FrozenConfig, Metric, RecommenderConfig, TokenizerConfig, TokenType

Monitor = Literal["sampled_mrr", "full_ndcg@10"]
"""The figure by which validation chooses: protocol and metric."""

# With fewer items per codeword, the first level gives each item a codeword of its own and the other levels have nothing
# left to do. No new item then resembles an old one (docs/training.md has the figures).
ITEMS_OF_A_CODEWORD = 4
LEAST_CODEWORDS = 8


class Recipe(FrozenConfig):
    name: str

    # Item tokenizer
    tokens: TokenType = "hybrid"
    metrics: tuple[Metric, ...] = ("cosine", "cosine", "euclidean")
    codebook_size: int = Field(256, ge=2)
    semantic_dim: int = Field(64, ge=1)
    id_dim: int = Field(8, ge=1)
    hidden: tuple[int, ...] = (512, 256)
    cold_policy: ColdPolicy = "learned"
    cold_probability: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of items whose ID half a training step replaces by the cold vector",
    )
    id_shrinkage: float = Field(
        0.0,
        ge=0,
        description="κ: an item with n training interactions keeps n / (n + κ) of its own ID half; the rest is the "
        "cold vector, or zero if the cold_policy has none",
    )

    # Neighbours
    together_weight: float = Field(
        0.0,
        ge=0,
        description="weight of co-occurrence in a score: items that follow each other in training; 0 turns it off",
    )
    alike_weight: float = Field(
        0.0, ge=0, description="weight of text similarity in a score: items whose texts share telling words"
    )
    neighbours: int = Field(64, ge=1, description="neighbours of each kind that an item keeps")

    # Text
    text_encoder: str = Field("tfidf", description='"tfidf", or a sentence-transformers model by name or folder')
    text_dim: int = Field(384, ge=1, description="dimensions of the TF-IDF encoder")

    # Recommender
    blocks: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    feed_forward: int = Field(4, ge=1, description="width of a block's feed-forward layer, as a multiple of its input")
    max_length: int = Field(50, ge=2)
    dropout: float = Field(0.5, ge=0, lt=1)

    # Objective
    loss: Literal["bce", "softmax", "sampled_softmax"] = "bce"
    negatives: int = Field(1, ge=1, description="negatives per position (bce) or per step (sampled_softmax)")
    reconstruction: bool = True
    reconstruction_weight: float = Field(1.0, ge=0)
    reconstruction_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="random share of a step's items that the decoder trains on; half estimates the loss as well in "
        "less time, .125 leaves fewer distinct semantic IDs (Beauty, paper: 81.8 % against 84.0 %)",
    )
    commitment_weight: float = Field(1.0, ge=0, description="λ of the paper")
    codebook_weight: float = Field(1.0, ge=0)
    joint: bool = Field(
        True,
        description="False: train the tokenizer on reconstruction first, then freeze its encoder",
    )

    # Optimisation
    learning_rate: float = Field(1e-3, gt=0)
    decay: bool = Field(False, description="lower the learning rate linearly to zero over `epochs`")
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(256, ge=1, description="users per step")
    warmup_epochs: int = Field(
        0, ge=0, description="passes over the catalogue that train reconstruction before joint training"
    )
    epochs: int = Field(200, ge=1, description="at most")
    patience: int = Field(
        10,
        ge=1,
        description="epochs without a better monitored metric before training ends; `decay` ignores it, because its "
        "last epochs have the lowest rates and settle the model",
    )
    monitor: Monitor = "sampled_mrr"

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        self.recommender_config(self.tokenizer_config(self.text_dim).dim)  # raises for widths that do not match
        if not self.joint and not self.warmup_epochs:
            raise ValueError(
                "joint: without joint training the tokenizer learns only in warmup_epochs; set warmup_epochs"
            )
        return self

    def tokenizer_config(self, text_dim: int) -> TokenizerConfig:
        """The tokenizer's shape; `text_dim` is the width of the fitted text encoder."""
        return TokenizerConfig(
            tokens=self.tokens,
            text_dim=text_dim,
            hidden=self.hidden,
            semantic_dim=self.semantic_dim,
            metrics=self.metrics,
            codebook_size=self.codebook_size,
            id_dim=self.id_dim,
            cold_policy=self.cold_policy,
        )

    def recommender_config(self, dim: int) -> RecommenderConfig:
        return RecommenderConfig(
            dim=dim,
            blocks=self.blocks,
            heads=self.heads,
            feed_forward=self.feed_forward,
            max_length=self.max_length,
            dropout=self.dropout,
        )

    def bounded(self, n_items: int) -> Recipe:
        """The recipe with no more codewords than a catalogue of `n_items` can train: the largest power of two that
        leaves ITEMS_OF_A_CODEWORD items per codeword, but at least LEAST_CODEWORDS.
        """
        most = max(LEAST_CODEWORDS, 1 << max(1, n_items // ITEMS_OF_A_CODEWORD).bit_length() - 1)
        if self.tokens == "id" or self.codebook_size <= most:
            return self
        return self.override({"codebook_size": most})

    def override(self, changes: Mapping[str, Any]) -> Recipe:
        """A copy with some fields changed and all checked again; pydantic's error names a wrong field."""
        return Recipe.model_validate({**self.model_dump(), **changes})


PAPER = Recipe(name="paper", cold_probability=0.05)

# docs/results/tried.md lists what we tried and the figures behind each choice.
DEFAULT = Recipe(
    name="default",
    codebook_size=1024,
    id_dim=16,
    cold_policy="neighbour",
    cold_probability=0.1,
    id_shrinkage=5,
    together_weight=2.0,
    alike_weight=1.25,
    feed_forward=1,
    dropout=0.4,
    loss="sampled_softmax",
    negatives=1024,
    learning_rate=2e-3,
    decay=True,
    epochs=14,
    monitor="full_ndcg@10",
)

# The built-in demo: a small `default` that trains in about a minute on two cores.
DEMO = DEFAULT.override(
    {
        "name": "demo",
        "cold_probability": 0.2,
        "codebook_size": 64,
        "semantic_dim": 32,
        # It has few items with many interactions each, so an item can learn a wider ID embedding.
        "id_dim": 32,
        "id_shrinkage": 0,
        "hidden": (256,),
        "text_dim": 128,
        "negatives": 512,
        "dropout": 0.3,
        "learning_rate": 3e-3,
        "epochs": 16,
    }
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (DEFAULT, PAPER, DEMO)}
