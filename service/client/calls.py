"""The API's routes as calls: a function a route, from arguments to a request and how its answer is read.

Both clients make their methods from these functions (`service.client.clients`). Arguments are not checked here: the
service checks them, and says which one is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Required, TypedDict, TypeVar, Unpack, cast
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from service.client.errors import KindredError, NotFound, UnexpectedAnswer, of_problem
from service.contract.answers import (
    ItemBatchResponse,
    ItemList,
    ItemPublic,
    ItemRegistered,
    Liveness,
    Readiness,
    RecommendBatchResponse,
    RecommendResponse,
    SimilarResponse,
)
from service.contract.operation_answers import ModelResponse, VersionResponse
from service.contract.problems import ProblemDetails
from service.contract.requests import AttributeValue, FilterValue, SimilarBy, Source

T = TypeVar("T")


class RecommendOptions(TypedDict, total=False):
    """The options of a recommendation, as in the API; what is left out has the service's default."""

    k: int
    exclude: Sequence[str]
    exclude_seen: bool
    filter: Mapping[str, Sequence[FilterValue]]
    diversity: float
    cold_share: float | None
    explain: bool


class RecommendQuery(RecommendOptions, total=False):
    """One entry of `recommend_batch`."""

    history: Required[Sequence[str]]


class ItemContent(TypedDict, total=False):
    """An item's text and attributes, as in the API."""

    title: str | None
    brand: str | None
    categories: Sequence[str]
    description: str | None
    price: float | None
    text: str | None
    attributes: Mapping[str, AttributeValue]


class NewItem(ItemContent, total=False):
    """One entry of `add_items`, and what `export` gives: `add_item(**item)`."""

    item_id: Required[str]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and `read`, from its answer's body and request id to what the call returns.

    idempotent: may be sent again though it may have been acted on. All of today's may. To recommend is to read; PUT
    and DELETE say what is to be; and what is registered goes out under an idempotency key, so that a retry is answered
    as the first attempt was.
    idempotency_key: "" for one that is made up; None for none.
    probe: asks how the service is at this moment, so it is sent once.
    """

    method: str
    path: str
    read: Callable[[bytes, str], T]
    idempotent: bool
    query: Mapping[str, str | int | list[str]] = field(default_factory=dict)
    body: bytes | None = None
    request_id: str | None = None
    probe: bool = False
    idempotency_key: str | None = None


def recommend(
    history: Sequence[str], *, request_id: str | None = None, **options: Unpack[RecommendOptions]
) -> Call[RecommendResponse]:
    """Items to come after a history of item ids, oldest first."""
    query: RecommendQuery = {"history": history, **options}
    return Call("POST", "/recommend", _read(RecommendResponse), True, body=_json(query), request_id=request_id)


def recommend_batch(
    requests: Iterable[RecommendQuery], *, request_id: str | None = None
) -> Call[list[RecommendResponse | KindredError]]:
    """The same for several histories at once; the error of an entry that is refused stands in its place."""
    body = _json({"requests": list(requests)})
    return Call("POST", "/recommend/batch", _read_recommendations, True, body=body, request_id=request_id)


def similar(
    item_id: str, *, k: int = 10, by: SimilarBy = "semantic", request_id: str | None = None
) -> Call[SimilarResponse]:
    """Items like an item: by what the texts share, or ("hybrid") also by what training learned of each."""
    path = item_path(item_id) + "/similar"
    return Call("GET", path, _read(SimilarResponse), True, query={"k": k, "by": by}, request_id=request_id)


def get_item(item_id: str, *, content: bool = False, request_id: str | None = None) -> Call[ItemPublic]:
    """One item; with `content`, what registering it again takes."""
    query: dict[str, str | int] = {"content": "true"} if content else {}
    if item_id == "export" or item_id.endswith("/similar"):  # such paths are other resources
        query["item_id"] = item_id
        return Call("GET", "/items", _read_only_item, True, query=query, request_id=request_id)
    return Call("GET", item_path(item_id), _read(ItemPublic), True, query=query, request_id=request_id)


def list_page(
    cursor: str | None, source: Source, page_size: int, content: bool, request_id: str | None
) -> Call[ItemList]:
    """A page of `list_items`."""
    query: dict[str, str | int] = {"limit": page_size, "source": source}
    if content:
        query["content"] = "true"
    if cursor is not None:
        query["cursor"] = cursor
    return Call("GET", "/items", _read(ItemList), True, query=query, request_id=request_id)


def export(source: Source, request_id: str | None) -> Call[NewItem]:
    """`read` takes one line of the answer."""
    return Call("GET", "/items/export", _read_line, True, query={"source": source}, request_id=request_id)


def add_item(
    item_id: str,
    *,
    idempotency_key: str | None = None,
    request_id: str | None = None,
    **content: Unpack[ItemContent],
) -> Call[ItemRegistered]:
    """Register an item; Conflict when its id has other content.

    Without an `idempotency_key` each call makes up one; with one, a later call repeats this one rather than its own.
    """
    item: NewItem = {"item_id": item_id, **content}
    return _write("POST", "/items", _read(ItemRegistered), _json(item), idempotency_key or "", request_id)


def add_items(
    items: Iterable[NewItem], *, idempotency_key: str | None = None, request_id: str | None = None
) -> Call[list[ItemRegistered | KindredError]]:
    """Register items in one transaction; the error of an entry that is refused stands in its place. The key is as in
    `add_item`.
    """
    body = _json({"items": list(items)})
    return _write("POST", "/items/batch", _read_registered, body, idempotency_key or "", request_id)


def replace_item(
    item_id: str,
    *,
    idempotency_key: str | None = None,
    request_id: str | None = None,
    **content: Unpack[ItemContent],
) -> Call[ItemRegistered]:
    """Register an item, or replace the one of its id as a whole."""
    return _write("PUT", item_path(item_id), _read(ItemRegistered), _json(content), idempotency_key, request_id)


def delete_item(item_id: str, *, idempotency_key: str | None = None, request_id: str | None = None) -> Call[None]:
    """Serve an item no more. NotFound is raised only when no attempt of this call can have deleted it."""
    return _write("DELETE", item_path(item_id), lambda body, request_id: None, None, idempotency_key, request_id)


def livez(*, request_id: str | None = None) -> Call[Liveness]:
    """Returns while the process runs. Asked once, without retries."""
    return Call("GET", "/livez", _read(Liveness), True, request_id=request_id, probe=True)


def readyz(*, request_id: str | None = None) -> Call[Readiness]:
    """Returns when recommendations are answered, else raises Unavailable. Asked once, without retries."""
    return Call("GET", "/readyz", _read(Readiness), True, request_id=request_id, probe=True)


def version(*, request_id: str | None = None) -> Call[VersionResponse]:
    """What is running; answers before the service is ready too."""
    return Call("GET", "/version", _read(VersionResponse), True, request_id=request_id)


def model(*, request_id: str | None = None) -> Call[ModelResponse]:
    """The model that serves: what it was made from and how, what was measured, what its tokens are."""
    return Call("GET", "/model", _read(ModelResponse), True, request_id=request_id)


def item_path(item_id: str) -> str:
    """Slashes stay; segments of dots alone are encoded, or they would be taken for steps in the path."""
    parts = item_id.split("/")
    return "/items/" + "/".join("%2E" * len(part) if part in (".", "..") else quote(part) for part in parts)


def _write(
    method: str,
    path: str,
    read: Callable[[bytes, str], T],
    body: bytes | None,
    idempotency_key: str | None,
    request_id: str | None,
) -> Call[T]:
    return Call(method, path, read, True, body=body, request_id=request_id, idempotency_key=idempotency_key)


def _json(value: object) -> bytes:
    """Raises ValueError for NaN and infinity, TypeError for what JSON has no form of."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}  # to make one takes milliseconds, to read by it microseconds


def _read(kind: type[T]) -> Callable[[bytes, str], T]:
    adapter = _ADAPTERS.get(kind)
    if adapter is None:
        adapter = _ADAPTERS[kind] = TypeAdapter(kind)

    def read(body: bytes, request_id: str) -> T:
        try:
            # The contract is closed, so that tests see a member that it does not name; a newer service may send some.
            answer: T = adapter.validate_json(body, extra="ignore")
        except ValidationError as error:
            # Without the input: a page that is not the service's is nobody's business in a log.
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "body"
            raise _unexpected(f"no {kind.__name__}: {where}: {first['msg']}", request_id) from None
        return answer

    return read


def _unexpected(what: str, request_id: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"the answer is {what}", request_id=request_id)


def _entry(value: T | None, problem: ProblemDetails | None, request_id: str) -> T | KindredError:
    if value is not None:
        return value
    if problem is None:
        raise _unexpected("a batch with an entry of neither result nor problem", request_id)
    return of_problem(problem, request_id)


def _read_recommendations(body: bytes, request_id: str) -> list[RecommendResponse | KindredError]:
    results = _read(RecommendBatchResponse)(body, request_id).results
    return [_entry(entry.result, entry.problem, request_id) for entry in results]


def _read_registered(body: bytes, request_id: str) -> list[ItemRegistered | KindredError]:
    results = _read(ItemBatchResponse)(body, request_id).results
    return [_entry(entry.item, entry.problem, request_id) for entry in results]


def _read_only_item(body: bytes, request_id: str) -> ItemPublic:
    items = _read(ItemList)(body, request_id).items
    if not items:
        kind = "/problems/item-not-found"
        raise NotFound("no such item is known", type=kind, status=404, field="item_id", request_id=request_id)
    return items[0]


def _read_line(line: bytes, request_id: str) -> NewItem:
    try:
        item: Any = json.loads(line)
    except ValueError:
        item = None
    if not (isinstance(item, dict) and isinstance(item.get("item_id"), str)):
        raise _unexpected("an export with a line that is no item", request_id)
    return cast("NewItem", item)
