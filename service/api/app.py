"""The ASGI app: state in the lifespan, errors as problem details, middleware. Importing this does nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from operator import attrgetter
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from model.items import InvalidItem
from service.api import console_routes, explore_routes, item_routes, operation_routes, recommend_routes
from service.api.openapi import DESCRIPTION
from service.contract.problems import of_error
from service.errors import RegistryError, ServiceError
from service.lifecycle.runtime import Runtime
from service.metrics import Metrics
from service.security.guard import Guard
from service.security.key_ring import KeyRing
from service.security.rate_limit import RateLimit
from service.security.scopes import SCHEMES
from service.server.admission import Admission, Gates
from service.server.middleware import BodyLimit, LastPlaces, Observe
from service.settings import Settings
from service.version import package_version


class Api(FastAPI):
    """FastAPI, whose document also says how a key is sent."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document.setdefault("components", {})["securitySchemes"] = SCHEMES
        return document


def create_app(
    settings: Settings, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
) -> FastAPI:
    """An app of its own: nothing but the keys is loaded before its lifespan begins, and nothing is left after it
    ends. `now` tells which keys have expired and since when a model serves, `clock` measures what passes. Raises
    BadKeys.
    """
    metrics = Metrics()
    gates = Gates(settings, metrics)
    keys = KeyRing(settings.keys, clock) if settings.keys is not None else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime = app.state.runtime = Runtime(settings, metrics, now)
        runtime.begin()
        try:
            yield
        finally:
            await runtime.end()

    app = Api(
        title="Kindred",
        version=package_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=attrgetter("name"),  # short operation ids, which links can name
        openapi_url=None,  # FastAPI's own routes of the document declare no scope
        # The metrics and the access log are the app's own; FastAPI would look for exporters at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    # The last added is the outermost: a body that is refused is observed too.
    app.add_middleware(BodyLimit, limit=settings.body_max, together=settings.bodies_max)
    if keys is not None or settings.rate_limit:
        limits = partial(RateLimit, settings.rate_limit, settings.rate_burst, clock) if settings.rate_limit else None
        app.add_middleware(Guard, routes=app.routes, metrics=metrics, keys=keys, limits=limits, now=now)
    app.add_middleware(Admission, gates=gates)
    if not settings.cors_origins:
        # The server may refuse by itself, sooner. A page of another origin could not read that.
        app.state.gate = gates.recommend
    if settings.cors_origins:
        # Outside the guard: a browser asks beforehand, without a key, and has to be able to read a refusal.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=("Authorization", "Content-Type", "Idempotency-Key", "X-API-Key", "X-Request-ID"),
            expose_headers=("Idempotency-Replayed", "Retry-After", "X-Request-ID"),
        )
    app.add_middleware(LastPlaces)
    app.add_middleware(Observe, metrics=metrics, routes=app.routes)
    for error in (RequestValidationError, HTTPException, InvalidItem, ServiceError):
        app.add_exception_handler(error, _problem)
    # `similar` has to be found before the item of a path that ends in it.
    # Not included but taken over, first: FastAPI looks through an included router twice at each request.
    app.router.routes.extend(recommend_routes.recommend_router.routes)
    app.include_router(item_routes.router)
    app.include_router(explore_routes.router)
    app.include_router(console_routes.router)
    app.include_router(recommend_routes.operate_router)
    app.include_router(operation_routes.router)
    app.include_router(recommend_routes.probe_router)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    if isinstance(error, RegistryError):
        raise error  # no fault of the caller's and no passing one: answered as 500 and logged in full
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, HTTPException) and error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))  # the framework names those of one route alone
    return of_error(error).response(request, headers)


def _methods(request: Request) -> set[str]:
    """What may be asked of the path, by all routes that it fits."""
    path = request.scope["path"]
    recommend_routes = iter_route_contexts(request.app.routes)
    return {method for route in recommend_routes if route.path_regex.match(path) for method in route.methods or ()}
