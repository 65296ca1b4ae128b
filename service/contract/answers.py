"""What goes out: the models of the answers, for the OpenAPI document and for clients.

The handlers serialise the engine's results straight to JSON; a test holds every answer to these models.
Members without a value are left out.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.contract.requests import ITEM_EXAMPLE, AttributeValue

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
_PROBLEM: dict[str, Any] = {
    "type": "/problems/limit-exceeded",
    "title": "The request asks for more than this service allows",
    "status": 422,
    "detail": "k: 1000000 is asked for, at most 500 are allowed",
    "field": "k",
    "request_id": "5f2c6f1e0c2b4d9f8f4f0d1b2a3c4d5e",
}


class Answer(BaseModel):
    """Closed, so that a test sees a member that the contract does not name."""

    model_config = ConfigDict(extra="forbid", strict=True)


def example(shown: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [shown]})


class ProblemDetails(Answer):
    """An error, after RFC 9457. `type` is stable; `detail` is for people."""

    model_config = example(_PROBLEM)

    type: str
    title: str
    status: int
    detail: str
    field: str | None = Field(None, description="The offending part of the request, where there is one.")
    request_id: str | None = Field(None, description="The X-Request-ID of this answer; in batch entries left out.")


class SharedCodes(Answer):
    """An item of the history whose semantic ID begins as the recommended item's does."""

    item_id: str
    levels: int = Field(description="How many leading codes are the same.")


class Reasons(Answer):
    """Why an item: the two parts of its score, which add up to it exactly, and the history items like it."""

    semantic: float
    id: float
    shared_codes: list[SharedCodes] = Field(description="Most codes first, then latest in the history first.")


class RecommendedItem(Answer):
    """One item of an answer."""

    item_id: str
    score: float = Field(
        description="Inner product of the history's query vector and the item's embedding; with the strategy "
        '"popularity", the number of interactions in training.'
    )
    cold: bool = Field(description="True for an item that training did not see.")
    attributes: dict[str, AttributeValue]
    reserved: bool | None = Field(None, description="True in a place kept by `cold_share`.")
    reasons: Reasons | None = Field(None, description="With `explain`, and the strategy `model`.")


class RecommendResponse(Answer):
    """Items, best first."""

    model_config = example(_RECOMMENDATION)

    items: list[RecommendedItem]
    model_version: str
    strategy: Literal["model", "popularity"] = Field(description='"popularity" when nothing in the history is known.')
    unknown_history: list[str] = Field(description="Ids of the history that are not known, each once.")
    # With a default for the client: a service of a release before does not say.
    unknown_filter: list[str] = Field(
        default_factory=list,
        description="Attributes named in the filter that no item has; none matches then.",
    )


class RecommendBatchEntry(Answer):
    """The answer to one entry: a result when the status is 200, else a problem."""

    status: int
    result: RecommendResponse | None = None
    problem: ProblemDetails | None = None


class RecommendBatchResponse(Answer):
    """An entry for each request, in order."""

    model_config = example(
        {
            "results": [
                {"status": 200, "result": _RECOMMENDATION},
                {"status": 422, "problem": {k: v for k, v in _PROBLEM.items() if k != "request_id"}},
            ]
        }
    )

    results: list[RecommendBatchEntry]


class ItemPublic(Answer):
    """An item as it is served."""

    model_config = example(_ITEM)

    item_id: str
    cold: bool = Field(description="True for an item that training did not see.")
    source: Literal["catalogue", "registered"] = Field(
        description='"catalogue": text and attributes are the artifact\'s; "registered": they came through the API.'
    )
    revision: int = Field(description="Counts the changes made through the API; 0 for an untouched catalogue item.")
    semantic_id: list[int]
    shares_semantic_id: int = Field(description="How many other items have the same semantic ID.")
    attributes: dict[str, AttributeValue]
    content: dict[str, Any] | None = Field(None, description="With `content`: what registering it again takes.")


class ItemRegistered(ItemPublic):
    """An item just written, with what its text looked like to the tokenizer."""

    model_config = example(_REGISTERED)

    outcome: Literal["created", "unchanged", "replaced"]
    quantization_error: float = Field(description="Squared distance of the text's latent to its codewords' sum.")
    quantization_error_percentile: float = Field(ge=0, le=100, description="Its place among the training items'.")
    unusual: bool = Field(description="True when the percentile is high: the text is unlike the training texts.")


class ItemBatchEntry(Answer):
    """The answer to one entry: an item when the status is 200 or 201, else a problem."""

    status: int
    item: ItemRegistered | None = None
    problem: ProblemDetails | None = None


class ItemBatchResponse(Answer):
    """An entry for each item, in order."""

    model_config = example({"results": [{"status": 201, "item": _REGISTERED}]})

    results: list[ItemBatchEntry]


class ItemList(Answer):
    """One page of items. `next_cursor` is left out on the last page."""

    model_config = example({"items": [_ITEM], "next_cursor": "12100"})

    items: list[ItemPublic]
    next_cursor: str | None = None


class SimilarResponse(Answer):
    """Items like one item, most alike first."""

    model_config = example(
        {
            "item_id": "B0009V1YR8",
            "items": [{k: v for k, v in RECOMMENDED.items() if k != "reasons"}],
            "model_version": "20260101-120000-a1b2c3",
        }
    )

    item_id: str
    items: list[RecommendedItem]
    model_version: str


class Liveness(Answer):
    model_config = example({"status": "alive"})

    status: Literal["alive"]


class Readiness(Answer):
    model_config = example({"status": "ready", "model_version": "20260101-120000-a1b2c3"})

    status: Literal["ready"]
    model_version: str


EXPORT_EXAMPLE = ITEM_EXAMPLE
