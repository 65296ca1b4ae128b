"""Reads the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), answers by it, and documents it.

`service.registry.idempotency` keeps keys and answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from fastapi import Request
from starlette.responses import Response

from service.engine.writer import Results, WriteResult
from service.errors import BadIdempotencyKey
from service.registry.idempotency import IdempotencyKey, StoredAnswer

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
LONGEST = 255  # characters

# A string of RFC 8941 (section 3.3.3), as the draft wants it. A key without quotes is refused, not guessed at.
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A string of your own in quotes, unique to this request. The service keeps it with the answer for "
    "`KINDRED_IDEMPOTENCY_HOURS`, unless it refuses the request.",
    "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    "schema": {"type": "string", "format": "sf-string", "pattern": rf'^"([ !#-\[\]-~]|\\["\\]){{1,{LONGEST}}}"$'},
}
_REPLAYED = {
    "description": "On a replayed answer.",
    "schema": {"type": "string", "enum": ["true"]},
}


def takes_key(openapi_extra: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that takes the header."""
    return {**openapi_extra, "parameters": [_PARAMETER]}


def replayable(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for answers that may be replayed."""
    return {status: {"headers": {REPLAYED: _REPLAYED}} for status in statuses}


async def idempotency_key_of(request: Request) -> IdempotencyKey | None:
    """The key of a request, with what identifies the request; None if it has none. Raises BadIdempotencyKey."""
    found = request.headers.getlist(HEADER)
    if not found:
        return None
    if len(found) > 1:
        raise BadIdempotencyKey("the header is sent more than once")
    match = _STRING.fullmatch(found[0].strip(" "))
    if match is None:
        raise BadIdempotencyKey('the key must be ASCII characters in quotes: Idempotency-Key: "8e03978e-40d5-43dd"')
    key = re.sub(r"\\(.)", r"\1", match[1])
    if not 1 <= len(key) <= LONGEST:
        raise BadIdempotencyKey(f"the key has {len(key)} characters; it must have 1 to {LONGEST}")
    return IdempotencyKey(request.scope.get("key_id", ""), key, await _fingerprint(request))


async def _fingerprint(request: Request) -> str:
    """A hash of method, path and the body's bytes. It need not know whether other bytes mean the same."""
    # FastAPI has read the body of a route that takes one. A DELETE takes none, so its body does not count.
    path, body = request.scope["path"].encode(), await request.body() if request.method != "DELETE" else b""
    digest = hashlib.sha256(f"{request.method} {len(path)} ".encode("ascii"))
    digest.update(path)
    digest.update(body)
    return digest.hexdigest()


def stored(response: Response) -> StoredAnswer:
    """A response in the form in which it is stored under a key."""
    return StoredAnswer(response.status_code, bytes(response.body))


def reply(result: WriteResult, compose: Callable[[Results], StoredAnswer]) -> Response:
    """The stored answer, the same bytes the first time and each time after; without a key, a new one by `compose`."""
    answer = result.stored or compose(result.results)
    headers = {REPLAYED: "true"} if result.replayed else None
    return Response(answer.body, answer.status, headers, media_type="application/json" if answer.body else None)
