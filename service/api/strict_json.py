"""Reading requests: bodies of strict JSON, one error for each way a body can be wrong, ids in paths, and queries.

Stricter than `json.loads` where leniency hides mistakes: a name given twice in one object is refused (the
last one would win silently), so are NaN and Infinity (no JSON), numbers that overflow to infinity, and bodies
that are not declared as JSON. An id in a path or a query has to be UTF-8: a server repairs what is not, and two ids
become one. A parameter of a query that is no list is given once, for the same reason as a name in an object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Coroutine
from typing import Any, get_origin
from urllib.parse import unquote_plus, unquote_to_bytes

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Scope

from model.items import InvalidItem
from service.errors import shorten

_MAX_DIGITS = 400
_MAX_NAMES = 20_000  # in one object: more than any setting admits, and few enough to refuse each of them
LARGE = 64 * 1024  # bytes; above, parsing takes longer than the event loop should be held


class BadBody(HTTPException):
    """A body that cannot be read as JSON: status 400, or 415 when it is not declared as JSON.

    An HTTPException because FastAPI lets only those through from the reading of a body.
    """

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(status, detail)


def parse(body: bytes) -> Any:
    """The value of a JSON text; raises `BadBody` that says what is wrong and where."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadBody(f"the body is not UTF-8: byte {error.start} ({error.reason})") from None
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadBody(f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        # The C scanner counts its depth against the interpreter's limit, so this is an error and never a
        # crash.
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
    # Python refuses to convert more than 4,300 digits with an error of its own, and takes long below that.
    if len(digits) > _MAX_DIGITS + 1:
        raise BadBody(f"a number has {len(digits)} digits, at most {_MAX_DIGITS} are read")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise BadBody(f"the number {shorten(digits, 40)} is too large")
    return value


# One for all: `json.loads` with these options would make a decoder at each call.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)


class StrictRequest(Request):
    """A request whose `json()` is strict."""

    async def json(self) -> Any:
        body = await self.body()
        return parse(body) if len(body) <= LARGE else await run_in_threadpool(parse, body)


def is_json(request: Request) -> bool:
    """Whether its body is declared as JSON."""
    return _media_type(request) == "application/json"


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_path(scope: Scope) -> None:
    """Raises InvalidItem where the path holds escapes that are not UTF-8; its id would be that of another item."""
    raw: bytes = scope.get("raw_path", b"")
    if b"%" not in raw:
        return
    try:
        unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 in the path: byte 0x{error.object[error.start]:02X} ({error.reason})"
        raise InvalidItem("item_id", reason) from None


def check_query(scope: Scope, single: Collection[str], lists: Collection[str] = ()) -> None:
    """Raises RequestValidationError where one of these parameters is not UTF-8, or a `single` one is given twice (the
    last one would win).
    """
    seen: set[str] = set()
    for pair in scope.get("query_string", b"").decode("latin-1").split("&"):
        name, _, value = pair.partition("=")
        name = unquote_plus(name)
        if name in single:
            if name in seen:
                raise _bad_parameter(name, "is given twice")
            seen.add(name)
        elif name not in lists:
            continue
        try:
            unquote_plus(value, errors="strict")
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8: byte 0x{error.object[error.start]:02X} ({error.reason})"
            raise _bad_parameter(name, reason) from None


def _bad_parameter(name: str, reason: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("query", name), "msg": reason, "input": None}])


class StrictRoute(APIRoute):
    """A route that takes bodies as declared, strict JSON only, ids in its path that are UTF-8, and each parameter of
    its query once, where it is no list.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        names_item, takes_body = "item_id" in self.param_convertors, self.body_field is not None
        parameters = self.dependant.query_params
        lists = frozenset(field.alias for field in parameters if get_origin(field.field_info.annotation) is list)
        single = frozenset(field.alias for field in parameters) - lists
        if not (names_item or takes_body or parameters):
            return handler

        async def strict(request: Request) -> Response:
            if names_item:
                check_path(request.scope)
            if parameters and request.scope.get("query_string"):
                check_query(request.scope, single, lists)
            if not takes_body:
                return await handler(request)
            if not is_json(request):
                shown = shorten(_media_type(request)) or "none"
                raise BadBody(f"the body must be declared as Content-Type: application/json, got {shown}", status=415)
            read = StrictRequest(request.scope, request.receive)
            await read.body()  # here: FastAPI would make a bad request of a caller who hangs up
            return await handler(read)

        return strict
