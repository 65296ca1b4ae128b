"""Looking around: items by words, users of the test split."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from service.documents import GUARDED, READ, answer, problems
from service.responses import ExamplesResponse, SearchResponse
from service.runtime import ReadyDep
from service.scopes import needs

router = APIRouter(tags=["explore"], responses=problems(*GUARDED))


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
    engine = runtime.ready()
    return answer(await runtime.heavy(partial(engine.explorer.search, engine.catalogue.moment, q, limit)))


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
    engine = runtime.ready()
    return answer(await runtime.heavy(partial(engine.explorer.examples, engine.catalogue.moment, count, seed)))
