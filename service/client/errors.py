"""The exceptions of a call: problem details of the service, one class for each reaction that a caller may have."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from pydantic import TypeAdapter, ValidationError

from service.contract.problems import ProblemDetails


class KindredError(Exception):
    """Base of all errors. The client raises it itself if no subclass fits (500, 507).

    detail: what happened, for people.
    type: the problem's stable type, such as "/problems/item-conflict". None without a problem document.
    status: the HTTP status of the refusal. An entry of a batch has its own. None if nothing was refused.
    field: the part of the request that is wrong, if it is one part.
    request_id: the X-Request-ID, which the service's operator can find in the log.
    """

    def __init__(
        self,
        detail: str,
        *,
        type: str | None = None,
        status: int | None = None,
        field: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.type = type
        self.status = status
        self.field = field
        self.request_id = request_id

    def __str__(self) -> str:
        request = self.request_id and f"request {self.request_id}"
        known = [str(part) for part in (self.status, self.type, request) if part]
        return f"{self.detail} [{', '.join(known)}]" if known else self.detail


class Invalid(KindredError):
    """400, 413, 415, 422: the request is wrong. Sending it again does not help."""


class Unauthorized(KindredError):
    """401: the key is missing or unknown."""


class Forbidden(KindredError):
    """403: the key does not allow this."""


class NotFound(KindredError):
    """404: no such item, or no such address."""


class Conflict(KindredError):
    """409: the id has other content. `replace_item` replaces it."""


class RateLimited(KindredError):
    """429, even after the retries."""


class Unavailable(KindredError):
    """502, 503, 504: the service is not ready or cannot write now, even after the retries."""


class UnexpectedAnswer(KindredError):
    """A successful answer that does not fit the API: from another service, or a proxy's page."""


class NoAnswer(KindredError):
    """No complete answer came. `__cause__` is the error of httpx. The service may have acted."""


class TimedOut(NoAnswer):
    """No answer came in time."""


_PROBLEM = TypeAdapter(ProblemDetails)
_CLASSES: dict[int, type[KindredError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def of_problem(problem: ProblemDetails, request_id: str) -> KindredError:
    """The error of a problem. Entries of a batch name no request id, so they get `request_id`."""
    return _CLASSES.get(problem.status, KindredError)(
        problem.detail,
        type=problem.type,
        status=problem.status,
        field=problem.field,
        request_id=problem.request_id or request_id,
    )


def of_answer(status: int, headers: Mapping[str, str], body: bytes, request_id: str) -> KindredError:
    """The error of an unsuccessful answer.

    It does not quote a body that is no problem document: another server wrote that, and may repeat the request's key.
    """
    request_id = headers.get("x-request-id", request_id)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/problem+json":
        try:
            problem = _PROBLEM.validate_json(body, extra="ignore")
        except ValidationError:
            media_type = "a broken problem document"
        else:
            return of_problem(problem, request_id)
    phrase = httpx.codes.get_reason_phrase(status) or "unknown status"
    shown = media_type[:80] or "no content type"
    detail = (
        f"{status} {phrase}, and no problem document ({shown}, {len(body)} bytes): is this the service, or a proxy?"
    )
    return _CLASSES.get(status, KindredError)(detail, status=status, request_id=request_id)
