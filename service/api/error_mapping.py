"""Which problem an exception is: those of the engine, of the framework, and of a request that fits no schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from model.items import InvalidItem
from service import errors
from service.contract.problems import Problem
from service.errors import shorten
from service.server.admission import Busy, busy


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
            return busy()
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
