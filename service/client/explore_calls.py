"""The routes for people who look around, as calls (see `service.client.calls`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from service.client.calls import Call, ItemContent, NewItem, _json, _read
from service.contract.explore_answers import (
    CodesResponse,
    ExamplesResponse,
    MapResponse,
    PreviewResponse,
    SearchResponse,
)


def search(query: str, *, limit: int = 20, request_id: str | None = None) -> Call[SearchResponse]:
    """Find items by the words of a query. The last word may be incomplete."""
    asked: dict[str, str | int] = {"q": query, "limit": limit}
    return Call("GET", "/search", _read(SearchResponse), True, query=asked, request_id=request_id)


def examples(*, count: int = 10, seed: int = 0, request_id: str | None = None) -> Call[ExamplesResponse]:
    """Read users of the test split: their histories, and what they chose next."""
    asked: dict[str, str | int] = {"count": count, "seed": seed}
    return Call("GET", "/examples", _read(ExamplesResponse), True, query=asked, request_id=request_id)


def preview(item_id: str, *, request_id: str | None = None, **content: Unpack[ItemContent]) -> Call[PreviewResponse]:
    """Read what an item would become, and whom it would reach, if you registered it now. Writes nothing."""
    item: NewItem = {"item_id": item_id, **content}
    return Call("POST", "/items/preview", _read(PreviewResponse), True, body=_json(item), request_id=request_id)


def codes(prefix: Sequence[int] = (), *, request_id: str | None = None) -> Call[CodesResponse]:
    """Read what lies below a prefix of semantic IDs. All items lie below the empty prefix."""
    query: dict[str, str | int | list[str]] = {"prefix": [str(code) for code in prefix]}
    return Call("GET", "/codes", _read(CodesResponse), True, query=query, request_id=request_id)


def catalogue_map(*, limit: int = 20_000, request_id: str | None = None) -> Call[MapResponse]:
    """Read where items lie on the artifact's map."""
    return Call("GET", "/map", _read(MapResponse), True, query={"limit": limit}, request_id=request_id)
