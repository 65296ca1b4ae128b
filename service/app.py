"""The ASGI app: state in the lifespan, errors as problem details, middleware. Importing this does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from model.items import InvalidItem
from service import item_routes, routes
from service.documents import DESCRIPTION
from service.errors import RegistryError, ServiceError
from service.metrics import Metrics
from service.middleware import BodyLimit, Observe
from service.problems import of_error
from service.runtime import Runtime
from service.settings import Settings
from service.version import package_version


def create_app(settings: Settings) -> FastAPI:
    """An app of its own: nothing is loaded before its lifespan begins, and nothing is left after it ends."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime = app.state.runtime = Runtime(settings, metrics)
        runtime.begin()
        try:
            yield
        finally:
            await runtime.end()

    app = FastAPI(
        title="Kindred",
        version=package_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        # The metrics and the access log are the app's own; FastAPI would look for exporters at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    # The last added is the outermost: a body that is refused is observed too.
    app.add_middleware(BodyLimit, limit=settings.body_max)
    app.add_middleware(Observe, metrics=metrics)
    for error in (RequestValidationError, HTTPException, InvalidItem, ServiceError):
        app.add_exception_handler(error, _problem)
    # `similar` has to be found before the item of a path that ends in it.
    app.include_router(routes.recommend_router)
    app.include_router(item_routes.router)
    app.include_router(routes.operate_router)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    if isinstance(error, RegistryError):
        raise error  # no fault of the caller's and no passing one: answered as 500 and logged in full
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return of_error(error).response(request, headers)
