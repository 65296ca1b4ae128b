"""Recipes: everything that decides a training run, in one frozen, self-checking object.

`paper` is the published setting of arXiv 2502.16474; `default` is the best that was found. Each option of the command
line is a field here, so that the manifest of an artifact can say how it came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from model.config import ColdPolicy, FrozenConfig, Metric, RecommenderConfig, TokenizerConfig, TokenType

Monitor = Literal["sampled_mrr", "full_ndcg@10"]
"""The figure by which validation chooses: protocol and metric."""

# With fewer items to a codeword the first level holds one item each and leaves nothing to the others: every item is
# then its own code, and every new one unlike them all (docs/training.md has the figures).
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
        description="share of items whose ID half is replaced by the cold vector in a training step",
    )
    id_shrinkage: float = Field(
        0.0,
        ge=0,
        description="κ: the ID half of an item with n training interactions is n / (n + κ) its own, the rest the cold "
        "vector, or zero under a cold_policy without one",
    )

    # Neighbours
    together_weight: float = Field(
        0.0, ge=0, description="how much items that follow each other in training add to a score; 0: nothing is counted"
    )
    alike_weight: float = Field(0.0, ge=0, description="how much items whose texts share telling words add to a score")
    neighbours: int = Field(64, ge=1, description="neighbours kept of an item, of each kind")

    # Text
    text_encoder: str = Field("tfidf", description='"tfidf", or a sentence-transformers model by name or folder')
    text_dim: int = Field(384, ge=1, description="directions kept by the TF-IDF encoder")

    # Recommender
    blocks: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    feed_forward: int = Field(4, ge=1, description="width of a block's feed-forward layer, in multiples of its input")
    max_length: int = Field(50, ge=2)
    dropout: float = Field(0.5, ge=0, lt=1)

    # Objective
    loss: Literal["bce", "softmax", "sampled_softmax"] = "bce"
    negatives: int = Field(1, ge=1, description="negatives of a position (bce) or of a step (sampled_softmax)")
    reconstruction: bool = True
    reconstruction_weight: float = Field(1.0, ge=0)
    reconstruction_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a step's items, drawn at random, that the decoder is trained on: as good an estimate of "
        "the loss for less of the time; .125 left fewer distinct semantic IDs (Beauty, paper: 81.8 % against 84.0 %)",
    )
    commitment_weight: float = Field(1.0, ge=0, description="λ of the paper")
    codebook_weight: float = Field(1.0, ge=0)
    joint: bool = Field(
        True,
        description="False: the tokenizer is trained on reconstruction first, then its encoder is frozen",
    )

    # Optimisation
    learning_rate: float = Field(1e-3, gt=0)
    decay: bool = Field(False, description="learning rate falls linearly to zero over `epochs`, instead of staying")
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(256, ge=1, description="users of a step")
    warmup_epochs: int = Field(0, ge=0, description="passes over the catalogue on reconstruction before joint training")
    epochs: int = Field(200, ge=1, description="at most")
    patience: int = Field(
        10,
        ge=1,
        description="epochs without a better monitored metric before training ends. Not with `decay`: its last epochs, "
        "at the lowest rates, are the ones that settle",
    )
    monitor: Monitor = "sampled_mrr"

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        self.recommender_config(self.tokenizer_config(self.text_dim).dim)  # refuses widths that do not fit together
        if not self.joint and not self.warmup_epochs:
            raise ValueError("joint: without joint training the tokenizer learns in warmup_epochs alone; set them")
        return self

    def tokenizer_config(self, text_dim: int) -> TokenizerConfig:
        """The tokenizer's shape; `text_dim` is what the fitted text encoder gives."""
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
        """The recipe with no more codewords than a catalogue of `n_items` can teach: the largest power of two that
        leaves ITEMS_OF_A_CODEWORD items to each, LEAST_CODEWORDS at least.
        """
        most = max(LEAST_CODEWORDS, 1 << max(1, n_items // ITEMS_OF_A_CODEWORD).bit_length() - 1)
        if self.tokens == "id" or self.codebook_size <= most:
            return self
        return self.override({"codebook_size": most})

    def override(self, changes: Mapping[str, Any]) -> Recipe:
        """The recipe with some fields changed, checked anew; pydantic's error names a field that does not fit."""
        return Recipe.model_validate({**self.model_dump(), **changes})


PAPER = Recipe(name="paper", cold_probability=0.05)

# What was tried, with the numbers that chose: docs/results/tried.md.
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

# The embedded demo: `default` made small, to train in about a minute on two cores.
DEMO = DEFAULT.override(
    {
        "name": "demo",
        "cold_probability": 0.2,
        "codebook_size": 64,
        "semantic_dim": 32,
        # Its items are few and met often, so they can have more of their own.
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
