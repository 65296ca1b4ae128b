"""The configurations that describe a trained model. They are frozen, and name the field of a value they refuse."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Metric: TypeAlias = Literal["cosine", "euclidean"]
TokenType: TypeAlias = Literal["hybrid", "id", "semantic"]
ColdPolicy: TypeAlias = Literal["neighbour", "learned", "zero", "mean", "predicted"]
NeighbourKind: TypeAlias = Literal["alike", "together"]
"""Manifests, artifact files and recipes spell the kinds so; code says TEXT_SIMILARITY and CO_OCCURRENCE."""

TEXT_SIMILARITY: Final = "alike"
CO_OCCURRENCE: Final = "together"


class FrozenConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenizerConfig(FrozenConfig):
    """Shape of the hybrid item tokenizer (arXiv 2502.16474, section 3; the defaults are its published setting)."""

    tokens: TokenType = "hybrid"
    text_dim: int = Field(ge=1, le=16384, description="T, width of the frozen text embedding")
    hidden: tuple[int, ...] = Field(
        (512, 256), description="widths of the encoder's hidden layers; the decoder mirrors them"
    )
    semantic_dim: int = Field(64, ge=1, le=4096, description="D2, width of latent, codewords and semantic embedding")
    metrics: tuple[Metric, ...] = Field(
        ("cosine", "cosine", "euclidean"),
        min_length=1,
        max_length=8,
        description="distance of each level; their number is the number of levels",
    )
    codebook_size: int = Field(256, ge=2, le=65536, description="K, codewords of each level")
    id_dim: int = Field(8, ge=1, le=4096, description="D1, width of the ID embedding")
    cold_policy: ColdPolicy = Field(
        "learned",
        description="the ID embedding of a cold item: that of the nearest trained item by semantic embedding, a vector "
        "learned by masking items in training, zero, the mean of all, or a prediction from the semantic half",
    )

    @model_validator(mode="after")
    def _check(self) -> TokenizerConfig:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden: every width must be positive, got {self.hidden}")
        return self

    @property
    def levels(self) -> int:
        return len(self.metrics)

    @property
    def has_semantic(self) -> bool:
        return self.tokens != "id"

    @property
    def has_id(self) -> bool:
        return self.tokens != "semantic"

    @property
    def dim(self) -> int:
        """D, width of the hybrid embedding: the sum of the halves that the token type has."""
        return self.has_semantic * self.semantic_dim + self.has_id * self.id_dim


class RecommenderConfig(FrozenConfig):
    """Shape of the sequence recommender (SASRec, arXiv 1808.09781, in the BERT-like form of S3-Rec)."""

    dim: int = Field(ge=1, description="D, width of the hybrid embeddings it reads and of its query vector")
    blocks: int = Field(2, ge=1, le=64)
    heads: int = Field(2, ge=1, le=64)
    feed_forward: int = Field(4, ge=1, le=16, description="width of a block's feed-forward layer, in multiples of D")
    max_length: int = Field(50, ge=1, le=4096, description="the recommender reads so many of the latest items")
    dropout: float = Field(0.5, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _check(self) -> RecommenderConfig:
        if self.dim % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide dim {self.dim}")
        return self


class NeighbourConfig(FrozenConfig):
    """How one kind of neighbour adds to a score: weight · log(1 + evidence / floor). See `model/neighbours.py`."""

    weight: float = Field(gt=0, allow_inf_nan=False)
    floor: float = Field(gt=0, allow_inf_nan=False, description="evidence that adds weight · log 2")
    decay: float = Field(gt=0, le=1, description="factor on the evidence of a history item for each later item")
    count: int = Field(ge=1, le=65536, description="the most neighbours of an item")
