"""What the routes share: JSON answers, and OpenAPI's words on errors and on answers that are not JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Path
from pydantic import TypeAdapter
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from service.contract.problems import MEDIA_TYPE, TITLES, Problem
from service.security import problem_answers

DESCRIPTION = """\
Next-item recommendation that knows an item from its first minute.

**Item ids in paths** may hold slashes: `GET /items/a/b` is the item `a/b`. Percent-encode `?`, `#` and `%`;
escapes have to be UTF-8.
`GET /items/export` and any `GET /items/…/similar` are other resources. You can recommend, replace and delete an item
of such an id like any other; read it with `GET /items?item_id=…`.

**Texts and ids.** The service repairs texts: control characters and lone surrogates become blanks and U+FFFD. It
refuses them in an id.

**Keys.** If the service has keys, every operation but the probes needs one, of the scope that its `security` names or a
wider one: `read`, `write`, `admin`.

**Retries.** Writes take an `Idempotency-Key`. Send a request again with the same key and the same bytes, to any
replica: the service does not write again, and repeats its first answer with `Idempotency-Replayed: true`.

**Errors** are `application/problem+json` with a stable `type`. Answers echo your **X-Request-ID**, or have a new one.
"""

_STATUS = {
    "invalid-json": 400,
    "invalid-idempotency-key": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "item-not-found": 404,
    "request-timeout": 408,
    "item-conflict": 409,
    "body-too-large": 413,
    "unsupported-media-type": 415,
    "invalid-request": 422,
    "idempotency-key-reused": 422,
    "rate-limited": 429,
    "headers-too-large": 431,
    "not-ready": 503,
    "registry-full": 507,
}
READ = ("invalid-request", "not-ready")
READ_BODY = (*READ, "invalid-json", "request-timeout", "body-too-large", "unsupported-media-type")
KEYED = ("invalid-idempotency-key", "idempotency-key-reused")
WRITE_BODY = (*READ_BODY, "registry-full")
GUARDED = ("unauthorized", "forbidden", "rate-limited", "headers-too-large")


class AnyText(Convertor[str]):
    """A path parameter that takes all the rest. Starlette's `path` drops a line feed at the end, so that `/items/a%0A`
    would be the item `a`.
    """

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", AnyText())

ItemId = Annotated[str, Path(description="May hold slashes.", examples=["serum-1"])]


def problems(*types: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for problem types. Types of one status share a description and an example."""
    responses: dict[int | str, dict[str, Any]] = {}
    for type_ in types:
        status = _STATUS[type_]
        if status in responses:
            responses[status]["description"] += f"; {TITLES[type_]}"
            continue
        responses[status] = {
            "description": TITLES[type_],
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                    "example": json.loads(problem_answers.body(Problem(type_, status, "…"), "5f2c6f1e0c2b4d9f")),
                }
            },
        }
    return responses


def next_steps() -> dict[str, Any]:
    """OpenAPI `links` of an answer that is an item: the requests that can follow."""
    item_id = "$response.body#/item_id"
    path = {"item_id": item_id}
    return {
        "links": {
            "read": {"operationId": "read_item", "parameters": path},
            "replace": {"operationId": "put_item", "parameters": path},
            "delete": {"operationId": "delete_item", "parameters": path},
            "similar": {"operationId": "similar", "parameters": path},
            "recommend": {"operationId": "recommend", "requestBody": {"history": [item_id]}},
        }
    }


def text(description: str, media_type: str, example: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for an answer that is not JSON."""
    content = {media_type: {"schema": {"type": "string"}, "example": example}}
    return {200: {"description": description, "content": content}}


def answer(value: object, status: int = 200) -> Response:
    """A JSON answer from one of the contract's dataclasses; members without a value are left out.

    Written straight from what the engine filled in: to validate it again would take longer than to compute it.
    """
    return Response(_written(value), status, media_type="application/json")


def answer_all(results: Iterable[object]) -> Response:
    """The answer `{"results": […]}`. Written one by one: in a thread, others come to their turn between two of them,
    where megabytes written at once would keep the interpreter.
    """
    body = b'{"results":[' + b",".join(map(_written, results)) + b"]}"
    return Response(body, media_type="application/json")


def _written(value: object) -> bytes:
    kind = type(value)
    writer = _WRITERS.get(kind)
    if writer is None:
        writer = _WRITERS[kind] = TypeAdapter(kind)
    return writer.dump_json(value, exclude_none=True)


_WRITERS: dict[type, TypeAdapter[Any]] = {}  # made at first use, a few milliseconds each
