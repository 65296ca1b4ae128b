"""How a request reaches its endpoint: strict routes, and a direct route for endpoints that are called often.

A server repairs what is not UTF-8, so that two item ids become one; a strict route refuses it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, NamedTuple, get_origin
from urllib.parse import unquote_plus, unquote_to_bytes

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope, Send

from model.items import InvalidItem
from service.api.strict_json import LARGE, BadBody, StrictRequest, parse_json
from service.errors import shorten

_JSON = "application/json"


def check_path(scope: Scope) -> None:
    """Raises InvalidItem for escapes in the path that are not UTF-8: repaired, the id would be another item's."""
    raw: bytes = scope.get("raw_path", b"")
    if b"%" not in raw:
        return
    try:
        unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 in the path: byte 0x{error.object[error.start]:02X} ({error.reason})"
        raise InvalidItem("item_id", reason) from None


def check_query(scope: Scope, single: Collection[str], lists: Collection[str] = ()) -> None:
    """Raises RequestValidationError for a parameter that is not UTF-8, or a `single` one that is given twice.

    Of two, the last would win silently. Parameters that the route does not know are ignored.
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


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(request: Request) -> bool:
    return _media_type(request) == _JSON


class StrictRoute(APIRoute):
    """A route with strict reading: bodies are declared as JSON and are strict JSON, escapes in path and query are
    UTF-8, and a query parameter that is no list is given once.
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
            if not _is_json(request):
                shown = shorten(_media_type(request)) or "none"
                raise BadBody(f"the body must be declared as Content-Type: application/json, got {shown}", status=415)
            read = StrictRequest(request.scope, request.receive)
            await read.body()  # here, because FastAPI would answer 400 to a caller who hangs up
            return await handler(read)

        return strict


class _Signature(NamedTuple):
    """What an endpoint of a direct route takes. body: the name of its body. dependencies: by their names."""

    body: str
    model: type[BaseModel]
    dependencies: dict[str, Callable[[Request], Awaitable[Any]]]


class DirectRoute(StrictRoute):
    """A `StrictRoute` that calls a simple endpoint itself, without FastAPI's general machinery.

    FastAPI resolves dependencies, opens two exit stacks and looks for exporters at each request. That takes as long as
    all the rest of the way through the service (`benchmarks/throughput.py`). An endpoint that takes one body, and
    dependencies on the request alone, needs none of it.

    A request with any mistake in it goes FastAPI's way after all, so that errors are the same. Dependencies have to be
    the endpoint's own: this class does not see those of a router.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._signature = _signature(self.dependant)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, see the class."""
        if self._signature is None or scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = StrictRequest(scope, receive)
        if not _is_json(request):
            await super().handle(scope, receive, send)
            return
        body = await request.body()
        arguments = await _arguments(self._signature, request, body)
        if arguments is None:
            await super().handle(scope, _replayed(body, receive), send)
            return
        response: Response = await self.endpoint(**arguments)
        await response(scope, receive, send)


async def _arguments(signature: _Signature, request: Request, body: bytes) -> dict[str, Any] | None:
    """The endpoint's arguments. None for a long body, and where FastAPI has to say what is wrong."""
    if not 0 < len(body) <= LARGE:
        return None
    value = parse_json(body)
    arguments = {name: await depends(request) for name, depends in signature.dependencies.items()}
    try:
        arguments[signature.body] = signature.model.model_validate(value)
    except ValidationError:
        return None
    return arguments


def _signature(dependant: Dependant) -> _Signature | None:
    """None for an endpoint that needs FastAPI."""
    others = (dependant.path_params, dependant.query_params, dependant.header_params, dependant.cookie_params)
    if any(others) or dependant.request_param_name or len(dependant.body_params) != 1:
        return None
    dependencies: dict[str, Callable[[Request], Awaitable[Any]]] = {}
    for each in dependant.dependencies:
        if each.name is None or each.call is None or each.dependencies or each.request_param_name != "request":
            return None
        dependencies[each.name] = each.call
    (body,) = dependant.body_params
    model = body.field_info.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    return _Signature(body.name, model, dependencies)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` as it was before the body was read."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
