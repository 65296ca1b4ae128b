"""Strict JSON: refuses a body that `json.loads` would repair or half read, with one error for each mistake.

A name given twice in one object is refused, since the last one would win silently. So are NaN and Infinity, which are
no JSON, and numbers that overflow to infinity.
"""

from __future__ import annotations

import json
import math
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from service.errors import shorten

_MAX_DIGITS = 400
_MAX_NAMES = 20_000  # in one object: more than any setting admits, and few enough to refuse each of them
LARGE = 64 * 1024  # bytes; parsing more would hold up the event loop for too long


class BadBody(HTTPException):
    """A body that cannot be read as JSON: status 400, or 415 when it is not declared as JSON.

    An HTTPException because FastAPI passes on no other error while it reads a body.
    """

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(status, detail)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text. Raises `BadBody`, which says what is wrong and where."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadBody(f"the body is not UTF-8: byte {error.start} ({error.reason})") from None
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadBody(f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        # The C scanner counts its depth against the interpreter's limit, so this is an error and never a crash.
        raise BadBody("the body is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _MAX_NAMES:
        raise BadBody(f"an object has {len(pairs)} names, at most {_MAX_NAMES} are read")
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadBody(f"the name {shorten(name)!r} is given twice in one object")
            seen.add(name)
    return out


def _constant(name: str) -> Any:
    raise BadBody(f"{name} is not JSON")


def _integer(digits: str) -> int:
    # Above 4,300 digits Python raises an error of its own; below, it takes long.
    if len(digits) > _MAX_DIGITS + 1:
        raise BadBody(f"a number has {len(digits)} digits, at most {_MAX_DIGITS} are read")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise BadBody(f"the number {shorten(digits, 40)} is too large")
    return value


# One decoder for all bodies: with these options `json.loads` would make one at each call.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)


class StrictRequest(Request):
    """A request whose `json()` is strict."""

    async def json(self) -> Any:
        body = await self.body()
        return parse_json(body) if len(body) <= LARGE else await run_in_threadpool(parse_json, body)
