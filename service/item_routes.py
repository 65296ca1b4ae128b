"""Items: registering, replacing, reading, deleting, listing, exporting. Thin handlers.

The order of the routes matters, because an item id may hold slashes: what is fixed comes before
`/items/{item_id}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from model.items import InvalidItem, Item, check_item_id
from service.documents import GUARDED, READ, WRITE_BODY, ItemId, answer, next_steps, problems, text
from service.engine import Engine
from service.errors import ServiceError, UnknownItem
from service.limits import accept_item, check_batch
from service.metrics import Metrics
from service.problems import of_error
from service.rate_limit import charge_batch
from service.responses import ItemBatchResponse, ItemList, ItemPublic, ItemRegistered
from service.results import ItemBatch, ItemEntry, Page, Written
from service.runtime import EngineDep, ReadyDep
from service.schemas import ITEM_EXAMPLE, Entry, ItemBatchRequest, ItemContent, ItemCreate, Source
from service.scopes import needs
from service.settings import Settings
from service.strict_json import StrictRoute

router = APIRouter(route_class=StrictRoute, tags=["items"], responses=problems(*GUARDED))

_EXPORT_CHUNK = 256  # items written to the stream at once
_WRITTEN_LINKS = next_steps()
_CREATED = {"created": 201, "unchanged": 200, "replaced": 200}

SourceQuery = Annotated[
    Source,
    Query(
        description="`catalogue`: items as the artifact has them. `registered`: items written through the API.",
        examples=["all"],
    ),
]


@router.post(
    "/items",
    status_code=201,
    response_model=ItemRegistered,
    responses={
        200: {"description": "The same item is registered already", "model": ItemRegistered, **_WRITTEN_LINKS},
        201: _WRITTEN_LINKS,
        **problems("item-conflict", *WRITE_BODY),
    },
    openapi_extra=needs("write"),
)
async def create_item(body: ItemCreate, runtime: ReadyDep) -> Response:
    """Register an item. 201 says that it is on disk and that this process recommends it."""
    item = accept_item(body.item_id, body, runtime.settings)
    return _written(runtime.metrics, await runtime.writing(lambda engine: engine.add(item)))


@router.post(
    "/items/batch",
    response_model=ItemBatchResponse,
    responses=problems(*WRITE_BODY),
    openapi_extra=needs("write"),
)
async def create_items(body: ItemBatchRequest, request: Request, runtime: ReadyDep) -> Response:
    """Register items in one transaction. An entry that is refused leaves the others alone."""
    check_batch("items", len(body.items), runtime.settings)
    charge_batch(request, len(body.items))
    results = await runtime.writing(partial(_add_all, entries=body.items, settings=runtime.settings))
    entries: list[ItemEntry] = []
    for result in results:
        if isinstance(result, Written):
            runtime.metrics.observe_write(result.outcome, _percentile(result))
            entries.append(ItemEntry(_CREATED[result.outcome], result))
        else:
            runtime.metrics.observe_write("refused")
            problem = of_error(result)
            entries.append(ItemEntry(problem.status, problem=problem.body()))
    return answer(ItemBatch(entries))


def _add_all(engine: Engine, entries: list[Entry[ItemCreate]], settings: Settings) -> list[Written | Exception]:
    results: list[Written | Exception] = []
    accepted: list[Item] = []
    places: list[int] = []
    for place, entry in enumerate(entries):
        try:
            if entry.value is None:
                raise entry.error or ValueError("an entry has a value or an error")
            accepted.append(accept_item(entry.value.item_id, entry.value, settings))
            places.append(place)
            results.append(ValueError("not written yet"))
        except (ServiceError, ValueError) as error:  # InvalidItem and ValidationError are ValueErrors
            results.append(error)
    for place, result in zip(places, engine.add_batch(accepted) if accepted else [], strict=True):
        results[place] = result
    return results


@router.get("/items", response_model=ItemList, responses=problems(*READ), openapi_extra=needs("read"))
async def list_items(
    runtime: ReadyDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="Items on a page.", examples=[100])] = 100,
    cursor: Annotated[
        str | None, Query(max_length=32, description="`next_cursor` of the page before.", examples=["12100"])
    ] = None,
    source: SourceQuery = "all",
    item_id: Annotated[
        str | None, Query(description="Only the item of this id, whatever it looks like.", examples=["serum-1"])
    ] = None,
) -> Response:
    """List items in a stable order: the catalogue's, then the registered ones by their first registration."""
    engine = runtime.ready()
    if item_id is not None:
        try:
            return answer(Page([engine.get(item_id)], None))
        except UnknownItem:
            return answer(Page([], None))
    return answer(await runtime.heavy(partial(engine.page, _after(cursor), limit, source)))


def _after(cursor: str | None) -> int:
    if cursor is None:
        return -1
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
        raise InvalidItem("cursor", "is not one that this service gave")
    return int(cursor)


@router.get(
    "/items/export",
    response_class=Response,
    responses=text(
        "One item a line, each fit to be registered again",
        "application/jsonl",
        to_json(ITEM_EXAMPLE).decode() + "\n",
    )
    | problems(*READ),
    openapi_extra=needs("read"),
)
async def export_items(engine: EngineDep, source: SourceQuery = "all") -> Response:
    """Stream items as JSON lines, all as they were when the answer began."""
    return StreamingResponse(_lines(engine.export(source)), media_type="application/jsonl")


def _lines(items: Iterator[Item]) -> Iterator[bytes]:
    while chunk := list(islice(items, _EXPORT_CHUNK)):
        yield b"".join(to_json(item.to_dict()) + b"\n" for item in chunk)


@router.get(
    "/items/{item_id:text}",
    response_model=ItemPublic,
    responses=problems("item-not-found", *READ),
    openapi_extra=needs("read"),
)
async def read_item(item_id: ItemId, engine: EngineDep) -> Response:
    """One item."""
    return answer(engine.get(item_id))


@router.put(
    "/items/{item_id:text}",
    response_model=ItemRegistered,
    responses={
        200: _WRITTEN_LINKS,
        201: {"description": "The item is new", "model": ItemRegistered, **_WRITTEN_LINKS},
        **problems(*WRITE_BODY),
    },
    openapi_extra=needs("write"),
)
async def put_item(item_id: ItemId, body: ItemContent, runtime: ReadyDep) -> Response:
    """Register an item or replace it. An item of the catalogue keeps what training learned of it."""
    item = accept_item(item_id, body, runtime.settings)
    return _written(runtime.metrics, await runtime.writing(lambda engine: engine.put(item)))


@router.delete(
    "/items/{item_id:text}",
    status_code=204,
    response_class=Response,
    responses=problems("item-not-found", *READ, "registry-full"),
    openapi_extra=needs("write"),
)
async def delete_item(item_id: ItemId, runtime: ReadyDep) -> Response:
    """Serve an item no more. One of the catalogue stays away after a restart too."""
    try:
        check_item_id(item_id)
    except InvalidItem:
        raise UnknownItem(item_id) from None  # PostgreSQL cannot even be asked for some that can be no id
    await runtime.writing(lambda engine: engine.delete(item_id))
    runtime.metrics.observe_write("deleted")
    return Response(status_code=204)


def _written(metrics: Metrics, written: Written) -> Response:
    metrics.observe_write(written.outcome, _percentile(written))
    return answer(written, _CREATED[written.outcome])


def _percentile(written: Written) -> float | None:
    """For the metric of new texts: what was there already is not counted again."""
    return None if written.outcome == "unchanged" else written.quantization_error_percentile
