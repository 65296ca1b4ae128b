"""Answers for people who look around: search, example users, previews of an item, the code tree, the map."""

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
    """An item, as search and examples show it."""

    __pydantic_config__ = CLOSED

    item_id: str
    cold: Annotated[bool, Field(description="True for an item that training has not seen.")]
    attributes: Attributes


@dataclass(frozen=True)
class SearchResponse:
    """Items that match the words of a query, best first."""

    __pydantic_config__ = closed({"items": [_FOUND], "model_version": "20260101-120000-a1b2c3"})

    items: list[FoundItem]
    model_version: str


@dataclass(frozen=True)
class ExampleUser:
    """A user of the test split. Training has not seen the item that they chose."""

    __pydantic_config__ = CLOSED

    history: Annotated[list[FoundItem], Field(description="Oldest first. Of a long history, the latest items.")]
    chosen: Annotated[FoundItem, Field(description="The item that they chose next.")]


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
    """A user of the test split whom the item would reach."""

    __pydantic_config__ = CLOSED

    place: Annotated[int, Field(ge=1, description="The item's place in the ranking of all items for this user.")]
    score: float
    history: Annotated[list[FoundItem], Field(description="Oldest first. Of a long history, the latest items.")]
    chosen: Annotated[FoundItem, Field(description="The item that they chose next.")]


@dataclass(frozen=True)
class Audience:
    """The users whom the item would reach by its score alone. Previews ignore `cold_share`."""

    __pydantic_config__ = CLOSED

    users: Annotated[int, Field(description="How many users of the test split the preview ranks the item for.")]
    reached: Annotated[int, Field(description="How many of them would see the item among their ten best.")]
    best: Annotated[
        list[Listener], Field(description="The users who would see it highest, within their first hundred.")
    ]


@dataclass(frozen=True)
class PreviewResponse:
    """What an item would become if you registered it now. The service has written nothing."""

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
        Field(description='What `PUT /items/{item_id}` would answer. If it is "replaced", `POST /items` would refuse.'),
    ]
    cold: Annotated[bool, Field(description="True for an item that training has not seen.")]
    semantic_id: list[int]
    shares_semantic_id: Annotated[int, Field(description="How many other items have the same semantic ID.")]
    quantization_error: Annotated[
        float, Field(description="Squared distance of the text's latent from the sum of its codewords.")
    ]
    quantization_error_percentile: Annotated[
        float, Field(ge=0, le=100, description="The percentile of this error among the training items.")
    ]
    unusual: Annotated[
        bool, Field(description="True if the percentile is high, so the text is unlike the training texts.")
    ]
    neighbours: Annotated[
        list[RecommendedItem], Field(description="The most similar items, by the cosine of their semantic embeddings.")
    ]
    audience: Audience
    model_version: str


@dataclass(frozen=True)
class LevelUse:
    """How all served items use one level of the semantic IDs."""

    __pydantic_config__ = CLOSED

    level: Annotated[int, Field(description="1 is the coarsest.")]
    metric: Metric
    codewords: Annotated[int, Field(description="Codewords in the codebook of this level.")]
    used: Annotated[int, Field(description="How many of them at least one item has.")]
    prefixes: Annotated[int, Field(description="Distinct prefixes of semantic IDs that end at this level.")]
    alone: Annotated[int, Field(description="Items whose prefix no other item has.")]
    most: Annotated[int, Field(description="Items that share the most crowded prefix.")]


@dataclass(frozen=True)
class CodeBranch:
    """The items whose semantic ID continues with this code."""

    __pydantic_config__ = CLOSED

    code: int
    items: int
    words: Annotated[
        list[str], Field(description="Words that these items use more often than the rest of the catalogue.")
    ]


@dataclass(frozen=True)
class CodesResponse:
    """The items below a prefix of semantic IDs."""

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
    items: Annotated[int, Field(description="How many items have this prefix. 0 if none does.")]
    words: Annotated[
        list[str], Field(description="Words that these items use more often than the rest. Empty for the empty prefix.")
    ]
    levels: list[LevelUse]
    branches: Annotated[
        list[CodeBranch], Field(description="By the next code, most items first. Empty at the last level.")
    ]
    found: Annotated[
        list[FoundItem], Field(description="Up to a hundred of these items, in the order of the catalogue.")
    ]
    model_version: str


@dataclass(frozen=True)
class MapPoints:
    """One column for each property. Entry i of each column belongs to the same item."""

    __pydantic_config__ = CLOSED

    item_id: list[str]
    x: list[float]
    y: Annotated[list[float], Field(description="Between -1 and 1, like x.")]
    semantic_id: list[list[int]]
    registered: Annotated[list[bool], Field(description="True if text and attributes came through the API.")]


@dataclass(frozen=True)
class MapResponse:
    """Where items lie on the artifact's map. Near items are similar; the axes have no meaning."""

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

    items: Annotated[int, Field(description="How many items the service serves. The map may show fewer.")]
    points: Annotated[MapPoints, Field(description="Empty columns if the artifact has no map.")]
    model_version: str
