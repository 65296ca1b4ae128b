"""Routes that are asked often: from the body to the endpoint without FastAPI's general machinery in between.

FastAPI resolves dependencies, opens two exit stacks and looks for exporters at each request, for what a route might
have. That takes as long as all the rest of the way through the service (see `benchmarks/throughput.py`). A route
whose endpoint takes a body and what depends on the request alone needs none of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope, Send

from service.api.strict_json import LARGE, StrictRequest, StrictRoute, is_json, parse


class _Way(NamedTuple):
    """What an endpoint takes: a body of this model under this name, and what these make of the request, by name."""

    body: str
    model: type[BaseModel]
    depends: dict[str, Callable[[Request], Awaitable[Any]]]


class DirectRoute(StrictRoute):
    """A `StrictRoute` that goes the short way where its endpoint allows it and the request is sound.

    Whatever is wrong with a request is found again on FastAPI's way, so that errors are the same on both.
    Dependencies have to be the endpoint's own: those of a router, or given where it is included, are not seen here.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._way = _short_way(self.dependant)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if self._way is None or scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = StrictRequest(scope, receive)
        if not is_json(request):
            await super().handle(scope, receive, send)
            return
        body = await request.body()
        arguments = await self._arguments(self._way, request, body)
        if arguments is None:
            await super().handle(scope, _again(body, receive), send)
            return
        response: Response = await self.endpoint(**arguments)
        await response(scope, receive, send)

    async def _arguments(self, way: _Way, request: Request, body: bytes) -> dict[str, Any] | None:
        """What the endpoint is called with; None where FastAPI has to say what is wrong, or the body is a long one."""
        if not 0 < len(body) <= LARGE:
            return None
        value = parse(body)
        arguments = {name: await depends(request) for name, depends in way.depends.items()}
        try:
            arguments[way.body] = way.model.model_validate(value)
        except ValidationError:
            return None
        return arguments


def _short_way(dependant: Dependant) -> _Way | None:
    others = (dependant.path_params, dependant.query_params, dependant.header_params, dependant.cookie_params)
    if any(others) or dependant.request_param_name or len(dependant.body_params) != 1:
        return None
    depends: dict[str, Callable[[Request], Awaitable[Any]]] = {}
    for each in dependant.dependencies:
        if each.name is None or each.call is None or each.dependencies or each.request_param_name != "request":
            return None
        depends[each.name] = each.call
    (body,) = dependant.body_params
    model = body.field_info.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    return _Way(body.name, model, depends)


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive` from before the body was read."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
