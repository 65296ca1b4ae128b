"""For those who operate the service: probes, metrics, version, the card of the model that serves, the document."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import JSONResponse, Response

from service.api.dependencies import ReadyDep, RuntimeDep
from service.api.openapi import GUARDED, answer, problems, text
from service.contract.answers import Liveness, Readiness
from service.contract.operation_answers import ModelResponse, VersionResponse
from service.errors import NotReady
from service.explore.model_card import model_card
from service.metrics import CONTENT_TYPE
from service.security.scopes import OPEN, needs

router = APIRouter(tags=["operate"], responses=problems(*GUARDED))
probe_router = APIRouter(tags=["operate"])


@probe_router.get("/livez", response_model=Liveness, openapi_extra=OPEN)
async def livez() -> Response:
    """200 while the process runs, ready or not."""
    return answer(Liveness("alive"))


@probe_router.get("/readyz", response_model=Readiness, responses=problems("not-ready"), openapi_extra=OPEN)
async def readyz(runtime: RuntimeDep) -> Response:
    """200 while the service answers recommendations; else 503 with the reason."""
    if runtime.stopping:
        raise NotReady("stopping: send nothing more; what is under way is finished")
    engine = runtime.ready()
    return answer(Readiness("ready", engine.artifact.version))


@router.get(
    "/metrics",
    response_class=Response,
    responses=text("Prometheus text format", "text/plain", "kindred_index_items 12101.0\n"),
    openapi_extra=needs("admin"),
)
async def metrics(runtime: RuntimeDep) -> Response:
    """Metrics for Prometheus."""
    return Response(runtime.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


@router.get("/version", response_model=VersionResponse, openapi_extra=needs("read"))
async def show_version(request: Request, runtime: RuntimeDep) -> Response:
    """What is running. Answers before the service is ready too."""
    try:
        active = runtime.active()
    except NotReady:
        return answer(VersionResponse(request.app.version, refused=runtime.refused))
    engine = active.engine
    return answer(
        VersionResponse(
            service=request.app.version,
            model_version=engine.artifact.version,
            items=len(engine.catalogue),
            cold_items=engine.catalogue.cold,
            index=VersionResponse.Index(runtime.settings.index, engine.recall),
            started_seconds=round(engine.started_seconds, 3),
            refused=runtime.refused,
            serving_since=active.since,
            registry=engine.registered(),
            last_swap=active.last_swap,
        )
    )


@router.get("/openapi.json", include_in_schema=False, openapi_extra=needs("read"))
async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs", include_in_schema=False, openapi_extra=needs("read"))
async def docs(request: Request) -> Response:
    """The document, to read and to try. It is for an open service, because a browser sends no key."""
    return get_swagger_ui_html(openapi_url="openapi.json", title=request.app.title)


@router.get("/model", response_model=ModelResponse, responses=problems("not-ready"), openapi_extra=needs("read"))
async def model(runtime: ReadyDep) -> Response:
    """The card of the model that serves: its data, recipe, measurements and tokens."""
    return answer(model_card(runtime.ready().artifact.manifest))
