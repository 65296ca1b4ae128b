"""RFC 9457 problem details: the error types that clients can rely on, and the JSON of an error answer."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from service.contract.schema import closed

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 1  # seconds

# type → title. Clients rely on the types, so nobody may rename one.
TITLES = {
    "invalid-request": "The request does not fit the contract",
    "invalid-json": "The body is not valid JSON",
    "unsupported-media-type": "The body must be JSON",
    "body-too-large": "The body is too large",
    "headers-too-large": "The request's line and headers are too large",
    "request-timeout": "The request took too long to come in",
    "bad-http": "The request cannot be read",
    "limit-exceeded": "The request asks for more than this service allows",
    "invalid-item": "The item cannot be accepted",
    "invalid-idempotency-key": "The Idempotency-Key cannot be used",
    "idempotency-key-reused": "The Idempotency-Key was used for another request",
    "item-not-found": "No such item",
    "item-conflict": "The item exists with other content",
    "unauthorized": "An API key is needed",
    "forbidden": "The API key does not open this",
    "rate-limited": "Too many requests",
    "overloaded": "Too many requests wait already",
    "not-found": "No such resource",
    "method-not-allowed": "The method is not allowed here",
    "too-many-connections": "Too many connections",
    "too-many-bodies": "Too many large bodies",
    "not-ready": "The service is not ready",
    "registry-unavailable": "The registry cannot be written now",
    "registry-full": "The registry's disk is full",
    "internal-error": "The service failed",
}

PROBLEM_EXAMPLE: dict[str, Any] = {
    "type": "/problems/limit-exceeded",
    "title": "The request asks for more than this service allows",
    "status": 422,
    "detail": "k: 1000000 is asked for, at most 500 are allowed",
    "field": "k",
    "request_id": "5f2c6f1e0c2b4d9f8f4f0d1b2a3c4d5e",
}


@dataclass(frozen=True)
class ProblemDetails:
    """An error, after RFC 9457. `type` is stable; `detail` is for people."""

    __pydantic_config__ = closed(PROBLEM_EXAMPLE)

    type: str
    title: str
    status: int
    detail: str
    field: Annotated[str | None, Field(description="The part of the request that is wrong, if it is one part.")] = None
    request_id: Annotated[
        str | None, Field(description="The X-Request-ID of this answer. Batch entries have none.")
    ] = None


class Problem(NamedTuple):
    """One error. `type` is a key of `TITLES`; `field` names the part of the request that is wrong, if any."""

    type: str
    status: int
    detail: str
    field: str | None = None

    def details(self, request_id: str | None = None) -> ProblemDetails:
        """The JSON members. `service.security.problem_answers` makes keys in them unreadable."""
        title = TITLES.get(self.type) or HTTPStatus(self.status).phrase
        return ProblemDetails(f"/problems/{self.type}", title, self.status, self.detail, self.field, request_id)
