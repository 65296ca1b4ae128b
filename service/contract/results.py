"""What the engine answers: plain values, in the shape of the public contract, ready to be written as JSON.

Attributes were held against their types when the item came in; here they are `Any`, because the writer would try each
type of a union anew for every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from service.settings import IndexKind

Strategy = Literal["model", "popularity"]
Outcome = Literal["created", "unchanged", "replaced"]
RegistryKind = Literal["sqlite", "postgresql"]


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


@dataclass(slots=True)  # not frozen: that takes four times as long to make, and an answer has many
class Recommended:
    item_id: str
    score: float
    cold: bool
    attributes: Mapping[str, Any]
    reserved: bool | None = None
    reasons: Why | None = None


@dataclass(frozen=True)
class Recommendation:
    items: list[Recommended]
    model_version: str
    strategy: Strategy
    unknown_history: list[str]
    unknown_filter: list[str]


@dataclass(frozen=True)
class Similar:
    item_id: str
    items: list[Recommended]
    model_version: str


@dataclass(frozen=True)
class FoundItem:
    item_id: str
    cold: bool
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    items: list[FoundItem]
    model_version: str


@dataclass(frozen=True)
class Example:
    """A user of the test split."""

    history: list[FoundItem]
    chosen: FoundItem


@dataclass(frozen=True)
class Examples:
    examples: list[Example]
    model_version: str


@dataclass(frozen=True)
class Listener:
    """A user of the test split, with the place that an item would have among what is recommended to them."""

    place: int
    score: float
    history: list[FoundItem]
    chosen: FoundItem


@dataclass(frozen=True)
class Audience:
    users: int
    reached: int
    best: list[Listener]


@dataclass(frozen=True)
class Preview:
    """An item that is not registered, as it would be."""

    item_id: str
    outcome: Outcome
    cold: bool
    semantic_id: list[int]
    shares_semantic_id: int
    quantization_error: float
    quantization_error_percentile: float
    unusual: bool
    neighbours: list[Recommended]
    audience: Audience
    model_version: str


@dataclass(frozen=True)
class Level:
    """How a level of the semantic IDs is used, by the items of one moment."""

    level: int
    metric: str
    codewords: int
    used: int
    prefixes: int
    alone: int
    most: int


@dataclass(frozen=True)
class CodeBranch:
    code: int
    items: int
    words: list[str]


@dataclass(frozen=True)
class CodeTree:
    """What lies below a prefix of semantic IDs. `found`: its items, some of them where there are many."""

    prefix: list[int]
    items: int
    words: list[str]
    levels: list[Level]
    branches: list[CodeBranch]
    found: list[FoundItem]
    model_version: str


@dataclass(frozen=True)
class Points:
    """Columns of equal length."""

    item_id: list[str]
    x: list[float]
    y: list[float]
    semantic_id: list[list[int]]
    registered: list[bool]


@dataclass(frozen=True)
class CatalogueMap:
    items: int
    points: Points
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
    attributes: Mapping[str, Any]
    content: Mapping[str, Any] | None = field(default=None, kw_only=True)


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


@dataclass(frozen=True)
class RecommendEntry:
    """The answer to one entry of a batch: a result, or the members of a problem."""

    status: int
    result: Recommendation | None = None
    problem: dict[str, Any] | None = None


@dataclass(frozen=True)
class ItemEntry:
    """The answer to one entry of a batch: an item, or the members of a problem."""

    status: int
    item: Written | None = None
    problem: dict[str, Any] | None = None


@dataclass(frozen=True)
class IndexState:
    kind: IndexKind
    recall_at_10: float


@dataclass(frozen=True)
class Refused:
    """What `current` names and why it is not served; `version` is None where it names no version."""

    version: str | None
    reason: str


@dataclass(frozen=True)
class RegistryState:
    """items: of those served, the registered ones."""

    kind: RegistryKind
    items: int


@dataclass(frozen=True)
class LastSwap:
    """at: UTC, ISO 8601."""

    old_version: str
    new_version: str
    at: str


@dataclass(frozen=True)
class Version:
    """What is running; most of it only once it is ready."""

    service: str
    model_version: str | None = None
    items: int | None = None
    cold_items: int | None = None
    index: IndexState | None = None
    started_seconds: float | None = None
    refused: Refused | None = None
    serving_since: str | None = None
    registry: RegistryState | None = None
    last_swap: LastSwap | None = None


@dataclass(frozen=True)
class Probe:
    status: Literal["alive", "ready"]
    model_version: str | None = None
