"""For those who look around: search, example users, the code tree, the map, previews."""

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
            description="Words, or beginnings of words. Finds items that have all of them in id, title, brand or "
            "categories. Empty: the most used items.",
            examples=["vitamin ser"],
        ),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=100, description="How many items to return.", examples=[20])] = 20,
) -> Response:
    """Find items by words, while somebody types."""
    return await _explore(runtime, lambda explorer, moment: explorer.search(moment, q, limit))


@router.get("/examples", response_model=ExamplesResponse, responses=problems(*READ), openapi_extra=needs("read"))
async def examples(
    runtime: ReadyDep,
    count: Annotated[int, Query(ge=1, le=100, description="How many users to return.", examples=[10])] = 10,
    seed: Annotated[
        int, Query(ge=0, le=2**31 - 1, description="The same seed gives the same users.", examples=[0])
    ] = 0,
) -> Response:
    """Users of the test split: their histories, and what they chose next. An empty list if the artifact holds no
    evaluation data.
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
            description="The first codes of semantic IDs, coarsest first, each as a parameter of its own. None: all "
            "items.",
            examples=[[17, 203]],
        ),
    ],
) -> Response:
    """Codes and items below some first codes, and how each level is used. The first call reads the words of the
    catalogue, which takes a second for ten thousand items.
    """
    return await _explore(runtime, lambda explorer, moment: explorer.codes(moment, prefix))


@router.get("/map", response_model=MapResponse, responses=problems(*READ), openapi_extra=needs("read"))
async def catalogue_map(
    runtime: ReadyDep,
    limit: Annotated[int, Query(ge=1, le=50_000, description="How many items to return.", examples=[20_000])] = 20_000,
) -> Response:
    """Positions on the map that was made at export: the most used items of the catalogue, and the latest registered
    items, each placed among the items nearest to it.
    """
    return await _explore(runtime, lambda explorer, moment: explorer.map(moment, limit))


@router.post(
    "/items/preview", response_model=PreviewResponse, responses=problems(*READ_BODY), openapi_extra=needs("read")
)
async def preview(body: ItemCreate, runtime: ReadyDep) -> Response:
    """What an item would become if it were registered now: its semantic ID, similar items, and the users of the test
    split who would get it. Writes nothing. The first preview after a change of the catalogue takes longest.
    """
    item = accept_item(body.item_id, body, runtime.settings)
    return await _explore(runtime, lambda explorer, moment: explorer.preview(moment, item))


async def _explore(runtime: Runtime, ask: Callable[[Explorer, Moment], Any]) -> Response:
    """The explorer's answer about the items of this moment, computed in a thread."""
    active = runtime.active()
    return answer(await runtime.run_heavy(partial(ask, active.explorer, active.engine.catalogue.moment)))
