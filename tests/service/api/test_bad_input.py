"""Bad input in requests that are JSON: each kind gets its problem, none gets a 5xx, and the service answers
on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.service import Client, make_artifact, make_settings, refused, serving

LONG_ID = "x" * 10_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    make_artifact(folder / "artifacts")
    settings = make_settings(
        folder / "artifacts",
        folder,
        history_max=50,
        batch_max=4,
        text_max=1000,
        categories_max=3,
        attributes_max=4,
        attributes_size_max=300,
        filter_max=5,
        k_max=100,
    )
    with serving(settings) as client:
        yield client
        assert client.recommend("item-1")["strategy"] == "model"


@pytest.mark.parametrize(
    ("options", "kind", "field"),
    [
        ({"k": 0}, "invalid-request", "k"),
        ({"k": -1}, "invalid-request", "k"),
        ({"k": 101}, "limit-exceeded", "k"),
        ({"k": 10**6}, "limit-exceeded", "k"),
        ({"k": 10**400 - 1}, "limit-exceeded", "k"),
        ({"k": 1.5}, "invalid-request", "k"),
        ({"k": "10"}, "invalid-request", "k"),
        ({"k": True}, "invalid-request", "k"),
        ({"k": None}, "invalid-request", "k"),
        ({"history": "item-1"}, "invalid-request", "history"),
        ({"history": [1]}, "invalid-request", "history.0"),
        ({"history": [["item-1"]]}, "invalid-request", "history.0"),
        ({"history": None}, "invalid-request", "history"),
        ({"history": ["item-1"] * 51}, "limit-exceeded", "history"),
        ({"history": ["item-1", LONG_ID]}, "invalid-item", "history.1"),
        ({"history": ["a\u0000b"]}, "invalid-item", "history.0"),
        ({"history": ["a\nb"]}, "invalid-item", "history.0"),
        ({"history": ["\ud800"]}, "invalid-item", "history.0"),
        ({"history": [""]}, "invalid-item", "history.0"),
        ({"exclude": ["item-1", " x"]}, "invalid-item", "exclude.1"),
        ({"exclude": ["item-1"] * 51}, "limit-exceeded", "exclude"),
        ({"exclude_seen": 1}, "invalid-request", "exclude_seen"),
        ({"diversity": 1.1}, "invalid-request", "diversity"),
        ({"diversity": -0.1}, "invalid-request", "diversity"),
        ({"filter": {"brand": []}}, "invalid-request", "filter.brand"),
        ({"filter": {"brand": "Alba"}}, "invalid-request", "filter.brand"),
        ({"filter": {"brand": [None]}}, "invalid-request", "filter.brand.0"),
        ({"filter": {"brand": [["Alba"]]}}, "invalid-request", "filter.brand.0"),
        ({"filter": {"brand": list(range(6))}}, "limit-exceeded", "filter"),
        ({"colour": 1}, "invalid-request", "colour"),
        ({LONG_ID: 1}, "invalid-request", "x" * 120 + "…"),
    ],
)
def test_recommend_refuses(client: Client, options: dict[str, Any], kind: str, field: str) -> None:
    problem = refused(client.post("/recommend", {"history": ["item-1"]} | options), 422, kind, field)
    assert problem["detail"].startswith(field[:80])


def test_odd_but_valid_requests_are_answered(client: Client) -> None:
    assert client.recommend("nope", "öde/pfade", "x" * 256)["strategy"] == "popularity"
    strange = client.recommend("item-1", filter={"\ud800": ["\ud800"], "x" * 10_000: [1]})
    assert (strange["items"], strange["unknown_filter"]) == ([], ["?", "x" * 256 + "…"])
    assert client.recommend("item-1", filter={"stock": [10**300, -1, 1.0]})["items"]
    assert client.recommend("item-1", k=100, exclude=["item-2"] * 50)["strategy"] == "model"


def test_a_missing_history_is_named(client: Client) -> None:
    refused(client.post("/recommend", {}), 422, "invalid-request", "history")


def test_an_unknown_field_is_named_before_one_that_is_missing_for_it(client: Client) -> None:
    problem = refused(client.post("/recommend", {"histroy": ["item-1"]}), 422, "invalid-request", "histroy")
    assert problem["detail"] == "histroy: is not a field that is known here (and 1 more)"
    batch = client.post("/recommend/batch", {"requests": [{"k": 0, "histroy": []}]}).json()
    assert batch["results"][0]["problem"]["field"] == "histroy"


@pytest.mark.parametrize(
    ("item", "kind", "field"),
    [
        ({"item_id": LONG_ID}, "invalid-item", "item_id"),
        ({"item_id": ""}, "invalid-item", "item_id"),
        ({"item_id": "a\u0007b"}, "invalid-item", "item_id"),
        ({"item_id": "a\u0085b"}, "invalid-item", "item_id"),
        ({"item_id": "\udfff"}, "invalid-item", "item_id"),
        ({"item_id": " a"}, "invalid-item", "item_id"),
        ({"item_id": 7}, "invalid-request", "item_id"),
        ({"item_id": None}, "invalid-request", "item_id"),
        ({"title": None}, "invalid-item", "text"),
        ({"title": ""}, "invalid-item", "text"),
        ({"title": " \u0000\n\t "}, "invalid-item", "text"),
        ({"title": None, "price": 5.0}, "invalid-item", "text"),
        ({"title": 5}, "invalid-request", "title"),
        ({"title": "x" * 1001}, "limit-exceeded", "text"),
        ({"text": "x" * 100_000}, "limit-exceeded", "text"),
        ({"title": "x" * 600, "categories": ["y" * 401]}, "limit-exceeded", "text"),
        ({"categories": ["a", "b", "c", "d"]}, "limit-exceeded", "categories"),
        ({"categories": "a"}, "invalid-request", "categories"),
        ({"categories": [1]}, "invalid-request", "categories.0"),
        ({"price": -1}, "invalid-request", "price"),
        ({"price": "1"}, "invalid-request", "price"),
        ({"price": 10**399}, "invalid-request", "price"),
        ({"attributes": {"n": 10**399}}, "invalid-item", "attributes.n"),
        ({"attributes": {"n": 2**63}}, "invalid-item", "attributes.n"),
        ({"attributes": {"n": None}}, "invalid-request", "attributes.n"),
        ({"attributes": {"n": {"deep": 1}}}, "invalid-request", "attributes.n"),
        ({"attributes": {"n": [1]}}, "invalid-request", "attributes.n"),
        ({"attributes": {"": 1}}, "invalid-item", "attributes"),
        ({"attributes": {"\u0000": 1}}, "invalid-item", "attributes"),
        ({"attributes": [1]}, "invalid-request", "attributes"),
        ({"attributes": {f"n{n}": n for n in range(5)}}, "limit-exceeded", "attributes"),
        ({"attributes": {"n": "x" * 400}}, "limit-exceeded", "attributes"),
        ({"attributes": {"x" * 400: 1}}, "limit-exceeded", "attributes"),
        ({"id": "a"}, "invalid-request", "id"),
    ],
)
def test_items_that_cannot_be_accepted(client: Client, item: dict[str, Any], kind: str, field: str) -> None:
    whole = {"item_id": "bad", "title": "lamp"} | item
    refused(client.post("/items", whole), 422, kind, field)
    batch = client.post("/items/batch", {"items": [whole]}).json()["results"][0]
    assert (batch["status"], batch["problem"]["field"]) == (422, field)
    if "item_id" not in item:
        content = {key: value for key, value in whole.items() if key != "item_id"}
        refused(client.put("/items/bad", content), 422, kind, field)
    assert client.get("/items/bad").status == 404


def test_texts_are_repaired(client: Client) -> None:
    item = {"item_id": "repaired", "title": "a\ud800b\u0000 c\r\n", "attributes": {"x\u0001": "\udc00"}}
    created = client.post("/items", item)
    assert created.status == 201
    assert created.json()["attributes"] == {"title": "a\ufffdb c", "x": "\ufffd"}
    assert client.post("/items", item).status == 200
    assert client.delete("/items/repaired").status == 204


@pytest.mark.parametrize("count", [0, 5])
def test_batches_have_a_size(client: Client, count: int) -> None:
    kind = "limit-exceeded" if count else "invalid-request"
    refused(client.post("/recommend/batch", {"requests": [{"history": []}] * count}), 422, kind, "requests")
    refused(client.post("/items/batch", {"items": [{"item_id": "a", "title": "b"}] * count}), 422, kind, "items")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=-1", "cursor"),
        ("cursor=" + "9" * 33, "cursor"),
        ("cursor=" + "9" * 30, "cursor"),
        ("cursor=%D9%A1", "cursor"),
        ("cursor=x&item_id=item-1", "cursor"),
        ("source=nowhere", "source"),
    ],
)
def test_bad_pages_are_refused(client: Client, query: str, field: str) -> None:
    reply = client.get(f"/items?{query}")
    assert reply.status == 422
    assert reply.json()["field"] == field


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/items?limit=2&limit=3", "limit"),
        ("/items?cursor=1&source=all&cursor=1", "cursor"),
        ("/items?item_id=a&%69tem_id=item-1", "item_id"),
        ("/items?content=true&content=", "content"),
        ("/items/export?source=all&source=registered", "source"),
        ("/items/item-1?content=true&content=false", "content"),
        ("/items/item-1/similar?k=1&k=2", "k"),
        ("/examples?count=1&count=2", "count"),
    ],
)
def test_a_parameter_is_given_once(client: Client, path: str, field: str) -> None:
    reply = client.get(path)
    assert refused(reply, 422, "invalid-request", field)["detail"] == f"{field}: is given twice"


def test_a_parameter_that_is_a_list_is_given_often(client: Client) -> None:
    codes = client.get("/items/item-1").json()["semantic_id"]
    below = client.get("/codes?" + "&".join(f"prefix={code}" for code in codes))
    assert (below.status, below.json()["prefix"]) == (200, codes)
    assert "item-1" in [item["item_id"] for item in below.json()["found"]]
    for code, field in (("%ff", "prefix"), ("-1", "prefix.1"), ("x", "prefix.1")):
        assert refused(client.get(f"/codes?prefix=1&prefix={code}"), 422, "invalid-request", field)


def test_parameters_that_mean_nothing_here_are_passed_over(client: Client) -> None:
    for query in ("?utm=1&utm=2", "?", "?&&", "?=&=", "?limit=1&utm=%ff&utm", "?limit=1&LIMIT=x"):
        assert client.get("/items" + query).status == 200


@pytest.mark.parametrize("k", ["0", "101", "x", "1e3", "9" * 400])
def test_similar_refuses_bad_counts(client: Client, k: str) -> None:
    reply = client.get(f"/items/item-1/similar?k={k}")
    assert (reply.status, reply.json()["field"]) == (422, "k")
    assert client.get("/items/item-1/similar?by=feeling").json()["field"] == "by"


def test_put_refuses_an_id_it_cannot_keep(client: Client) -> None:
    for path in ("/items/" + LONG_ID, "/items/%00", "/items/", "/items/%20"):
        refused(client.put(path, {"title": "x"}), 422, "invalid-item", "item_id")
    refused(client.put("/items/a", {"title": "x", "item_id": "a"}), 422, "invalid-request", "item_id")
