"""Looking around: items by words, users of the test split."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from service.api.dependencies import ReadyDep
from service.api.limits import accept_item
from service.api.openapi import GUARDED, READ, READ_BODY, answer, problems
from service.api.routing import StrictRoute
from service.catalogue.moment import Moment
from service.contract.explore_answers import (
    CodesResponse,
    ExamplesResponse,
    MapResponse,
    PreviewResponse,
    SearchResponse,
)
from service.contract.requests import ItemCreate
from service.explore.explorer import Explorer
from service.lifecycle.runtime import Runtime
from service.security.scopes import needs

router = APIRouter(route_class=StrictRoute, tags=["explore"], responses=problems(*GUARDED))


@router.get("/search", response_model=SearchResponse, responses=problems(*READ), openapi_extra=needs("read"))
async def search(
    runtime: ReadyDep,
    q: Annotated[
        str,
        Query(
            max_length=200,
            description="Words, each of which an item has or has one that begins with it: in its id, title, brand or "
            "categories. None: the items that are most used.",
            examples=["vitamin ser"],
        ),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=100, description="How many items to return.", examples=[20])] = 20,
) -> Response:
    """Find items by words, as somebody types."""
    return await _explore(runtime, lambda explorer, moment: explorer.search(moment, q, limit))


@router.get("/examples", response_model=ExamplesResponse, responses=problems(*READ), openapi_extra=needs("read"))
async def examples(
    runtime: ReadyDep,
    count: Annotated[int, Query(ge=1, le=100, description="How many users to return.", examples=[10])] = 10,
    seed: Annotated[
        int, Query(ge=0, le=2**31 - 1, description="Which ones: the same for the same seed.", examples=[0])
    ] = 0,
) -> Response:
    """Users whom the model was tested with: what they had used, and what they chose next. None where the artifact holds
    no evaluation data.
    """
    return await _explore(runtime, lambda explorer, moment: explorer.examples(moment, count, seed))


Code = Annotated[int, Field(ge=0, le=2**31 - 1)]


@router.get("/codes", response_model=CodesResponse, responses=problems(*READ), openapi_extra=needs("read"))
async def codes(
    runtime: ReadyDep,
    prefix: Annotated[
        list[Code],
        Query(
            max_length=32,
            default_factory=list,
            description="The codes that semantic IDs begin with, coarsest first, each a parameter of its own; none: "
            "all items.",
            examples=[[17, 203]],
        ),
    ],
) -> Response:
    """What lies below a beginning of semantic IDs, and how each level is used. The first call reads the words of the
    catalogue, which takes a second for ten thousand items.
    """
    return await _explore(runtime, lambda explorer, moment: explorer.codes(moment, prefix))


@router.get("/map", response_model=MapResponse, responses=problems(*READ), openapi_extra=needs("read"))
async def catalogue_map(
    runtime: ReadyDep,
    limit: Annotated[int, Query(ge=1, le=50_000, description="How many items to return.", examples=[20_000])] = 20_000,
) -> Response:
    """Where items lie on the map that was made at export: the latest of those registered since, found a place among
    the items nearest to them, and the most used of the catalogue.
    """
    return await _explore(runtime, lambda explorer, moment: explorer.map(moment, limit))


@router.post(
    "/items/preview", response_model=PreviewResponse, responses=problems(*READ_BODY), openapi_extra=needs("read")
)
async def preview(body: ItemCreate, runtime: ReadyDep) -> Response:
    """What an item would be, were it registered now: its semantic ID, what it is like, and which users of the test
    split it would reach. Writes nothing. The first preview after a change of the catalogue takes longest.
    """
    item = accept_item(body.item_id, body, runtime.settings)
    return await _explore(runtime, lambda explorer, moment: explorer.preview(moment, item))


async def _explore(runtime: Runtime, ask: Callable[[Explorer, Moment], Any]) -> Response:
    """The answer of the explorer that belongs to the engine that serves, about the items of this moment."""
    active = runtime.active()
    return answer(await runtime.run_heavy(partial(ask, active.explorer, active.engine.catalogue.moment)))
