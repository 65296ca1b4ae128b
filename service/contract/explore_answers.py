"""Answers for those who look around: found items, example users, an item before it is registered, codes, the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from service.contract.answers import ATTRIBUTES, RECOMMENDED, Outcome, RecommendedItem
from service.contract.schema import CLOSED, Attributes, Metric, closed

_VERSION = "20260101-120000-a1b2c3"
_FOUND: dict[str, Any] = {"item_id": "serum-1", "cold": True, "attributes": ATTRIBUTES}


@dataclass(frozen=True)
class FoundItem:
    """An item and what is shown of it."""

    __pydantic_config__ = CLOSED

    item_id: str
    cold: Annotated[bool, Field(description="True for an item that training did not see.")]
    attributes: Attributes


@dataclass(frozen=True)
class SearchResponse:
    """Items with the words of a query, best first."""

    __pydantic_config__ = closed({"items": [_FOUND], "model_version": "20260101-120000-a1b2c3"})

    items: list[FoundItem]
    model_version: str


@dataclass(frozen=True)
class ExampleUser:
    """A user of the test split: training has not seen what they chose."""

    __pydantic_config__ = CLOSED

    history: Annotated[list[FoundItem], Field(description="Oldest first; of a long one, the latest items.")]
    chosen: Annotated[FoundItem, Field(description="What they chose next.")]


@dataclass(frozen=True)
class ExamplesResponse:
    """Users of the test split."""

    __pydantic_config__ = closed(
        {"examples": [{"history": [_FOUND], "chosen": _FOUND}], "model_version": "20260101-120000-a1b2c3"}
    )

    examples: list[ExampleUser]
    model_version: str


@dataclass(frozen=True)
class Listener:
    """A user of the test split whom the item reaches."""

    __pydantic_config__ = CLOSED

    place: Annotated[int, Field(ge=1, description="The item's place among all that this user could be recommended.")]
    score: float
    history: Annotated[list[FoundItem], Field(description="Oldest first; of a long one, the latest items.")]
    chosen: Annotated[FoundItem, Field(description="What they chose next.")]


@dataclass(frozen=True)
class Audience:
    """Whom of the users asked the item would reach, by its score alone: places kept by `cold_share` do not count."""

    __pydantic_config__ = CLOSED

    users: Annotated[int, Field(description="How many users of the test split were asked.")]
    reached: Annotated[int, Field(description="How many of them would find the item among their ten best.")]
    best: Annotated[
        list[Listener], Field(description="Those with the item in the highest places, among their first hundred.")
    ]


@dataclass(frozen=True)
class PreviewResponse:
    """What an item would be, were it registered now. Nothing was written."""

    __pydantic_config__ = closed(
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
    outcome: Annotated[
        Outcome,
        Field(
            description='What `PUT /items/{item_id}` would answer; where it is "replaced", `POST /items` would refuse.'
        ),
    ]
    cold: Annotated[bool, Field(description="True for an item that training did not see.")]
    semantic_id: list[int]
    shares_semantic_id: Annotated[int, Field(description="How many other items have the same semantic ID.")]
    quantization_error: Annotated[
        float, Field(description="Squared distance of the text's latent to its codewords' sum.")
    ]
    quantization_error_percentile: Annotated[
        float, Field(ge=0, le=100, description="Its place among the training items'.")
    ]
    unusual: Annotated[
        bool, Field(description="True when the percentile is high: the text is unlike the training texts.")
    ]
    neighbours: Annotated[
        list[RecommendedItem], Field(description="The items most alike, by the cosine of what texts share.")
    ]
    audience: Audience
    model_version: str


@dataclass(frozen=True)
class LevelUse:
    """How one level of the semantic IDs is used, by all items that are served."""

    __pydantic_config__ = CLOSED

    level: Annotated[int, Field(description="1 is the coarsest.")]
    metric: Metric
    codewords: Annotated[int, Field(description="In the level's codebook.")]
    used: Annotated[int, Field(description="Of those, the ones that some item has.")]
    prefixes: Annotated[int, Field(description="Distinct beginnings of semantic IDs down to this level.")]
    alone: Annotated[int, Field(description="Items whose beginning no other has.")]
    most: Annotated[int, Field(description="Items that share the most crowded beginning.")]


@dataclass(frozen=True)
class CodeBranch:
    """The items whose semantic ID goes on with a code."""

    __pydantic_config__ = CLOSED

    code: int
    items: int
    words: Annotated[list[str], Field(description="What they say more often than the rest of the catalogue.")]


@dataclass(frozen=True)
class CodesResponse:
    """What lies below a beginning of semantic IDs."""

    __pydantic_config__ = closed(
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
    items: Annotated[int, Field(description="How many items begin so; 0 where none does.")]
    words: Annotated[
        list[str], Field(description="What they say more often than the rest of the catalogue; none for all items.")
    ]
    levels: list[LevelUse]
    branches: Annotated[
        list[CodeBranch], Field(description="By the next code, most items first; none at the last level.")
    ]
    found: Annotated[list[FoundItem], Field(description="Items that begin so, a hundred at most, in their order.")]
    model_version: str


@dataclass(frozen=True)
class MapPoints:
    """A column a property, an entry an item."""

    __pydantic_config__ = CLOSED

    item_id: list[str]
    x: list[float]
    y: Annotated[list[float], Field(description="Between -1 and 1, as x.")]
    semantic_id: list[list[int]]
    registered: Annotated[list[bool], Field(description="True where text and attributes came through the API.")]


@dataclass(frozen=True)
class MapResponse:
    """Where items lie on the artifact's map: who is near whom has a meaning, the axes have none."""

    __pydantic_config__ = closed(
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

    items: Annotated[int, Field(description="How many are served; not all of them may be on the map.")]
    points: Annotated[MapPoints, Field(description="None where the artifact was exported without a map.")]
    model_version: str
