"""The HTTP contract, on a live server: statuses, bodies, headers, and the OpenAPI document that describes
them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.contract import answers
from service.contract.operation_answers import VersionResponse
from service.contract.problems import ProblemDetails
from tests.support.service import Client, fits, item_path, make_artifact, make_settings, serving


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    make_artifact(folder / "artifacts")
    with serving(make_settings(folder / "artifacts", folder)) as client:
        yield client


def test_recommend(client: Client) -> None:
    reply = client.post("/recommend", {"history": ["item-1", "nope"], "k": 3, "explain": True, "diversity": 0.3})
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    body = fits(answers.RecommendResponse, reply.body)
    assert len(body["items"]) == 3
    assert (body["model_version"], body["strategy"], body["unknown_history"]) == ("v1", "model", ["nope"])
    assert body["unknown_filter"] == []
    for item in body["items"]:
        assert item["reasons"]["semantic"] + item["reasons"]["id"] == item["score"]
    for history in ([], ["item-1"]):
        misspelt = client.recommend(*history, filter={"brnad": ["Alba"], "brand": ["Nobody's"]})
        assert (misspelt["items"], misspelt["unknown_filter"]) == ([], ["brnad"])
    plain = client.recommend("item-1")
    assert len(plain["items"]) == 10
    assert "reasons" not in plain["items"][0]


def test_recommend_batch_answers_each_entry(client: Client) -> None:
    entries = [
        {"history": ["item-1"], "k": 2},
        {"history": [], "k": 0},
        {"history": []},
        {"k": 10**6, "history": []},
        7,
    ]
    reply = client.post("/recommend/batch", {"requests": entries})
    assert reply.status == 200
    results = fits(answers.RecommendBatchResponse, reply.body)["results"]
    assert [entry["status"] for entry in results] == [200, 422, 200, 422, 422]
    assert results[0]["result"]["items"][0]["item_id"] == client.recommend("item-1", k=1)["items"][0]["item_id"]
    assert [entry["problem"]["field"] for entry in (results[1], results[3])] == ["k", "k"]
    assert results[2]["result"]["strategy"] == "popularity"


def test_the_life_of_an_item(client: Client) -> None:
    item: dict[str, Any] = {
        "item_id": "life/of an item?#ü",
        "title": "Red soap",
        "brand": "Alba",
        "attributes": {"n": 1},
    }
    path = item_path(item["item_id"])
    created = client.post("/items", item)
    body = fits(answers.ItemRegistered, created.body)
    assert (created.status, body["outcome"], body["cold"], body["revision"]) == (201, "created", True, 1)
    assert 0 <= body["quantization_error_percentile"] <= 100
    assert body["attributes"] == {"title": "Red soap", "brand": "Alba", "n": 1}

    same = client.post("/items", item)
    assert (same.status, fits(answers.ItemRegistered, same.body)["outcome"]) == (200, "unchanged")
    other = client.post("/items", item | {"title": "Blue soap"})
    problem = fits(ProblemDetails, other.body)
    assert (other.status, problem["type"], problem["field"]) == (409, "/problems/item-conflict", "item_id")
    assert other.headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == other.headers["x-request-id"]

    read = client.get(path)
    assert (read.status, fits(answers.ItemPublic, read.body)["item_id"]) == (200, item["item_id"])
    content = {key: value for key, value in item.items() if key != "item_id"}
    replaced = client.put(path, content | {"title": "Blue soap"})
    assert (replaced.status, replaced.json()["outcome"], replaced.json()["revision"]) == (200, "replaced", 2)

    assert client.recommend(item["item_id"])["strategy"] == "model"
    found = client.recommend("item-1", k=500)["items"]
    assert item["item_id"] in [entry["item_id"] for entry in found]
    similar = client.get(path + "/similar?k=4&by=hybrid")
    assert len(fits(answers.SimilarResponse, similar.body)["items"]) == 4

    assert client.delete(path).status == 204
    assert client.delete(path).status == 404
    assert client.get(path).status == 404
    assert client.get(path + "/similar").status == 404
    new = client.put(path, content)
    assert (new.status, new.json()["outcome"]) == (201, "created")
    assert client.delete(path).status == 204


def test_items_in_a_batch_succeed_and_fail_by_themselves(client: Client) -> None:
    entries = [
        {"item_id": "b-1", "title": "lamp"},
        {"item_id": "item-1", "title": "taken"},
        {"item_id": "b-1", "title": "lamp"},
        {"item_id": "b-2"},
        {"item_id": "b-3", "title": "x", "colour": "red"},
        {"item_id": "b-4", "title": "x", "attributes": {"n": None}},
        "no item",
    ]
    reply = client.post("/items/batch", {"items": entries})
    assert reply.status == 200
    results = fits(answers.ItemBatchResponse, reply.body)["results"]
    assert [entry["status"] for entry in results] == [201, 409, 200, 422, 422, 422, 422]
    assert [entry["problem"].get("field") for entry in results[3:6]] == ["text", "colour", "attributes.n"]
    assert client.get("/items/b-1").status == 200
    assert client.get("/items/b-2").status == 404
    client.delete("/items/b-1")


def test_items_are_listed_by_pages(client: Client) -> None:
    client.post("/items", {"item_id": "listed", "title": "lamp"})
    seen: list[str] = []
    cursor = ""
    while True:
        page = fits(answers.ItemList, client.get(f"/items?limit=100{cursor}").body)
        seen += [item["item_id"] for item in page["items"]]
        if "next_cursor" not in page:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"item-{n}" for n in range(240)] + ["listed"]
    registered = client.get("/items?source=registered").json()
    assert [item["item_id"] for item in registered["items"]] == ["listed"]
    assert client.get("/items?item_id=listed").json()["items"] == registered["items"]
    assert client.get("/items?item_id=nope").json() == {"items": []}
    client.delete("/items/listed")


@pytest.mark.parametrize("item_id", ["export", "batch", "a/similar", "similar", "/", "a//b", "..", "%2F", "a b", "ü/€"])
def test_ids_that_look_like_paths(client: Client, item_id: str) -> None:
    assert client.post("/items", {"item_id": item_id, "title": "odd"}).status == 201
    found = client.get("/items?item_id=" + item_path(item_id).removeprefix("/items/").replace("/", "%2F")).json()
    assert [item["item_id"] for item in found["items"]] == [item_id]
    if item_id not in ("export", "a/similar"):
        assert client.get(item_path(item_id)).json()["item_id"] == item_id
    assert client.get(item_path(item_id) + "/similar").json()["item_id"] == item_id
    assert client.put(item_path(item_id), {"title": "odd"}).status == 200
    assert client.delete(item_path(item_id)).status == 204
    assert client.get("/items?item_id=" + item_path(item_id).removeprefix("/items/")).json()["items"] == []


def test_an_export_can_be_registered_again(client: Client) -> None:
    items = [
        {"item_id": f"e-{n}", "title": "ü lamp", "text": "own\u2028text", "attributes": {"n": n, "t": ["a"]}}
        for n in range(3)
    ]
    client.post("/items/batch", {"items": items})
    reply = client.get("/items/export?source=registered")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/jsonl")
    lines = [json.loads(line) for line in reply.body.decode().split("\n")[:-1]]
    assert [line["item_id"] for line in lines] == ["e-0", "e-1", "e-2"]
    again = client.post("/items/batch", {"items": lines}).json()
    assert [entry["status"] for entry in again["results"]] == [200, 200, 200]
    everything = client.get("/items/export").body.decode().split("\n")[:-1]
    assert len(everything) == 243
    for item in items:
        client.delete(f"/items/{item['item_id']}")


@pytest.mark.parametrize("item_id", ["serum/1", "export"])
def test_what_an_item_holds_can_be_registered_again(client: Client, item_id: str) -> None:
    content = {
        "title": "Serum",
        "description": "Bright.",
        "price": 3.5,
        "categories": ["Beauty"],
        "attributes": {"a": 1},
    }
    assert client.put(item_path(item_id), content).status == 201
    assert "content" not in client.get(f"/items?item_id={item_id}").json()["items"][0]
    for path in (f"/items?item_id={item_id}&content=true", "/items?source=registered&content=true"):
        (shown,) = fits(answers.ItemList, client.get(path).body)["items"]
        assert shown["content"] == content
    if item_id != "export":
        shown = fits(answers.ItemPublic, client.get(item_path(item_id) + "?content=true").body)
        assert shown["content"] == content
    again = client.put(item_path(item_id), shown["content"])
    assert (again.status, again.json()["outcome"]) == (200, "unchanged")
    assert client.delete(item_path(item_id)).status == 204


def test_probes_and_version(client: Client) -> None:
    assert fits(answers.Liveness, client.get("/livez").body) == {"status": "alive"}
    assert fits(answers.Readiness, client.get("/readyz").body) == {"status": "ready", "model_version": "v1"}
    version = fits(VersionResponse, client.get("/version").body)
    assert (version["items"], version["index"]) == (240, {"kind": "flat", "recall_at_10": 1.0})


def test_openapi_describes_every_route_with_examples(client: Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    expected = {
        "/recommend": {"post"},
        "/recommend/batch": {"post"},
        "/items": {"get", "post"},
        "/items/batch": {"post"},
        "/items/export": {"get"},
        "/items/preview": {"post"},
        "/items/{item_id}": {"get", "put", "delete"},
        "/items/{item_id}/similar": {"get"},
        "/search": {"get"},
        "/examples": {"get"},
        "/codes": {"get"},
        "/map": {"get"},
        "/livez": {"get"},
        "/readyz": {"get"},
        "/metrics": {"get"},
        "/version": {"get"},
        "/model": {"get"},
    }
    assert {path: set(methods) for path, methods in document["paths"].items()} == expected

    def has_example(content: dict[str, Any]) -> bool:
        reference = content.get("schema", {}).get("$ref", "")
        return "example" in content or bool(schemas.get(reference.rpartition("/")[2], {}).get("examples"))

    for methods in document["paths"].values():
        for operation in methods.values():
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            for answer in [*bodies, *operation["responses"].values()]:
                for media_type, content in answer.get("content", {}).items():
                    assert has_example(content), (operation["operationId"], media_type)
            assert "HTTPValidationError" not in json.dumps(operation)
            for parameter in operation.get("parameters", []):
                assert parameter["schema"].get("examples") or parameter.get("example"), parameter["name"]


def test_the_examples_of_openapi_work(client: Client) -> None:
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "requestBody" not in operation:
                continue
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            for example in document["components"]["schemas"][reference.rpartition("/")[2]]["examples"]:
                reply = client(method.upper(), path.replace("{item_id}", "serum-1"), example)
                assert reply.status in (200, 201), (path, reply.body)
    assert client.delete("/items/serum-1").status == 204


def test_every_reference_of_openapi_resolves(client: Client) -> None:
    text = client.get("/openapi.json").body.decode()
    schemas = json.loads(text)["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= set(schemas)
