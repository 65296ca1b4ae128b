"""What goes out about the service itself: what is running, and the card of the model that serves.

As in `responses`: made for the OpenAPI document and for clients; members without a value are left out.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, JsonValue

from model.config import ColdPolicy, Metric, TokenType
from service.contract.answers import Answer

_VERSION = "20260101-120000-default-a1b2c3d4"
_UTC: dict[str, JsonValue] = {"format": "date-time"}


class VersionResponse(Answer):
    """What is running."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "service": "0.1.0",
                    "model_version": _VERSION,
                    "items": 12101,
                    "cold_items": 12,
                    "index": {"kind": "flat", "recall_at_10": 1.0},
                    "started_seconds": 2.4,
                    "serving_since": "2026-01-01T12:03:10Z",
                    "registry": {"kind": "sqlite", "items": 15},
                    "last_swap": {
                        "old_version": "20251231-120000-default-a1b2c3d4",
                        "new_version": _VERSION,
                        "at": "2026-01-01T12:03:10Z",
                    },
                }
            ]
        }
    )

    class Index(Answer):
        kind: Literal["flat", "hnsw", "ivfpq"]
        recall_at_10: float = Field(description="Share of the exact ten best found, over sampled histories.")

    class Refused(Answer):
        version: str | None = Field(None, description="Left out where `current` names no version.")
        reason: str

    class Registry(Answer):
        kind: Literal["sqlite", "postgresql"]
        items: int = Field(
            description="Of the items served now, those that came through the API, replaced catalogue items among them."
        )

    class LastSwap(Answer):
        old_version: str
        new_version: str
        at: str = Field(description="UTC.", json_schema_extra=_UTC)

    service: str
    model_version: str | None = Field(None, description="Left out until the service is ready, as is all below.")
    items: int | None = None
    cold_items: int | None = None
    index: Index | None = None
    started_seconds: float | None = Field(None, description="From the start of loading to ready.")
    refused: Refused | None = Field(
        None, description="What the artifact root names now, if it cannot be served: the version above serves on."
    )
    serving_since: str | None = Field(
        None, description="Since when this process answers by this model version; UTC.", json_schema_extra=_UTC
    )
    registry: Registry | None = None
    last_swap: LastSwap | None = Field(
        None, description="The last artifact that took over from another in this process; left out before the first."
    )


class DatasetFacts(Answer):
    """What the model was trained on."""

    name: str
    users: int
    items: int
    interactions: int


class CodebookLevel(Answer):
    """One level of the semantic ID."""

    distance: Metric = Field(description="By which the nearest codeword is found.")
    usage: float | None = Field(None, description="Share of the codewords that at least one item has.")
    perplexity: float | None = Field(None, description="2 to the entropy of the codes.")


class SemanticTokens(Answer):
    """The half of an item that is read off its text."""

    dim: int
    codebook_size: int = Field(description="Codewords of each level.")
    levels: list[CodebookLevel]
    distinct: float | None = Field(None, description="Distinct semantic IDs over items.")
    unique: float | None = Field(None, description="Share of the items whose semantic ID no other item has.")
    largest_collision: int | None = Field(None, description="Items that share the most crowded semantic ID.")


class IdTokens(Answer):
    """The half of an item that is learned from interactions."""

    dim: int
    cold_policy: ColdPolicy = Field(description="What stands in for it where training has not seen the item.")


class TokenParameters(Answer):
    """What the tokens cost."""

    total: int | None = None
    codebooks: int | None = None
    id_embeddings: int | None = None
    id_only_64: int | None = Field(None, description="Of a full ID table of 64 dimensions, to compare with.")
    saving: float | None = Field(None, description="Share of `id_only_64` that is saved; below 0 where none is.")


class Tokens(Answer):
    """How an item is represented."""

    type: TokenType
    dim: int = Field(description="Of the whole embedding.")
    semantic: SemanticTokens | None = None
    id: IdTokens | None = None
    parameters: TokenParameters | None = None


class NeighbourKind(Answer):
    """What the neighbours of one kind add to scores."""

    count: int = Field(description="Most neighbours of an item.")
    weight: float


class TextEncoderFacts(Answer):
    """What reads texts, and how wide its embeddings are."""

    kind: str | None = None
    dim: int


class TrainingFacts(Answer):
    """How training went."""

    epochs: int | None = None
    best_epoch: int | None = Field(None, description="The one whose weights are served, counted from 0.")
    seconds_per_epoch: float | None = Field(None, description="Median.")
    machine: str | None = None
    device: str | None = None


class ModelResponse(Answer):
    """The model that serves: its card. What its artifact does not tell is left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": _VERSION,
                    "created": "2026-01-01T12:00:00Z",
                    "recipe": "default",
                    "seed": 0,
                    "items": 12101,
                    "dataset": {"name": "beauty", "users": 22363, "items": 12101, "interactions": 198502},
                    "metrics": {"test/full": {"hit@10": 0.081, "ndcg@10": 0.044, "mrr": 0.039}},
                    "tokens": {
                        "type": "hybrid",
                        "dim": 72,
                        "semantic": {
                            "dim": 64,
                            "codebook_size": 256,
                            "levels": [
                                {"distance": "cosine", "usage": 1.0, "perplexity": 201.5},
                                {"distance": "euclidean", "usage": 0.97, "perplexity": 180.25},
                            ],
                            "distinct": 0.91,
                            "unique": 0.86,
                            "largest_collision": 14,
                        },
                        "id": {"dim": 8, "cold_policy": "learned"},
                        "parameters": {
                            "total": 129576,
                            "codebooks": 32768,
                            "id_embeddings": 96808,
                            "id_only_64": 774464,
                            "saving": 0.83,
                        },
                    },
                    "neighbours": {"together": {"count": 100, "weight": 1.5}},
                    "text_encoder": {"kind": "tfidf", "dim": 256},
                    "training": {
                        "epochs": 40,
                        "best_epoch": 31,
                        "seconds_per_epoch": 12.5,
                        "machine": "x86_64, 2 threads",
                        "device": "cpu",
                    },
                    "libraries": {"torch": "2.9.1"},
                }
            ]
        },
    )

    version: str
    created: str = Field(description="UTC, ISO 8601.")
    recipe: str | None = None
    seed: int
    items: int = Field(description="Of the artifact's own catalogue.")
    dataset: DatasetFacts
    metrics: dict[str, dict[str, float]] = Field(description='By split and protocol, as "test/full".')
    tokens: Tokens
    neighbours: dict[str, NeighbourKind] = Field(description="By kind; empty where scores have none.")
    text_encoder: TextEncoderFacts
    training: TrainingFacts | None = None
    libraries: dict[str, str]
