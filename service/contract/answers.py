"""Answers about items: recommendations, similar items, served items; and the answers of the probes.

The engine fills these dataclasses. The routes write them as JSON without another check. The OpenAPI document describes
them, and the client reads JSON into them. JSON leaves out members that are None.
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
    """An item of the history whose semantic ID begins like the recommended item's."""

    __pydantic_config__ = CLOSED

    item_id: str
    levels: Annotated[int, Field(description="How many leading codes are the same.")]


@dataclass(frozen=True)
class Reasons:
    """Why an item is recommended: the two parts of its score, which add up to it exactly, and similar history items."""

    __pydantic_config__ = CLOSED

    semantic: float
    id: float
    shared_codes: Annotated[
        list[SharedCodes], Field(description="Ordered by shared codes, most first, then by time, latest first.")
    ]


@dataclass(slots=True)  # not frozen: an answer has many, and a frozen one takes four times as long to make
class RecommendedItem:
    """One item of an answer."""

    __pydantic_config__ = CLOSED

    item_id: str
    score: Annotated[
        float,
        Field(
            description="The inner product of the history's query vector and the item's embedding. With the strategy "
            '"popularity": the number of interactions in training.'
        ),
    ]
    cold: Annotated[bool, Field(description="True for an item that training has not seen.")]
    attributes: Attributes
    reserved: Annotated[bool | None, Field(description="True if `cold_share` kept this place for a cold item.")] = None
    reasons: Annotated[Reasons | None, Field(description="Only with `explain` and the strategy `model`.")] = None


@dataclass(frozen=True)
class RecommendResponse:
    """Items, best first."""

    __pydantic_config__ = closed(_RECOMMENDATION)

    items: list[RecommendedItem]
    model_version: str
    strategy: Annotated[Strategy, Field(description='"popularity" if the model knows no item of the history.')]
    unknown_history: Annotated[
        list[str], Field(description="Ids of the history that the service does not know, each once.")
    ]
    # The default is for the client: an older service does not send this member.
    unknown_filter: Annotated[
        list[str], Field(description="Attributes of the filter that no item has. No item matches then.")
    ] = field(default_factory=list)


@dataclass(frozen=True)
class RecommendBatchEntry:
    """The answer to one entry: a result if the status is 200, else a problem."""

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
    """A served item."""

    __pydantic_config__ = closed(_ITEM)

    item_id: str
    cold: Annotated[bool, Field(description="True for an item that training has not seen.")]
    source: Annotated[
        Literal["catalogue", "registered"],
        Field(
            description='"catalogue": text and attributes come from the artifact. '
            '"registered": they came through the API.'
        ),
    ]
    revision: Annotated[
        int, Field(description="How often the API has changed the item. 0 for an untouched catalogue item.")
    ]
    semantic_id: list[int]
    shares_semantic_id: Annotated[int, Field(description="How many other items have the same semantic ID.")]
    attributes: Attributes
    content: Annotated[
        Mapping[str, Any] | None,
        Field(description="Only with `content`: all that you need to register the item again."),
    ] = field(default=None, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class ItemRegistered(ItemPublic):
    """A written item, and how well the tokenizer could read its text."""

    __pydantic_config__ = closed(_REGISTERED)

    outcome: Outcome
    quantization_error: Annotated[
        float, Field(description="Squared distance of the text's latent from the sum of its codewords.")
    ]
    quantization_error_percentile: Annotated[
        float, Field(ge=0, le=100, description="The percentile of this error among the training items.")
    ]
    unusual: Annotated[
        bool, Field(description="True if the percentile is high, so the text is unlike the training texts.")
    ]


@dataclass(frozen=True)
class ItemBatchEntry:
    """The answer to one entry: an item if the status is 200 or 201, else a problem."""

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
    """One page of items. The last page has no `next_cursor`."""

    __pydantic_config__ = closed({"items": [_ITEM], "next_cursor": "12100"})

    items: list[ItemPublic]
    next_cursor: str | None = None


@dataclass(frozen=True)
class SimilarResponse:
    """Items similar to one item, most similar first."""

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
