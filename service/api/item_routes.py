"""Routes that register, replace, read, delete, list and export items.

Their order matters, because an item id may hold slashes: fixed paths come before `/items/{item_id}`.
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
from service.api.error_mapping import of_error
from service.api.idempotency_key import idempotency_key_of, replayable, reply, stored, takes_key
from service.api.limits import accept_item, check_batch
from service.api.openapi import GUARDED, KEYED, READ, WRITE_BODY, ItemId, answer, answer_all, next_steps, problems, text
from service.api.routing import StrictRoute
from service.contract.answers import ItemBatchEntry, ItemBatchResponse, ItemList, ItemPublic, ItemRegistered
from service.contract.requests import ITEM_EXAMPLE, Entry, ItemBatchRequest, ItemContent, ItemCreate, Source
from service.engine.engine import Engine
from service.engine.writer import IdempotentRequest, Results, WriteResult
from service.errors import ItemConflict, ServiceError, UnknownItem
from service.lifecycle.runtime import Runtime
from service.metrics import Metrics
from service.registry.idempotency import IdempotencyKey, StoredAnswer
from service.security import problem_answers
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
    Query(description="Add `content`: everything needed to register the item again.", examples=[False]),
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
    return await _write(accept_item(body.item_id, body, runtime.settings), False, request, runtime)


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
    key = await idempotency_key_of(request)
    work = partial(_write_all, entries=body.items, settings=runtime.settings, key=key)
    response, result, refused = await runtime.run_write(work)
    _observe(runtime.metrics, result)
    for _ in range(refused):
        runtime.metrics.observe_write("refused")
    return response


def _write_all(
    engine: Engine, entries: list[Entry[ItemCreate]], settings: Settings, key: IdempotencyKey | None
) -> tuple[Response, WriteResult, int]:
    """The answer, what was written, and how many entries were refused. A replay counts no refusals."""
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

    def compose(written: Results) -> StoredAnswer:
        each = iter(written)
        return stored(_batch([next(each) if refusal is None else refusal for refusal in refusals]))

    result = engine.writer.write(accepted, once=IdempotentRequest(key, compose) if key else None)
    refused = 0 if result.replayed else len(entries) - len(accepted)
    return reply(result, compose), result, refused


def _batch(results: Sequence[ItemRegistered | Exception]) -> Response:
    entries: list[ItemBatchEntry] = []
    for result in results:
        if isinstance(result, ItemRegistered):
            entries.append(ItemBatchEntry(_CREATED[result.outcome], result))
        else:
            problem = of_error(result)
            entries.append(ItemBatchEntry(problem.status, problem=problem_answers.details(problem)))
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
        str | None,
        Query(description="Only the item of this id; any id works.", examples=["serum-1"]),
    ] = None,
    content: ContentQuery = False,
) -> Response:
    """List items in a stable order: the catalogue's, then the registered ones by their first registration."""
    engine, after = runtime.ready(), _after(cursor)
    if item_id is not None:
        try:
            return answer(ItemList([engine.get(item_id, content)], None))
        except UnknownItem:
            return answer(ItemList([], None))
    return answer(await runtime.run_heavy(partial(engine.page, after, limit, source, content)))


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
    """Stream items as JSON lines, in the state of the moment when the answer began."""
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
    """Register or replace an item. An item of the catalogue keeps what training learned of it."""
    return await _write(accept_item(item_id, body, runtime.settings), True, request, runtime)


@router.delete(
    "/items/{item_id:text}",
    status_code=204,
    response_class=Response,
    responses={**replayable(204), **problems("item-not-found", *READ, "registry-full", *KEYED)},
    openapi_extra=takes_key(needs("write")),
)
async def delete_item(item_id: ItemId, request: Request, runtime: ReadyDep) -> Response:
    """Stop serving an item. An item of the catalogue stays deleted after a restart too."""
    try:
        check_item_id(item_id)
    except InvalidItem:
        raise UnknownItem(item_id) from None  # PostgreSQL cannot even be asked for some that can be no id
    key = await idempotency_key_of(request)
    once = IdempotentRequest(key, _deleted) if key else None
    result = await runtime.run_write(lambda engine: engine.writer.delete(item_id, once))
    runtime.metrics.observe_write("replayed" if result.replayed else "deleted")
    return reply(result, _deleted)


async def _write(item: Item, replacing: bool, request: Request, runtime: Runtime) -> Response:
    """Write one item, under the request's idempotency key if it has one."""
    key = await idempotency_key_of(request)
    once = IdempotentRequest(key, _one_item) if key else None
    result = await runtime.run_write(lambda engine: engine.writer.write([item], replacing, once))
    response = reply(result, _one_item)  # which raises a conflict: metrics count the HTTP status of that
    _observe(runtime.metrics, result)
    return response


def _observe(metrics: Metrics, result: WriteResult) -> None:
    if result.replayed:
        metrics.observe_write("replayed")
    for written in result.results:
        if isinstance(written, ItemRegistered):
            metrics.observe_write(written.outcome, _percentile(written))
        else:
            metrics.observe_write("refused")


def _one_item(results: Results) -> StoredAnswer:
    """The answer to a write of one item. Raises its ItemConflict, so that the service stores no refusal."""
    (result,) = results
    if isinstance(result, ItemConflict):
        raise result
    return stored(answer(result, _CREATED[result.outcome]))


def _deleted(results: Results) -> StoredAnswer:
    return StoredAnswer(204, b"")


def _percentile(written: ItemRegistered) -> float | None:
    """For the metric of new texts. None for an item that was there already."""
    return None if written.outcome == "unchanged" else written.quantization_error_percentile
