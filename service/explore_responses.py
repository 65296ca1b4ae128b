"""What goes out to somebody who looks around: items by words, example users, an item before it is registered.

As in `service.responses`, a test holds every answer to these models.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from service.responses import ATTRIBUTES, RECOMMENDED, Answer, RecommendedItem, example
from service.schemas import AttributeValue

_VERSION = "20260101-120000-a1b2c3"
_FOUND: dict[str, Any] = {"item_id": "serum-1", "cold": True, "attributes": ATTRIBUTES}


class FoundItem(Answer):
    """An item and what is shown of it."""

    item_id: str
    cold: bool = Field(description="True for an item that training did not see.")
    attributes: dict[str, AttributeValue]


class SearchResponse(Answer):
    """Items with the words of a query, best first."""

    model_config = example({"items": [_FOUND], "model_version": "20260101-120000-a1b2c3"})

    items: list[FoundItem]
    model_version: str


class ExampleUser(Answer):
    """A user of the test split: training has not seen what they chose."""

    history: list[FoundItem] = Field(description="Oldest first; of a long one, the latest items.")
    chosen: FoundItem = Field(description="What they chose next.")


class ExamplesResponse(Answer):
    """Users of the test split."""

    model_config = example(
        {"examples": [{"history": [_FOUND], "chosen": _FOUND}], "model_version": "20260101-120000-a1b2c3"}
    )

    examples: list[ExampleUser]
    model_version: str


class Listener(Answer):
    """A user of the test split whom the item reaches."""

    place: int = Field(ge=1, description="The item's place among all that this user could be recommended.")
    score: float
    history: list[FoundItem] = Field(description="Oldest first; of a long one, the latest items.")
    chosen: FoundItem = Field(description="What they chose next.")


class Audience(Answer):
    """Whom of the users asked the item would reach, by its score alone: places kept by `cold_share` do not count."""

    users: int = Field(description="How many users of the test split were asked.")
    reached: int = Field(description="How many of them would find the item among their ten best.")
    best: list[Listener] = Field(description="Those with the item in the highest places, among their first hundred.")


class PreviewResponse(Answer):
    """What an item would be, were it registered now. Nothing was written."""

    model_config = example(
        {
            "item_id": "serum-1",
            "outcome": "created",
            "cold": True,
            "semantic_id": [17, 203, 88],
            "shares_semantic_id": 0,
            "quantization_error": 0.031,
            "quantization_error_percentile": 61.5,
            "unusual": False,
            "neighbours": [{k: v for k, v in RECOMMENDED.items() if k != "reasons"}],
            "audience": {
                "users": 495,
                "reached": 3,
                "best": [{"place": 2, "score": 7.5, "history": [_FOUND], "chosen": _FOUND}],
            },
            "model_version": _VERSION,
        }
    )

    item_id: str
    outcome: Literal["created", "unchanged", "replaced"] = Field(
        description='What `PUT /items/{item_id}` would answer; where it is "replaced", `POST /items` would refuse.'
    )
    cold: bool = Field(description="True for an item that training did not see.")
    semantic_id: list[int]
    shares_semantic_id: int = Field(description="How many other items have the same semantic ID.")
    quantization_error: float = Field(description="Squared distance of the text's latent to its codewords' sum.")
    quantization_error_percentile: float = Field(ge=0, le=100, description="Its place among the training items'.")
    unusual: bool = Field(description="True when the percentile is high: the text is unlike the training texts.")
    neighbours: list[RecommendedItem] = Field(description="The items most alike, by the cosine of what texts share.")
    audience: Audience
    model_version: str
