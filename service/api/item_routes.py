"""Items: registering, replacing, reading, deleting, listing, exporting. Thin handlers.

The order of the routes matters, because an item id may hold slashes: what is fixed comes before
`/items/{item_id}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from model.items import InvalidItem, Item, check_item_id
from service.api.dependencies import EngineDep, ReadyDep
from service.api.idempotency_key import kept, once_of, replayable, reply, takes_key
from service.api.limits import accept_item, check_batch
from service.api.openapi import GUARDED, KEYED, READ, WRITE_BODY, ItemId, answer, answer_all, next_steps, problems, text
from service.api.routing import StrictRoute
from service.contract.answers import ItemBatchResponse, ItemList, ItemPublic, ItemRegistered
from service.contract.problems import of_error
from service.contract.requests import ITEM_EXAMPLE, Entry, ItemBatchRequest, ItemContent, ItemCreate, Source
from service.contract.results import ItemEntry, Page, Written
from service.engine.decisions import Done
from service.engine.engine import Engine
from service.errors import ItemConflict, ServiceError, UnknownItem
from service.metrics import Metrics
from service.registry.idempotency import Kept, Once
from service.security.rate_limit import charge_batch
from service.security.scopes import needs
from service.settings import Settings

router = APIRouter(route_class=StrictRoute, tags=["items"], responses=problems(*GUARDED))

_EXPORT_CHUNK = 256  # items written to the stream at once
_WRITTEN = next_steps() | replayable(200)[200]
_CREATED = {"created": 201, "unchanged": 200, "replaced": 200}

SourceQuery = Annotated[
    Source,
    Query(
        description="`catalogue`: items as the artifact has them. `registered`: items written through the API.",
        examples=["all"],
    ),
]


ContentQuery = Annotated[
    bool,
    Query(description="Add `content`: all that registering the item again takes.", examples=[False]),
]


@router.post(
    "/items",
    status_code=201,
    response_model=ItemRegistered,
    responses={
        200: {"description": "The same item is registered already", "model": ItemRegistered, **_WRITTEN},
        201: _WRITTEN,
        **problems("item-conflict", *WRITE_BODY, *KEYED),
    },
    openapi_extra=takes_key(needs("write")),
)
async def create_item(body: ItemCreate, request: Request, runtime: ReadyDep) -> Response:
    """Register an item. 201 says that it is on disk and that this process recommends it."""
    item = accept_item(body.item_id, body, runtime.settings)
    if (once := await once_of(request)) is None:
        return _written(runtime.metrics, await runtime.writing(lambda engine: engine.add(item)))
    return _once(runtime.metrics, await runtime.writing(lambda engine: engine.add_once(once, [item], _kept_item)))


@router.post(
    "/items/batch",
    response_model=ItemBatchResponse,
    responses={**replayable(200), **problems(*WRITE_BODY, *KEYED)},
    openapi_extra=takes_key(needs("write")),
)
async def create_items(body: ItemBatchRequest, request: Request, runtime: ReadyDep) -> Response:
    """Register items in one transaction. An entry that is refused leaves the others alone."""
    check_batch("items", len(body.items), runtime.settings)
    charge_batch(request, len(body.items))
    once = await once_of(request)
    work = partial(_add_all, entries=body.items, settings=runtime.settings, once=once)
    response, results = await runtime.writing(work)
    if results is None:
        runtime.metrics.observe_write("replayed")
    for result in results or ():
        if isinstance(result, Written):
            runtime.metrics.observe_write(result.outcome, _percentile(result))
        else:
            runtime.metrics.observe_write("refused")
    return response


def _add_all(
    engine: Engine, entries: list[Entry[ItemCreate]], settings: Settings, once: Once | None
) -> tuple[Response, list[Written | Exception] | None]:
    """The answer, and what became of each entry; None where the answer was given before."""
    accepted: list[Item] = []
    refusals: list[Exception | None] = []  # None for an entry that is accepted
    for entry in entries:
        try:
            if entry.value is None:
                raise entry.error or ValueError("an entry has a value or an error")
            accepted.append(accept_item(entry.value.item_id, entry.value, settings))
            refusals.append(None)
        except (ServiceError, ValueError) as error:  # InvalidItem and ValidationError are ValueErrors
            refusals.append(error)

    def all_of(written: Sequence[Written | ItemConflict]) -> list[Written | Exception]:
        each = iter(written)
        return [next(each) if refusal is None else refusal for refusal in refusals]

    if once is None:
        results = all_of(engine.add_batch(accepted) if accepted else [])
        return _batch(results), results
    done = engine.add_once(once, accepted, lambda written: kept(_batch(all_of(written))))
    return reply(done), None if done.results is None else all_of(done.results)


def _batch(results: Sequence[Written | Exception]) -> Response:
    entries: list[ItemEntry] = []
    for result in results:
        if isinstance(result, Written):
            entries.append(ItemEntry(_CREATED[result.outcome], result))
        else:
            problem = of_error(result)
            entries.append(ItemEntry(problem.status, problem=problem.body()))
    return answer_all(entries)


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
    content: ContentQuery = False,
) -> Response:
    """List items in a stable order: the catalogue's, then the registered ones by their first registration."""
    engine, after = runtime.ready(), _after(cursor)
    if item_id is not None:
        try:
            return answer(Page([engine.get(item_id, content)], None))
        except UnknownItem:
            return answer(Page([], None))
    return answer(await runtime.heavy(partial(engine.page, after, limit, source, content)))


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
async def read_item(item_id: ItemId, engine: EngineDep, content: ContentQuery = False) -> Response:
    """One item."""
    return answer(engine.get(item_id, content))


@router.put(
    "/items/{item_id:text}",
    response_model=ItemRegistered,
    responses={
        200: _WRITTEN,
        201: {"description": "The item is new", "model": ItemRegistered, **_WRITTEN},
        **problems(*WRITE_BODY, *KEYED),
    },
    openapi_extra=takes_key(needs("write")),
)
async def put_item(item_id: ItemId, body: ItemContent, request: Request, runtime: ReadyDep) -> Response:
    """Register an item or replace it. An item of the catalogue keeps what training learned of it."""
    item = accept_item(item_id, body, runtime.settings)
    if (once := await once_of(request)) is None:
        return _written(runtime.metrics, await runtime.writing(lambda engine: engine.put(item)))
    return _once(runtime.metrics, await runtime.writing(lambda engine: engine.put_once(once, item, _kept_item)))


@router.delete(
    "/items/{item_id:text}",
    status_code=204,
    response_class=Response,
    responses={**replayable(204), **problems("item-not-found", *READ, "registry-full", *KEYED)},
    openapi_extra=takes_key(needs("write")),
)
async def delete_item(item_id: ItemId, request: Request, runtime: ReadyDep) -> Response:
    """Serve an item no more. One of the catalogue stays away after a restart too."""
    try:
        check_item_id(item_id)
    except InvalidItem:
        raise UnknownItem(item_id) from None  # PostgreSQL cannot even be asked for some that can be no id
    if (once := await once_of(request)) is None:
        await runtime.writing(lambda engine: engine.delete(item_id))
        runtime.metrics.observe_write("deleted")
        return Response(status_code=204)
    done = await runtime.writing(lambda engine: engine.delete_once(once, item_id, Kept(204, b"")))
    runtime.metrics.observe_write("replayed" if done.replayed else "deleted")
    return reply(done)


def _written(metrics: Metrics, written: Written) -> Response:
    metrics.observe_write(written.outcome, _percentile(written))
    return answer(written, _CREATED[written.outcome])


def _once(metrics: Metrics, done: Done) -> Response:
    if done.replayed:
        metrics.observe_write("replayed")
    for written in done.results or ():
        if isinstance(written, Written):
            metrics.observe_write(written.outcome, _percentile(written))
    return reply(done)


def _kept_item(results: Sequence[Written | ItemConflict]) -> Kept:
    """The answer to a request of one item; raises ItemConflict, so that nothing is kept of a refusal."""
    (result,) = results
    if isinstance(result, ItemConflict):
        raise result
    return kept(answer(result, _CREATED[result.outcome]))


def _percentile(written: Written) -> float | None:
    """For the metric of new texts: what was there already is not counted again."""
    return None if written.outcome == "unchanged" else written.quantization_error_percentile
