"""The API's routes as calls. For each route a function turns arguments into a request and says how to read its answer.

Both clients make their methods from these functions (`service.client.clients`). The functions do not check arguments:
the service does, and its error names the wrong one.
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
    """The options of a recommendation, as in the API. The service has a default for each."""

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
    """One entry of `add_items`. `export` yields them too: `add_item(**item)` registers one again."""

    item_id: Required[str]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and `read`, which turns the answer's body and request id into what the call returns.

    idempotent: the client may send the request again, even if the service has acted on it. All calls of today are
    idempotent. A recommendation only reads. PUT and DELETE state the outcome. A registration carries an idempotency
    key, so a retry gets the answer of the first attempt.
    idempotency_key: "" makes the client choose one; None sends none.
    probe: asks for the state of the service at this moment, so the client sends it once.
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
    """Recommend items after a history of item ids, oldest first."""
    query: RecommendQuery = {"history": history, **options}
    return Call("POST", "/recommend", _read(RecommendResponse), True, body=_json(query), request_id=request_id)


def recommend_batch(
    requests: Iterable[RecommendQuery], *, request_id: str | None = None
) -> Call[list[RecommendResponse | KindredError]]:
    """Recommend for several histories. If the service refuses an entry, its error stands in its place."""
    body = _json({"requests": list(requests)})
    return Call("POST", "/recommend/batch", _read_recommendations, True, body=body, request_id=request_id)


def similar(
    item_id: str, *, k: int = 10, by: SimilarBy = "semantic", request_id: str | None = None
) -> Call[SimilarResponse]:
    """Find items similar to an item: by their texts, or ("hybrid") also by what training learned of each."""
    path = item_path(item_id) + "/similar"
    return Call("GET", path, _read(SimilarResponse), True, query={"k": k, "by": by}, request_id=request_id)


def get_item(item_id: str, *, content: bool = False, request_id: str | None = None) -> Call[ItemPublic]:
    """Read one item; with `content`, also all that you need to register it again."""
    query: dict[str, str | int] = {"content": "true"} if content else {}
    if item_id == "export" or item_id.endswith("/similar"):  # other resources have these paths
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
    """Register an item. Raises Conflict if its id has other content.

    Without an `idempotency_key` each call chooses its own. A later call with the same key and the same item gets the
    answer of this one.
    """
    item: NewItem = {"item_id": item_id, **content}
    return _write("POST", "/items", _read(ItemRegistered), _json(item), idempotency_key or "", request_id)


def add_items(
    items: Iterable[NewItem], *, idempotency_key: str | None = None, request_id: str | None = None
) -> Call[list[ItemRegistered | KindredError]]:
    """Register items in one transaction. If the service refuses an entry, its error stands in its place.

    `idempotency_key` works as in `add_item`.
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
    """Register an item, or replace all of the item that has its id."""
    return _write("PUT", item_path(item_id), _read(ItemRegistered), _json(content), idempotency_key, request_id)


def delete_item(item_id: str, *, idempotency_key: str | None = None, request_id: str | None = None) -> Call[None]:
    """Delete an item. Raises NotFound only if no attempt of this call can have deleted it."""
    return _write("DELETE", item_path(item_id), lambda body, request_id: None, None, idempotency_key, request_id)


def livez(*, request_id: str | None = None) -> Call[Liveness]:
    """Return while the process runs. The client asks once."""
    return Call("GET", "/livez", _read(Liveness), True, request_id=request_id, probe=True)


def readyz(*, request_id: str | None = None) -> Call[Readiness]:
    """Return if the service answers recommendations, else raise Unavailable. The client asks once."""
    return Call("GET", "/readyz", _read(Readiness), True, request_id=request_id, probe=True)


def version(*, request_id: str | None = None) -> Call[VersionResponse]:
    """Read what runs. The service answers this even before it is ready."""
    return Call("GET", "/version", _read(VersionResponse), True, request_id=request_id)


def model(*, request_id: str | None = None) -> Call[ModelResponse]:
    """Read the card of the model in use: its data, its training, its metrics and its tokens."""
    return Call("GET", "/model", _read(ModelResponse), True, request_id=request_id)


def item_path(item_id: str) -> str:
    """The path of an item. Slashes stay. Segments of dots are encoded, because servers read them as steps in a path."""
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
    """Raises ValueError for NaN and infinity, TypeError for a value that JSON cannot express."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}  # making one takes milliseconds, reading by it microseconds


def _read(kind: type[T]) -> Callable[[bytes, str], T]:
    adapter = _ADAPTERS.get(kind)
    if adapter is None:
        adapter = _ADAPTERS[kind] = TypeAdapter(kind)

    def read(body: bytes, request_id: str) -> T:
        try:
            # The contract is closed, so tests fail on members that it does not name. A newer service may send some.
            answer: T = adapter.validate_json(body, extra="ignore")
        except ValidationError as error:
            # Without the input: the page of another service does not belong in a log.
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
