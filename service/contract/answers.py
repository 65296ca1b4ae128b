"""Answers about items: recommendations, similar items, items as they are served, and the probes.

The engine fills these dataclasses, the routes write them as JSON without checking them again, the OpenAPI document
describes them, and the client reads into them. JSON leaves out members that are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from service.contract.problems import PROBLEM_EXAMPLE, ProblemDetails
from service.contract.schema import CLOSED, Attributes, closed

Strategy: TypeAlias = Literal["model", "popularity"]
Outcome: TypeAlias = Literal["created", "unchanged", "replaced"]

ATTRIBUTES: dict[str, Any] = {
    "title": "Vitamin C brightening serum",
    "brand": "Lumen",
    "categories": ["Beauty", "Skin Care", "Serums"],
    "price": 24.5,
    "in_stock": True,
    "skin_type": ["dry", "normal"],
}
RECOMMENDED: dict[str, Any] = {
    "item_id": "serum-1",
    "score": 7.25,
    "cold": True,
    "attributes": ATTRIBUTES,
    "reasons": {"semantic": 6.75, "id": 0.5, "shared_codes": [{"item_id": "B0009V1YR8", "levels": 2}]},
}
_RECOMMENDATION: dict[str, Any] = {
    "items": [RECOMMENDED],
    "model_version": "20260101-120000-a1b2c3",
    "strategy": "model",
    "unknown_history": ["B0000Y3NO6"],
    "unknown_filter": [],
}
_ITEM: dict[str, Any] = {
    "item_id": "serum-1",
    "cold": True,
    "source": "registered",
    "revision": 1,
    "semantic_id": [17, 203, 88],
    "shares_semantic_id": 0,
    "attributes": ATTRIBUTES,
}
_REGISTERED: dict[str, Any] = {
    **_ITEM,
    "outcome": "created",
    "quantization_error": 0.031,
    "quantization_error_percentile": 61.5,
    "unusual": False,
}


@dataclass(frozen=True)
class SharedCodes:
    """An item of the history whose semantic ID begins as the recommended item's does."""

    __pydantic_config__ = CLOSED

    item_id: str
    levels: Annotated[int, Field(description="How many leading codes are the same.")]


@dataclass(frozen=True)
class Reasons:
    """Why an item: the two parts of its score, which add up to it exactly, and the history items like it."""

    __pydantic_config__ = CLOSED

    semantic: float
    id: float
    shared_codes: Annotated[list[SharedCodes], Field(description="Most codes first, then latest in the history first.")]


@dataclass(slots=True)  # not frozen: that takes four times as long to make, and an answer has many
class RecommendedItem:
    """One item of an answer."""

    __pydantic_config__ = CLOSED

    item_id: str
    score: Annotated[
        float,
        Field(
            description="Inner product of the history's query vector and the item's embedding; with the strategy "
            '"popularity", the number of interactions in training.'
        ),
    ]
    cold: Annotated[bool, Field(description="True for an item that training did not see.")]
    attributes: Attributes
    reserved: Annotated[bool | None, Field(description="True in a place kept by `cold_share`.")] = None
    reasons: Annotated[Reasons | None, Field(description="With `explain`, and the strategy `model`.")] = None


@dataclass(frozen=True)
class RecommendResponse:
    """Items, best first."""

    __pydantic_config__ = closed(_RECOMMENDATION)

    items: list[RecommendedItem]
    model_version: str
    strategy: Annotated[Strategy, Field(description='"popularity" when nothing in the history is known.')]
    unknown_history: Annotated[list[str], Field(description="Ids of the history that are not known, each once.")]
    # With a default for the client: a service of a release before does not say.
    unknown_filter: Annotated[
        list[str], Field(description="Attributes named in the filter that no item has; none matches then.")
    ] = field(default_factory=list)


@dataclass(frozen=True)
class RecommendBatchEntry:
    """The answer to one entry: a result when the status is 200, else a problem."""

    __pydantic_config__ = CLOSED

    status: int
    result: RecommendResponse | None = None
    problem: ProblemDetails | None = None


@dataclass(frozen=True)
class RecommendBatchResponse:
    """An entry for each request, in order."""

    __pydantic_config__ = closed(
        {
            "results": [
                {"status": 200, "result": _RECOMMENDATION},
                {"status": 422, "problem": {k: v for k, v in PROBLEM_EXAMPLE.items() if k != "request_id"}},
            ]
        }
    )

    results: list[RecommendBatchEntry]


@dataclass(frozen=True)
class ItemPublic:
    """An item as it is served."""

    __pydantic_config__ = closed(_ITEM)

    item_id: str
    cold: Annotated[bool, Field(description="True for an item that training did not see.")]
    source: Annotated[
        Literal["catalogue", "registered"],
        Field(
            description='"catalogue": text and attributes are the artifact\'s; "registered": they came through the API.'
        ),
    ]
    revision: Annotated[
        int, Field(description="Counts the changes made through the API; 0 for an untouched catalogue item.")
    ]
    semantic_id: list[int]
    shares_semantic_id: Annotated[int, Field(description="How many other items have the same semantic ID.")]
    attributes: Attributes
    content: Annotated[
        Mapping[str, Any] | None, Field(description="With `content`: what registering it again takes.")
    ] = field(default=None, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class ItemRegistered(ItemPublic):
    """An item just written, with what its text looked like to the tokenizer."""

    __pydantic_config__ = closed(_REGISTERED)

    outcome: Outcome
    quantization_error: Annotated[
        float, Field(description="Squared distance of the text's latent to its codewords' sum.")
    ]
    quantization_error_percentile: Annotated[
        float, Field(ge=0, le=100, description="Its place among the training items'.")
    ]
    unusual: Annotated[
        bool, Field(description="True when the percentile is high: the text is unlike the training texts.")
    ]


@dataclass(frozen=True)
class ItemBatchEntry:
    """The answer to one entry: an item when the status is 200 or 201, else a problem."""

    __pydantic_config__ = CLOSED

    status: int
    item: ItemRegistered | None = None
    problem: ProblemDetails | None = None


@dataclass(frozen=True)
class ItemBatchResponse:
    """An entry for each item, in order."""

    __pydantic_config__ = closed({"results": [{"status": 201, "item": _REGISTERED}]})

    results: list[ItemBatchEntry]


@dataclass(frozen=True)
class ItemList:
    """One page of items. `next_cursor` is left out on the last page."""

    __pydantic_config__ = closed({"items": [_ITEM], "next_cursor": "12100"})

    items: list[ItemPublic]
    next_cursor: str | None = None


@dataclass(frozen=True)
class SimilarResponse:
    """Items like one item, most alike first."""

    __pydantic_config__ = closed(
        {
            "item_id": "B0009V1YR8",
            "items": [{k: v for k, v in RECOMMENDED.items() if k != "reasons"}],
            "model_version": "20260101-120000-a1b2c3",
        }
    )

    item_id: str
    items: list[RecommendedItem]
    model_version: str


@dataclass(frozen=True)
class Liveness:
    __pydantic_config__ = closed({"status": "alive"})

    status: Literal["alive"]


@dataclass(frozen=True)
class Readiness:
    __pydantic_config__ = closed({"status": "ready", "model_version": "20260101-120000-a1b2c3"})

    status: Literal["ready"]
    model_version: str
