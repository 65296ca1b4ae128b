"""Answers about the service itself: what runs, and the card of the model in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue

from service.contract.schema import CLOSED, Metric, closed

IndexKind: TypeAlias = Literal["flat", "hnsw", "ivfpq"]
RegistryKind: TypeAlias = Literal["sqlite", "postgresql"]
TokenType: TypeAlias = Literal["hybrid", "id", "semantic"]
ColdPolicy: TypeAlias = Literal["neighbour", "learned", "zero", "mean", "predicted"]

_VERSION = "20260101-120000-default-a1b2c3d4"
_UTC: dict[str, JsonValue] = {"format": "date-time"}


@dataclass(frozen=True)
class VersionResponse:
    """What runs."""

    __pydantic_config__ = closed(
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
    )

    @dataclass(frozen=True)
    class Index:
        __pydantic_config__ = CLOSED

        kind: IndexKind
        recall_at_10: Annotated[
            float, Field(description="The share of the exact ten best that the index finds, over sampled histories.")
        ]

    @dataclass(frozen=True, kw_only=True)
    class Refused:
        __pydantic_config__ = CLOSED

        version: Annotated[str | None, Field(description="Left out if `current` names no version.")] = None
        reason: str

    @dataclass(frozen=True)
    class Registry:
        __pydantic_config__ = CLOSED

        kind: RegistryKind
        items: Annotated[
            int,
            Field(description="How many of the served items came through the API. Replaced catalogue items count too."),
        ]

    @dataclass(frozen=True)
    class LastSwap:
        __pydantic_config__ = CLOSED

        old_version: str
        new_version: str
        at: Annotated[str, Field(description="UTC.", json_schema_extra=_UTC)]

    service: str
    model_version: Annotated[
        str | None, Field(description="Left out until the service is ready, like all members below.")
    ] = None
    items: int | None = None
    cold_items: int | None = None
    index: Index | None = None
    started_seconds: Annotated[float | None, Field(description="Seconds from the start of loading to ready.")] = None
    refused: Annotated[
        Refused | None,
        Field(
            description="The version that `current` names, if the service refuses it. The version above stays in use."
        ),
    ] = None
    serving_since: Annotated[
        str | None,
        Field(description="When this process began to answer by this model version, UTC.", json_schema_extra=_UTC),
    ] = None
    registry: Registry | None = None
    last_swap: Annotated[
        LastSwap | None,
        Field(description="The last change of the artifact in this process. Left out before the first change."),
    ] = None


@dataclass(frozen=True)
class DatasetFacts:
    """The data set that trained the model."""

    __pydantic_config__ = CLOSED

    name: str
    users: int
    items: int
    interactions: int


@dataclass(frozen=True)
class CodebookLevel:
    """One level of the semantic ID."""

    __pydantic_config__ = CLOSED

    distance: Annotated[Metric, Field(description="The distance that selects the nearest codeword.")]
    usage: Annotated[float | None, Field(description="The share of codewords that at least one item has.")] = None
    perplexity: Annotated[float | None, Field(description="2 to the power of the entropy of the codes, in bits.")] = (
        None
    )


@dataclass(frozen=True)
class SemanticTokens:
    """The half of an item that comes from its text."""

    __pydantic_config__ = CLOSED

    dim: int
    codebook_size: Annotated[int, Field(description="Codewords in each level.")]
    levels: list[CodebookLevel]
    distinct: Annotated[
        float | None, Field(description="The number of distinct semantic IDs, divided by the number of items.")
    ] = None
    unique: Annotated[float | None, Field(description="The share of items whose semantic ID no other item has.")] = None
    largest_collision: Annotated[int | None, Field(description="Items that share the most crowded semantic ID.")] = None


@dataclass(frozen=True)
class IdTokens:
    """The half of an item that training learns from interactions."""

    __pydantic_config__ = CLOSED

    dim: int
    cold_policy: Annotated[ColdPolicy, Field(description="What replaces it if training has not seen the item.")]


@dataclass(frozen=True)
class TokenParameters:
    """How many parameters the tokens take."""

    __pydantic_config__ = CLOSED

    total: int | None = None
    codebooks: int | None = None
    id_embeddings: int | None = None
    id_only_64: Annotated[
        int | None, Field(description="For comparison: the parameters of a full ID table of 64 dimensions.")
    ] = None
    saving: Annotated[
        float | None, Field(description="The saved share of `id_only_64`. Below 0 if the tokens take more.")
    ] = None


@dataclass(frozen=True)
class Tokens:
    """How the model represents an item."""

    __pydantic_config__ = CLOSED

    type: TokenType
    dim: Annotated[int, Field(description="Dimensions of the whole embedding.")]
    semantic: SemanticTokens | None = None
    id: IdTokens | None = None
    parameters: TokenParameters | None = None


@dataclass(frozen=True)
class NeighbourKind:
    """How much the neighbours of one kind add to scores."""

    __pydantic_config__ = CLOSED

    count: Annotated[int, Field(description="The most neighbours that an item has.")]
    weight: float


@dataclass(frozen=True, kw_only=True)
class TextEncoderFacts:
    """The text encoder and the width of its embeddings."""

    __pydantic_config__ = CLOSED

    kind: str | None = None
    dim: int


@dataclass(frozen=True)
class TrainingFacts:
    """How the training ran."""

    __pydantic_config__ = CLOSED

    epochs: int | None = None
    best_epoch: Annotated[
        int | None, Field(description="The epoch whose weights the artifact holds, counted from 0.")
    ] = None
    seconds_per_epoch: Annotated[float | None, Field(description="The median.")] = None
    machine: str | None = None
    device: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelResponse:
    """The card of the model in use. It leaves out what the artifact does not state."""

    __pydantic_config__ = closed(
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
    )

    version: str
    created: Annotated[str, Field(description="UTC, ISO 8601.")]
    recipe: str | None = None
    seed: int
    items: Annotated[int, Field(description="Items in the artifact's catalogue.")]
    dataset: DatasetFacts
    metrics: Annotated[dict[str, dict[str, float]], Field(description='By split and protocol, such as "test/full".')]
    tokens: Tokens
    neighbours: Annotated[
        dict[str, NeighbourKind], Field(description="By kind. Empty if the model uses no neighbours.")
    ]
    text_encoder: TextEncoderFacts
    training: TrainingFacts | None = None
    libraries: dict[str, str]
