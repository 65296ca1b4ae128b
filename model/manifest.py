"""The manifest of an artifact: its configuration, its origin, and the hash of every other file in it."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from model.config import FrozenConfig, NeighbourConfig, NeighbourKind, RecommenderConfig, TokenizerConfig

FORMAT_VERSION = 3

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.safetensors"
RECOMMENDER = "recommender.safetensors"
TEXT_ENCODER = "text_encoder.safetensors"
NEIGHBOURS = "neighbours.safetensors"
ITEMS = "items.parquet"
GOLDEN = "golden.json"
CARD = "README.md"
EVALUATION = "evaluation.parquet"
MAP = "map.safetensors"

REQUIRED_FILES = (TOKENIZER, RECOMMENDER, TEXT_ENCODER, NEIGHBOURS, ITEMS, GOLDEN, CARD)
OPTIONAL_FILES = (EVALUATION, MAP)

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_version(name: str) -> bool:
    """Whether `name` can name a version: one plain path component, so that no version lies outside its root."""
    return _VERSION.fullmatch(name) is not None


class FileEntry(FrozenConfig):
    sha256: str
    size: int = Field(ge=0, description="bytes")

    @field_validator("sha256")
    @classmethod
    def _is_hash(cls, value: str) -> str:
        if not _SHA256.fullmatch(value):
            raise ValueError("must be 64 lower-case hexadecimal digits")
        return value


class TextEncoderEntry(FrozenConfig):
    spec: dict[str, Any] = Field(description="the settings that `build_text_encoder` needs beside the tensors")
    dim: int = Field(ge=1)
    fingerprint: str


class DatasetEntry(FrozenConfig):
    name: str
    fingerprint: str = Field(description="SHA-256 of the content, the same in every format")
    n_users: int = Field(ge=0)
    n_items: int = Field(ge=0)
    n_interactions: int = Field(ge=0)


class Manifest(FrozenConfig):
    format_version: int
    version: str
    created: str = Field(description="UTC, ISO 8601")
    tokenizer: TokenizerConfig
    recommender: RecommenderConfig
    neighbours: dict[NeighbourKind, NeighbourConfig] = Field(
        description="by kind; empty for an artifact without neighbours"
    )
    text_encoder: TextEncoderEntry
    dataset: DatasetEntry
    n_items: int = Field(ge=1)
    recipe: dict[str, Any]
    seed: int
    metrics: dict[str, dict[str, float]] = Field(description='by split and protocol, as "test/full": {"hit@10": …}')
    tokens: dict[str, Any] = Field(description="health of the tokenizer: usage, collisions, parameters")
    training: dict[str, Any] = Field(description="the run: epochs, seconds, machine")
    libraries: dict[str, str]
    files: dict[str, FileEntry]

    @field_validator("version")
    @classmethod
    def _is_version(cls, value: str) -> str:
        if not is_version(value):
            raise ValueError("must be one path component of letters, digits, '.', '_' and '-'")
        return value
