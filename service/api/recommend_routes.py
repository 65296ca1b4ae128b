"""Recommendations and similar items."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from model.items import InvalidItem
from service.api.dependencies import ReadyDep
from service.api.error_mapping import of_error
from service.api.limits import check_batch, check_k, check_recommend
from service.api.openapi import GUARDED, READ, READ_BODY, ItemId, answer, answer_all, problems
from service.api.routing import DirectRoute
from service.contract.answers import RecommendBatchEntry, RecommendBatchResponse, RecommendResponse, SimilarResponse
from service.contract.requests import Entry, RecommendBatchRequest, RecommendRequest, SimilarBy
from service.engine.engine import Engine
from service.errors import ServiceError
from service.lifecycle.runtime import Runtime
from service.security import problem_answers
from service.security.rate_limit import charge_batch
from service.security.scopes import needs
from service.settings import Settings

router = APIRouter(
    route_class=DirectRoute,
    tags=["recommend"],
    responses=problems(*GUARDED),
    generate_unique_id_function=attrgetter("name"),
)

_QUICK_K = 100
_QUICK_ITEMS = 200_000


@router.post(
    "/recommend",
    response_model=RecommendResponse,
    responses=problems(*READ_BODY),
    openapi_extra=needs("read"),
)
async def recommend(body: RecommendRequest, runtime: ReadyDep) -> Response:
    """Recommend the next items for a history."""
    check_recommend(body, runtime.settings)
    engine = runtime.ready()
    if _is_quick(body, engine):
        result = await runtime.batcher.submit(body)
    else:
        result = await runtime.run_single(partial(engine.recommend, body))
    _observe(runtime, result)
    began = time.perf_counter()
    response = answer(result)
    runtime.metrics.observe_stage("write", time.perf_counter() - began)
    return response


def _observe(runtime: Runtime, result: RecommendResponse) -> None:
    cold = sum(item.cold for item in result.items)
    runtime.metrics.observe_recommendation(result.strategy, len(result.items), cold)


def _is_quick(body: RecommendRequest, engine: Engine) -> bool:
    """Whether the request is quick enough for a micro-batch on the event loop."""
    if body.k > _QUICK_K or body.diversity or body.filter or body.explain:
        return False
    return len(engine.catalogue) <= _QUICK_ITEMS


@router.post(
    "/recommend/batch",
    response_model=RecommendBatchResponse,
    responses=problems(*READ_BODY),
    openapi_extra=needs("read"),
)
async def recommend_batch(body: RecommendBatchRequest, request: Request, runtime: ReadyDep) -> Response:
    """Recommend for several histories at once. An entry that is refused leaves the others alone."""
    check_batch("requests", len(body.requests), runtime.settings)
    charge_batch(request, len(body.requests))
    response, results = await runtime.run_heavy(partial(_answer_all, runtime.ready(), body.requests, runtime.settings))
    for result in results:
        _observe(runtime, result)
    return response


def _answer_all(
    engine: Engine, requests: Sequence[Entry[RecommendRequest]], settings: Settings
) -> tuple[Response, list[RecommendResponse]]:
    """The answer, and the recommendations in it. All of it takes long where the entries and their histories are many:
    to check them, and to write megabytes of JSON.
    """
    checked = [_checked(entry, settings) for entry in requests]
    results = engine.recommend_batch([entry for entry in checked if isinstance(entry, RecommendRequest)])
    following = iter(results)
    entries: list[RecommendBatchEntry] = []
    for entry in checked:
        if isinstance(entry, RecommendRequest):
            entries.append(RecommendBatchEntry(200, next(following)))
        else:
            problem = of_error(entry)
            entries.append(RecommendBatchEntry(problem.status, problem=problem_answers.details(problem)))
    return answer_all(entries), results


def _checked(entry: Entry[RecommendRequest], settings: Settings) -> RecommendRequest | Exception:
    if entry.value is None:
        return entry.error or ValueError("an entry has a value or an error")
    try:
        check_recommend(entry.value, settings)
    except (ServiceError, InvalidItem) as error:
        return error
    return entry.value


@router.get(
    "/items/{item_id:text}/similar",
    response_model=SimilarResponse,
    responses=problems("item-not-found", *READ),
    openapi_extra=needs("read"),
)
async def similar(
    item_id: ItemId,
    runtime: ReadyDep,
    k: Annotated[int, Query(ge=1, description="How many items to return.", examples=[10])] = 10,
    by: Annotated[
        SimilarBy,
        Query(
            description="`semantic`: by what the texts share, for warm and cold items alike. `hybrid`: also by what "
            "training learned of each item.",
            examples=["semantic"],
        ),
    ] = "semantic",
) -> Response:
    """Similar items, by the cosine of their embeddings."""
    check_k(k, runtime.settings)
    return answer(await runtime.run_heavy(partial(runtime.ready().similar, item_id, k, by)))
