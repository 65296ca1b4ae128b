"""The ASGI app: its state lives in the lifespan, its errors are problem details. Importing this does nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from operator import attrgetter
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from model.items import InvalidItem
from service.api import console_routes, explore_routes, item_routes, operation_routes, recommend_routes
from service.api.error_mapping import of_error
from service.api.openapi import DESCRIPTION
from service.errors import RegistryError, ServiceError
from service.lifecycle.runtime import Runtime
from service.metrics import Metrics
from service.security import problem_answers
from service.security.guard import Guard
from service.security.key_ring import KeyRing
from service.security.rate_limit import RateLimit
from service.security.route_table import RouteTable
from service.security.scopes import SCHEMES
from service.server.admission import Admission, Queues
from service.server.middleware import BodyLimit, LastPlaces, Observe
from service.settings import Settings
from service.version import package_version


class Api(FastAPI):
    """FastAPI, whose OpenAPI document also says how to send a key."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document.setdefault("components", {})["securitySchemes"] = SCHEMES
        return document


def create_app(
    settings: Settings, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
) -> FastAPI:
    """A new app. It loads nothing but the keys before its lifespan begins, and leaves nothing behind when that ends.

    now: seconds since 1970; tells which keys have expired, and since when a model serves. clock: measures how much time
    passes. Raises BadKeys.
    """
    metrics = Metrics()
    queues = Queues(settings, metrics)
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
        openapi_url=None,  # FastAPI's own routes of the document declare no scope: `operation_routes` has them
        # Off, because the app has metrics and an access log of its own, and FastAPI would look for exporters each time.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    routes = app.state.routes = RouteTable(app.routes)
    # Middleware that is added later stands further out: `Observe` sees everything, even a body that is refused.
    app.add_middleware(BodyLimit, limit=settings.body_max, total=settings.bodies_max)
    if keys is not None or settings.rate_limit:
        limits = partial(RateLimit, settings.rate_limit, settings.rate_burst, clock) if settings.rate_limit else None
        app.add_middleware(Guard, routes=routes, metrics=metrics, keys=keys, limits=limits, now=now)
    app.add_middleware(Admission, queues=queues)
    if not settings.cors_origins:
        # The server itself may refuse, which is sooner. A page of another origin could not read such a refusal.
        app.state.recommend_queue = queues.recommend
    if settings.cors_origins:
        # Outside the guard: a browser asks without a key first, and has to be able to read a refusal.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=("Authorization", "Content-Type", "Idempotency-Key", "X-API-Key", "X-Request-ID"),
            expose_headers=("Idempotency-Replayed", "Retry-After", "X-Request-ID"),
        )
    app.add_middleware(LastPlaces)
    app.add_middleware(Observe, metrics=metrics, routes=routes)
    for error in (RequestValidationError, HTTPException, InvalidItem, ServiceError):
        app.add_exception_handler(error, _problem)
    # First: the app has to find `/items/{item_id}/similar` before `/items/{item_id}`, whose ids may hold slashes.
    # Extended rather than included: FastAPI looks through an included router twice at each request.
    app.router.routes.extend(recommend_routes.router.routes)
    app.include_router(item_routes.router)
    app.include_router(explore_routes.router)
    app.include_router(console_routes.router)
    app.include_router(operation_routes.router)
    app.include_router(operation_routes.probe_router)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    if isinstance(error, RegistryError):
        raise error  # neither the caller's fault nor one that passes: `Observe` answers 500 and logs it in full
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, HTTPException) and error.status_code == 405:
        routes: RouteTable = request.app.state.routes
        # The framework would name the methods of one route, and a path may have several.
        headers["Allow"] = ", ".join(sorted(routes.methods(request.scope["path"])))
    return problem_answers.response(of_error(error), request, headers)
