"""The model card: what the model is and how it was made, read from its artifact's manifest.

Parts of a manifest have no fixed form (recipe, tokens, training). The card leaves out what is missing or malformed
there. It passes on only the members named here, so that no path of the training machine gets out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, TypeVar

from model.manifest import DatasetEntry, Manifest
from service.contract.operation_answers import (
    CodebookLevel,
    DatasetFacts,
    IdTokens,
    ModelResponse,
    NeighbourKind,
    SemanticTokens,
    TextEncoderFacts,
    TokenParameters,
    Tokens,
    TrainingFacts,
)

T = TypeVar("T")

_WHOLE = 2**53  # below it, a whole number is the same in every reader of JSON


def model_card(manifest: Manifest) -> ModelResponse:
    """The card of a manifest. Malformed parts of the manifest do no harm."""
    return ModelResponse(
        version=manifest.version,
        created=manifest.created,
        recipe=_text(manifest.recipe, "name"),
        seed=manifest.seed,
        items=manifest.n_items,
        dataset=_dataset(manifest.dataset),
        metrics={name: _finite(values) for name, values in manifest.metrics.items()},
        tokens=_tokens(manifest),
        neighbours={kind: NeighbourKind(each.count, each.weight) for kind, each in manifest.neighbours.items()},
        text_encoder=TextEncoderFacts(kind=_text(manifest.text_encoder.spec, "kind"), dim=manifest.text_encoder.dim),
        training=_training(manifest.training),
        libraries=manifest.libraries,
    )


def _dataset(data: DatasetEntry) -> DatasetFacts:
    return DatasetFacts(name=data.name, users=data.n_users, items=data.n_items, interactions=data.n_interactions)


def _tokens(manifest: Manifest) -> Tokens:
    config = manifest.tokenizer
    return Tokens(
        type=config.tokens,
        dim=config.dim,
        semantic=_semantic(manifest) if config.has_semantic else None,
        id=IdTokens(config.id_dim, config.cold_policy) if config.has_id else None,
        parameters=_parameters(_mapping(manifest.tokens.get("parameters"))),
    )


def _semantic(manifest: Manifest) -> SemanticTokens:
    config, health = manifest.tokenizer, manifest.tokens
    usage = _each(health.get("usage"), config.levels)
    perplexity = _each(health.get("perplexity"), config.levels)
    return SemanticTokens(
        dim=config.semantic_dim,
        codebook_size=config.codebook_size,
        levels=[CodebookLevel(*level) for level in zip(config.metrics, usage, perplexity, strict=True)],
        distinct=_number(health.get("distinct")),
        unique=_number(health.get("unique")),
        largest_collision=_whole(health.get("largest_collision")),
    )


def _parameters(told: Mapping[str, Any]) -> TokenParameters | None:
    return _unless_empty(
        TokenParameters(
            total=_whole(told.get("total")),
            codebooks=_whole(told.get("codebooks")),
            id_embeddings=_whole(told.get("id_embeddings")),
            id_only_64=_whole(told.get("id_only_64")),
            saving=_number(told.get("saving")),
        )
    )


def _training(told: Mapping[str, Any]) -> TrainingFacts | None:
    return _unless_empty(
        TrainingFacts(
            epochs=_whole(told.get("epochs")),
            best_epoch=_whole(told.get("best_epoch")),
            seconds_per_epoch=_number(told.get("seconds_per_epoch")),
            machine=_text(told, "machine"),
            device=_text(told, "device"),
        )
    )


def _unless_empty(part: T) -> T | None:
    return None if all(value is None for value in astuple(part)) else part  # type: ignore[call-overload]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(told: Mapping[str, Any], name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _WHOLE else None  # True is an int to isinstance


def _number(value: Any) -> float | None:
    """None for what is no number, and for NaN and infinity, which JSON cannot express."""
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)


def _each(value: Any, count: int) -> list[float | None]:
    """A number for each of `count` levels; None for each level without one."""
    if not isinstance(value, list) or len(value) != count:
        return [None] * count
    return [_number(entry) for entry in value]


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    numbers = {name: _number(value) for name, value in values.items()}
    return {name: value for name, value in numbers.items() if value is not None}
