"""The corpus of nasty input, replayed: each gets an answer that the document declares, and the service goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis

from tests.campaigns.fuzz.nasty import BODIES, IDS, NO_UTF_8, RAW, REFUSED_IDS
from tests.support.postgres import Server
from tests.support.service import Client, Reply, make_settings, refused, serving
from tests.support.wire import exchange


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def client(request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    changes: dict[str, Any] = {"read_timeout": 2}
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        changes["database_url"] = server.database()
    with serving(make_settings(root, tmp_path_factory.mktemp("service"), **changes)) as client:
        yield client
        assert client.recommend("item-1")["strategy"] == "model"


@pytest.fixture(scope="module")
def document(client: Client) -> Any:
    return schemathesis.openapi.from_dict(client.get("/openapi.json").json())


def declared(document: Any, method: str, path: str, reply: Reply) -> Reply:
    """`reply`, once it is what the document declares for the operation."""
    answer = httpx.Response(
        reply.status, headers=dict(reply.headers), content=reply.body, request=httpx.Request(method, "http://x")
    )
    answer.elapsed = timedelta(0)  # httpx sets it when it has sent the request itself
    document[path][method].validate_response(answer)
    assert reply.status < 500, reply.body
    return reply


@pytest.mark.parametrize("name", BODIES)
def test_bodies(client: Client, document: Any, name: str) -> None:
    for method, path in (
        ("POST", "/recommend"),
        ("POST", "/recommend/batch"),
        ("POST", "/items"),
        ("POST", "/items/batch"),
        ("PUT", "/items/{item_id}"),
    ):
        declared(document, method, path, client(method, path.replace("{item_id}", "nasty"), BODIES[name]))
    reply = client.get("/items/nasty")
    if reply.status == 200:  # what was accepted can be read, recommended and listed
        declared(document, "GET", "/items/{item_id}", reply)
        assert client.recommend("nasty", k=500)["strategy"] == "model"
        assert [json.loads(line)["item_id"] for line in client.get("/items/export?source=registered").body.splitlines()]
        assert client.delete("/items/nasty").status == 204


@pytest.mark.parametrize("item_id", IDS)
def test_ids_that_are_kept(client: Client, document: Any, item_id: str) -> None:
    path = "/items/" + quote(item_id)
    assert declared(document, "POST", "/items", client.post("/items", {"item_id": item_id, "title": "x"})).status == 201
    listed = client.get("/items?item_id=" + quote(item_id, safe=""))
    found = declared(document, "GET", "/items", listed).json()["items"]
    assert [item["item_id"] for item in found] == [item_id]
    assert client.recommend(item_id)["unknown_history"] == []
    put = declared(document, "PUT", "/items/{item_id}", client.put(path, {"title": "y"}))
    assert (put.status, put.json()["item_id"]) == (200, item_id)
    similar = declared(document, "GET", "/items/{item_id}/similar", client.get(path + "/similar"))
    assert similar.json()["item_id"] == item_id
    assert declared(document, "DELETE", "/items/{item_id}", client.delete(path)).status == 204
    assert client.get("/items?source=registered").json() == {"items": []}


@pytest.mark.parametrize("item_id", REFUSED_IDS)
def test_ids_that_are_refused(client: Client, document: Any, item_id: str) -> None:
    refused(client.post("/items", {"item_id": item_id, "title": "x"}), 422, "invalid-item", "item_id")
    refused(client.post("/recommend", {"history": [item_id]}), 422, "invalid-item", "history.0")
    path = "/items/" + quote(item_id)
    refused(client.put(path, {"title": "x"}), 422, "invalid-item", "item_id")
    for method, template, asked in (
        ("GET", "/items/{item_id}", path),
        ("DELETE", "/items/{item_id}", path),
        ("GET", "/items/{item_id}/similar", path + "/similar"),
    ):
        assert declared(document, method, template, client(method, asked)).status == 404


@pytest.mark.parametrize("escaped", NO_UTF_8)
def test_ids_that_are_not_utf_8(client: Client, document: Any, escaped: str) -> None:
    path = "/items/" + escaped
    for method, template, asked, body in (
        ("PUT", "/items/{item_id}", path, {"title": "x"}),
        ("GET", "/items/{item_id}", path, None),
        ("GET", "/items/{item_id}/similar", path + "/similar", None),
        ("DELETE", "/items/{item_id}", path, None),
    ):
        reply = declared(document, method, template, client(method, asked, body))
        assert "is not UTF-8" in refused(reply, 422, "invalid-item", "item_id")["detail"]
    listed = declared(document, "GET", "/items", client.get(f"/items?item_id={escaped}"))
    assert "is not UTF-8" in refused(listed, 422, "invalid-request", "item_id")["detail"]
    assert client.get("/items?source=registered").json() == {"items": []}


@pytest.mark.parametrize("name", RAW)
def test_what_is_hardly_http(client: Client, name: str) -> None:
    sent, statuses = RAW[name]
    replies = exchange(client.port, sent, len(statuses))
    assert [reply.status for reply in replies] == list(statuses), replies
    for reply in replies:
        if reply.status >= 400:
            assert reply.headers["content-type"] == "application/problem+json"
            problem = json.loads(reply.body)
            refused(reply, reply.status, problem["type"].removeprefix("/problems/"), problem.get("field"))
        assert reply.headers.get("x-injected") is None
