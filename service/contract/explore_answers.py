"""What goes out to somebody who looks around: items by words, example users, an item before it is registered.

As in `service.contract.answers`, a test holds every answer to these models.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from service.contract.answers import ATTRIBUTES, RECOMMENDED, Answer, RecommendedItem, example
from service.contract.requests import AttributeValue

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


class LevelUse(Answer):
    """How one level of the semantic IDs is used, by all items that are served."""

    level: int = Field(description="1 is the coarsest.")
    metric: Literal["cosine", "euclidean"]
    codewords: int = Field(description="In the level's codebook.")
    used: int = Field(description="Of those, the ones that some item has.")
    prefixes: int = Field(description="Distinct beginnings of semantic IDs down to this level.")
    alone: int = Field(description="Items whose beginning no other has.")
    most: int = Field(description="Items that share the most crowded beginning.")


class CodeBranch(Answer):
    """The items whose semantic ID goes on with a code."""

    code: int
    items: int
    words: list[str] = Field(description="What they say more often than the rest of the catalogue.")


class CodesResponse(Answer):
    """What lies below a beginning of semantic IDs."""

    model_config = example(
        {
            "prefix": [17],
            "items": 212,
            "words": ["serum", "vitamin"],
            "levels": [
                {
                    "level": 1,
                    "metric": "cosine",
                    "codewords": 256,
                    "used": 251,
                    "prefixes": 251,
                    "alone": 0,
                    "most": 212,
                }
            ],
            "branches": [{"code": 203, "items": 40, "words": ["brightening", "lumen"]}],
            "found": [_FOUND],
            "model_version": _VERSION,
        }
    )

    prefix: list[int]
    items: int = Field(description="How many items begin so; 0 where none does.")
    words: list[str] = Field(description="What they say more often than the rest of the catalogue; none for all items.")
    levels: list[LevelUse]
    branches: list[CodeBranch] = Field(description="By the next code, most items first; none at the last level.")
    found: list[FoundItem] = Field(description="Items that begin so, a hundred at most, in their order.")
    model_version: str


class MapPoints(Answer):
    """A column a property, an entry an item."""

    item_id: list[str]
    x: list[float]
    y: list[float] = Field(description="Between -1 and 1, as x.")
    semantic_id: list[list[int]]
    registered: list[bool] = Field(description="True where text and attributes came through the API.")


class MapResponse(Answer):
    """Where items lie on the artifact's map: who is near whom has a meaning, the axes have none."""

    model_config = example(
        {
            "items": 12102,
            "points": {
                "item_id": ["B0009V1YR8", "serum-1"],
                "x": [-0.2113, 0.4012],
                "y": [0.9021, 0.1177],
                "semantic_id": [[3, 90, 11], [17, 203, 88]],
                "registered": [False, True],
            },
            "model_version": _VERSION,
        }
    )

    items: int = Field(description="How many are served; not all of them may be on the map.")
    points: MapPoints = Field(description="None where the artifact was exported without a map.")
    model_version: str
