"""What the engine answers: plain values, in the shape of the public contract, ready to be written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from model.items import AttributeValue

Strategy = Literal["model", "popularity"]
Outcome = Literal["created", "unchanged", "replaced"]


@dataclass(frozen=True)
class Shared:
    item_id: str
    levels: int


@dataclass(frozen=True)
class Why:
    """semantic + id == the item's score, exactly."""

    semantic: float
    id: float
    shared_codes: list[Shared]


@dataclass(frozen=True)
class Recommended:
    item_id: str
    score: float
    cold: bool
    attributes: Mapping[str, AttributeValue]
    reasons: Why | None = None


@dataclass(frozen=True)
class Recommendation:
    items: list[Recommended]
    model_version: str
    strategy: Strategy
    unknown_history: list[str]


@dataclass(frozen=True)
class Similar:
    item_id: str
    items: list[Recommended]
    model_version: str


@dataclass(frozen=True)
class Served:
    """An item as it is served."""

    item_id: str
    cold: bool
    source: Literal["catalogue", "registered"]
    revision: int
    semantic_id: list[int]
    shares_semantic_id: int
    attributes: Mapping[str, AttributeValue]


@dataclass(frozen=True)
class Written(Served):
    """An item just written."""

    outcome: Outcome
    quantization_error: float
    quantization_error_percentile: float
    unusual: bool


@dataclass(frozen=True)
class Page:
    items: list[Served]
    next_cursor: str | None
