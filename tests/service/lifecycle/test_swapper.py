"""A new artifact while the service runs: swapped at once, nothing lost."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from service.engine.engine import Engine
from service.lifecycle.runtime import Active, activate
from service.settings import Settings
from tests.support.service import Client, make_artifact, make_items, serving, until
from tests.support.swaps import HISTORY, metric, scores, use, version


def test_another_version_takes_over_with_what_was_registered(client: Client, root: Path) -> None:
    client.post("/items", {"item_id": "new", "title": "red soap"})
    client.put("/items/item-3", {"title": "a lamp now"})
    client.delete("/items/item-30")
    before = client.get("/items/new").json()
    use(client, root, "v2")
    assert client.recommend(*HISTORY)["model_version"] == "v2"
    assert client.get("/readyz").json()["model_version"] == "v2"
    after = client.get("/items/new").json()
    assert (after["revision"], after["attributes"]) == (before["revision"], before["attributes"])
    assert after["semantic_id"] != before["semantic_id"]  # tokenized anew
    assert client.get("/items/item-3").json()["attributes"]["title"] == "a lamp now"
    assert client.get("/items/item-30").status == 404
    assert client.get("/items/item-250").status == 200  # v2 alone has it
    assert client.get("/items/item-10").status == 404  # v1 alone had it
    assert client.post("/items", {"item_id": "newer", "title": "blue soap"}).status == 201
    assert "refused" not in client.get("/version").json()


def test_metrics_follow_the_new_engine(client: Client, root: Path) -> None:
    assert (metric(client, "kindred_index_items"), metric(client, "kindred_cold_items")) == (240, 4)
    make_artifact(root, "v3", items=make_items(120), untrained=7)
    until(lambda: version(client) == "v3")
    assert (metric(client, "kindred_index_items"), metric(client, "kindred_cold_items")) == (120, 7)
    until(lambda: metric(client, 'kindred_swaps_total{outcome="swapped"}') == 1)  # counted once it serves
    assert metric(client, "kindred_index_recall_at_10") == 1
    client.post("/items", {"item_id": "new", "title": "red soap"})
    assert metric(client, "kindred_index_items") == 121


def test_each_answer_is_of_one_version_and_no_request_fails(client: Client, root: Path, tmp_path: Path) -> None:
    expected = {name: scores(root, tmp_path / name, name) for name in ("v1", "v2")}
    seen: list[str] = []
    failures: list[object] = []
    ending = threading.Event()

    def check(answer: Any) -> None:
        own = expected[answer["model_version"]]
        for item in answer["items"]:
            if item["item_id"].startswith("item-") and item["score"] != pytest.approx(own[item["item_id"]], abs=1e-3):
                failures.append((answer["model_version"], item))
        seen.append(answer["model_version"])

    def call() -> None:
        own = Client(client.port)
        while not ending.is_set():
            reply = own.post("/recommend", {"history": HISTORY, "k": 20})
            batch = own.post("/recommend/batch", {"requests": [{"history": HISTORY, "k": 5}] * 20})
            if (reply.status, batch.status) != (200, 200):
                failures.append((reply, batch))
                return
            check(reply.json())
            answers = [entry["result"] for entry in batch.json()["results"]]
            if len({answer["model_version"] for answer in answers}) != 1:
                failures.append(batch.body)
            check(answers[0])
        own.close()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for name in ["v2", "v1"] * 3:
        use(client, root, name)
    ending.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(seen) == {"v1", "v2"}


def test_what_is_acknowledged_during_swaps_is_there_after_them_and_after_a_restart(
    settings: Settings, root: Path
) -> None:
    there: dict[str, str] = {}
    gone: set[str] = set()
    failures: list[object] = []
    ending = threading.Event()

    def write(name: str, port: int) -> None:
        own = Client(port)
        for number in range(10**6):
            if ending.is_set():
                break
            item_id, title = f"{name}-{number % 40}", f"soap {number}"
            reply = own.put(f"/items/{item_id}", {"title": title})
            if reply.status not in (200, 201):
                failures.append(reply)
            there[item_id] = title
            gone.discard(item_id)
            if own.get(f"/items/{item_id}").json()["attributes"]["title"] != title:
                failures.append(item_id)  # what was acknowledged is served at once, swap or not
            if number % 5 == 4:
                reply = own.delete(f"/items/{item_id}")
                if reply.status != 204 or own.get(f"/items/{item_id}").status != 404:
                    failures.append(reply)
                del there[item_id]
                gone.add(item_id)
        own.close()

    def check(client: Client) -> None:
        listed = client.get("/items?source=registered&limit=1000").json()["items"]
        assert {item["item_id"]: item["attributes"]["title"] for item in listed} == there
        assert gone.isdisjoint(item["item_id"] for item in listed)

    with serving(settings) as client:
        threads = [threading.Thread(target=write, args=(name, client.port)) for name in ("x", "y", "z")]
        for thread in threads:
            thread.start()
        for name in ["v2", "v1"] * 3:
            use(client, root, name)
        ending.set()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(there) > 20
        check(client)
    with serving(settings) as client:
        check(client)


def test_the_old_engine_is_let_go_without_a_collection(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[list[weakref.ref[Any]]] = []

    def observed(engine: Engine, *arguments: Any) -> Active:
        served = activate(engine, *arguments)
        catalogue = engine.catalogue
        parts = engine, catalogue, catalogue.moment.generation, engine.publisher, served.explorer, engine.artifact.items
        engines.append([weakref.ref(part) for part in parts])
        return served

    monkeypatch.setattr("service.lifecycle.runtime.activate", observed)
    gc.disable()
    try:
        with serving(settings) as client:
            for name in ("v2", "v1", "v2"):
                client.recommend(*HISTORY)
                client.put("/items/new", {"title": "red soap"})
                for path in ("/codes", "/map", "/search?q=red"):
                    assert client.get(path).status == 200
                assert client.post("/items/preview", {"item_id": "new", "title": "red soap"}).status == 200
                use(client, root, name)
            until(lambda: [[part() is None for part in parts] for parts in engines[:3]] == [[True] * 6] * 3)
        assert len(engines) == 4
    finally:
        gc.enable()
