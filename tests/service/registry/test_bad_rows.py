"""Rows of the registry that are no items: the others are served, and theirs can be written anew and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, update

from model.items import Item
from service.registry.registry import Registry
from service.registry.tables import items_table
from service.settings import Settings
from tests.support.service import Client, make_settings, refused, serving, until

SOAP = {"item_id": "soap", "title": "red soap"}
BAD = ("soap", "tent", "item-3", "item-5")


@pytest.fixture
def settings(root: Path, tmp_path: Path, database_url: str) -> Settings:
    """Of a service whose registry has two bad rows of its own, two of items of the artifact, and a good one."""
    registry = Registry(database_url)
    items = [Item(item_id, title="red soap") for item_id in (*BAD, "good")]
    registry.write(lambda transaction: [transaction.put(item, None) for item in items])
    registry.close()
    change(database_url, BAD, content='{"item_id": "soap", "price": "free"}')
    return make_settings(root, tmp_path, database_url=database_url)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with serving(settings) as client:
        yield client


def change(url: str, item_ids: tuple[str, ...], **values: str | int) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(items_table).where(items_table.c.item_id.in_(item_ids)).values(**values))
    engine.dispose()


def test_the_others_are_served_and_the_artifact_has_none_of_theirs(client: Client) -> None:
    assert client.get("/items/good").status == 200
    for item_id in BAD:
        refused(client.get(f"/items/{item_id}"), 404, "item-not-found", "item_id")
    assert client.get("/version").json()["items"] == 239
    assert client.recommend("item-3")["unknown_history"] == ["item-3"]


def test_they_are_logged(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with serving(settings):
        pass
    reasons = {vars(record)["reason"] for record in caplog.records if record.message == "a row is not served"}
    told = {item_id for item_id in BAD for reason in reasons if f"row of item {item_id!r} is no item" in reason}
    assert (told, len(reasons)) == (set(BAD), len(BAD))


def test_they_are_replaced_and_deleted(settings: Settings) -> None:
    with serving(settings) as client:
        reply = client.put("/items/soap", {"title": "blue soap"})
        assert (reply.status, reply.json()["outcome"], reply.json()["revision"]) == (200, "replaced", 2)
        assert client.put("/items/item-3", {"title": "blue lamp"}).status == 200
        assert client.delete("/items/tent").status == 204
        assert client.delete("/items/item-5").status == 204
        assert client.delete("/items/tent").status == 404
    with serving(settings) as client:
        assert client.get("/items/soap").json()["attributes"]["title"] == "blue soap"
        assert client.get("/items/item-3").json()["attributes"]["title"] == "blue lamp"
        assert [client.get(f"/items/{item_id}").status for item_id in ("tent", "item-5")] == [404, 404]


def test_the_same_content_mends_them_and_other_content_is_a_conflict(client: Client) -> None:
    refused(client.post("/items", SOAP | {"title": "blue soap"}), 409, "item-conflict", "item_id")
    reply = client.post("/items", SOAP)
    assert (reply.status, reply.json()["outcome"], reply.json()["revision"]) == (200, "replaced", 2)
    assert client.get("/items/soap").status == 200
    assert client.post("/items", SOAP).json()["outcome"] == "unchanged"


def test_under_a_key_too(client: Client) -> None:
    replies = [client("POST", "/items", SOAP, {"Idempotency-Key": '"once"'}) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    assert client("DELETE", "/items/tent", headers={"Idempotency-Key": '"gone"'}).status == 204
    assert client("PUT", "/items/item-5", {"title": "x"}, {"Idempotency-Key": '"put"'}).status == 200


def test_a_batch_with_one_accepts_the_others(client: Client) -> None:
    items = [{"item_id": "new", "title": "x"}, SOAP | {"title": "blue soap"}, {"item_id": "tent", "title": "red soap"}]
    results = client.post("/items/batch", {"items": items}).json()["results"]
    assert [result["status"] for result in results] == [201, 409, 200]
    assert [client.get(f"/items/{item_id}").status for item_id in ("new", "soap", "tent")] == [200, 404, 200]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_that_is_put_right_is_served_without_a_start(client: Client, settings: Settings) -> None:
    change(settings.database_url, ("soap",), content='{"item_id": "soap", "title": "green soap"}')
    until(lambda: client.get("/items/soap").status == 200)
    assert client.get("/items/soap").json()["attributes"]["title"] == "green soap"
