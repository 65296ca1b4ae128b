"""RFC 9457 problem details: every error answer of the service, with a `type` that clients can rely on."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from model.items import InvalidItem
from service import errors
from service.errors import shorten
from service.security.keys import redact

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 1  # seconds

# type → title. A type is a promise: it is never renamed.
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


class Busy(HTTPException):
    """Too many wait already. An HTTPException because FastAPI lets only those through from the reading of a body."""

    def __init__(self) -> None:
        detail = "more requests wait than this service answers in time; it was not begun and can be sent again"
        super().__init__(503, detail)


class Problem(NamedTuple):
    """One error answer. `type` is a key of `TITLES`; `field` names the offending part where there is one."""

    type: str
    status: int
    detail: str
    field: str | None = None

    def body(self, request_id: str | None = None) -> dict[str, Any]:
        """The JSON members, those without a value left out. A key that went where an id belongs is not repeated."""
        title = TITLES.get(self.type) or HTTPStatus(self.status).phrase
        out: dict[str, Any] = {
            "type": f"/problems/{self.type}",
            "title": title,
            "status": self.status,
            "detail": redact(self.detail),
        }
        if self.field is not None:
            out["field"] = redact(shorten(self.field, 120))
        if request_id is not None:
            out["request_id"] = request_id
        return out

    def response(self, request: Request, headers: dict[str, str] | None = None) -> Response:
        """The answer to `request`, with Retry-After where a retry makes sense."""
        headers = dict(headers or {})
        if self.status == 503:
            headers.setdefault("Retry-After", str(RETRY_AFTER))
        body = self.body(request.scope.get("request_id"))
        return Response(to_json(body), self.status, headers, MEDIA_TYPE)


def of_error(error: Exception) -> Problem:
    """The problem that an engine error, an invalid item or a failed validation is."""
    match error:
        case RequestValidationError():
            # The first part of a location says where it was read from: the body, the query or the path.
            return _of_validation([(found["loc"][1:], found["msg"]) for found in _unknown_first(error.errors())])
        case ValidationError():
            return _of_validation([(found["loc"], found["msg"]) for found in _unknown_first(error.errors())])
        case InvalidItem(field=field, reason=reason):
            return Problem("invalid-item", 422, f"{shorten(field)}: {reason}", field)
        case errors.LimitExceeded(field=field, reason=reason):
            return Problem("limit-exceeded", 422, f"{shorten(field)}: {reason}", field)
        case errors.BadIdempotencyKey():
            return Problem("invalid-idempotency-key", 400, str(error), "Idempotency-Key")
        case errors.IdempotencyKeyReused():
            return Problem("idempotency-key-reused", 422, str(error), "Idempotency-Key")
        case errors.UnknownItem():
            return Problem("item-not-found", 404, str(error), "item_id")
        case errors.ItemConflict():
            return Problem("item-conflict", 409, str(error), "item_id")
        case errors.NotReady():
            return Problem("not-ready", 503, str(error))
        case errors.RegistryFull():
            return Problem("registry-full", 507, str(error))
        case errors.RegistryUnavailable():
            return Problem("registry-unavailable", 503, str(error))
        case Busy():
            return Problem("overloaded", error.status_code, error.detail)
        case HTTPException():
            return of_http(error)
    raise error


def of_http(error: HTTPException) -> Problem:
    """The problem that an HTTP error of the framework, or of ours in reading a body, is."""
    types = {
        400: "invalid-json",
        404: "not-found",
        405: "method-not-allowed",
        408: "request-timeout",
        413: "body-too-large",
        415: "unsupported-media-type",
        503: "too-many-bodies",
    }
    detail = shorten(error.detail, 400)
    return Problem(types.get(error.status_code, "invalid-request"), error.status_code, detail)


def _unknown_first(errors: Sequence[Any]) -> Sequence[Any]:
    """A misspelt name is an unknown field, and often the reason why another is missing."""
    return sorted(errors, key=lambda error: error["type"] != "extra_forbidden")


def _of_validation(found: list[tuple[tuple[int | str, ...], str]]) -> Problem:
    """The problem of a failed schema validation: the first error in full, and how many more there are.

    A value that may be of several types gives an error for each of them, with the type's name at the end of
    its location; these are said as one.
    """
    location, message = found[0]
    places = {"attributes": (2, "or a list of strings"), "filter": (3, "")}
    length, more_types = places.get(str(location[0]), (0, "")) if location else (0, "")
    if length and len(location) > length:
        message = f"must be a string, a finite number, true, false {more_types}".rstrip()
        location = location[:length]
        found = [found[0], *(other for other in found[1:] if other[0][:length] != location)]
    field = ".".join(str(part) for part in location)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    where = f"{shorten(field)}: " if field else ""
    message = message.replace("Extra inputs are not permitted", "is not a field that is known here")
    message = shorten(message.removeprefix("Value error, "), 400)
    return Problem("invalid-request", 422, f"{where}{message}{more}", field or None)
