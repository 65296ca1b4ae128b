"""Problems as HTTP answers, their texts without keys. The guard, the server and the API all refuse by these."""

from __future__ import annotations

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from service.contract.problems import MEDIA_TYPE, RETRY_AFTER, Problem, ProblemDetails
from service.errors import shorten
from service.security.redaction import redact

_FIELD_MAX = 120  # characters
_WRITER = TypeAdapter(ProblemDetails)


def details(problem: Problem, request_id: str | None = None) -> ProblemDetails:
    """What the caller is told. A key that was sent where an id belongs is not repeated."""
    field = None if problem.field is None else redact(shorten(problem.field, _FIELD_MAX))
    return problem._replace(detail=redact(problem.detail), field=field).details(request_id)


def body(problem: Problem, request_id: str | None = None) -> bytes:
    """`details` as JSON; members without a value are left out."""
    return _WRITER.dump_json(details(problem, request_id), exclude_none=True)


def response(problem: Problem, request: Request, headers: dict[str, str] | None = None) -> Response:
    """The answer to `request`, with Retry-After where a retry makes sense."""
    headers = dict(headers or {})
    if problem.status == 503:
        headers.setdefault("Retry-After", str(RETRY_AFTER))
    return Response(body(problem, request.scope.get("request_id")), problem.status, headers, MEDIA_TYPE)
