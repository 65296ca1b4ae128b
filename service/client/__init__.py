"""The Python client: `Client`, and `AsyncClient` for asyncio or trio. It needs httpx and pydantic alone.

    with Client("http://127.0.0.1:8000") as kindred:
        for item in kindred.recommend(["AUD-0149"], k=3).items:
            print(item.item_id, item.score)

Answers are the dataclasses of `service.contract`, which the OpenAPI document describes. The client ignores members that
only a newer service sends. Every failure is a `KindredError`.
"""

from __future__ import annotations

from service.client.calls import ItemContent, NewItem, RecommendOptions, RecommendQuery
from service.client.clients import AsyncClient, Client
from service.client.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KindredError,
    NoAnswer,
    NotFound,
    RateLimited,
    TimedOut,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from service.client.retry import Clock, Retry, Timeouts
from service.contract.answers import (
    ItemPublic,
    ItemRegistered,
    Liveness,
    Readiness,
    RecommendedItem,
    RecommendResponse,
    SimilarResponse,
)
from service.contract.operation_answers import ModelResponse, VersionResponse

__all__ = [
    "AsyncClient",
    "Client",
    "Clock",
    "Conflict",
    "Forbidden",
    "Invalid",
    "ItemContent",
    "ItemPublic",
    "ItemRegistered",
    "KindredError",
    "Liveness",
    "ModelResponse",
    "NewItem",
    "NoAnswer",
    "NotFound",
    "RateLimited",
    "Readiness",
    "RecommendOptions",
    "RecommendQuery",
    "RecommendResponse",
    "RecommendedItem",
    "Retry",
    "SimilarResponse",
    "TimedOut",
    "Timeouts",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "VersionResponse",
]
