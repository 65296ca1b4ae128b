"""Search by words and example users, over HTTP: what is served at that moment, and nothing else."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.items import Item
from service.catalogue import catalogue
from service.catalogue.moment import Moment
from service.engine.engine import Engine
from service.explore.search import Search
from tests.support.service import Client, Starter, add, make_artifact, make_settings, put, refused, serving

NUMBERS = {"search": "limit", "examples": "count"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    make_artifact(tmp_path / "artifacts", evaluated=True)
    with serving(make_settings(tmp_path / "artifacts", tmp_path)) as client:
        yield client


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    make_artifact(tmp_path / "artifacts")
    return Starter(tmp_path / "artifacts", tmp_path)()


def search(client: Client, query: str, limit: int = 20) -> list[str]:
    reply = client.get(f"/search?q={quote(query)}&limit={limit}")
    assert reply.status == 200
    return [item["item_id"] for item in reply.json()["items"]]


def test_all_words_count_the_last_as_a_beginning_and_accents_do_not(client: Client) -> None:
    client.post("/items", {"item_id": "new", "title": "Crème brûlée torch", "brand": "Zoë", "categories": ["Küche"]})
    for query in ("creme", "CRÈME torch", "tor bru", "zoe", "kuche creme", "new"):
        assert search(client, query)[0] == "new", query
    for query in ("Crème brûlée", "Zoë", "küche"):
        assert search(client, unicodedata.normalize("NFD", query))[0] == "new", query
    assert search(client, "creme lamp") == []
    assert search(client, "rème") == []  # no word begins so


def test_without_words_the_most_used_are_found(client: Client) -> None:
    assert search(client, "", 3) == search(client, " -_* ", 3) == ["item-0", "item-1", "item-2"]


def test_what_is_written_is_found_at_once_and_what_is_gone_is_not(client: Client) -> None:
    assert search(client, "gizmo") == []
    client.post("/items", {"item_id": "g", "title": "a gizmo"})
    assert search(client, "gizmo") == ["g"]
    client.put("/items/g", {"title": "a widget"})
    assert (search(client, "gizmo"), search(client, "widget")) == ([], ["g"])
    client.delete("/items/g")
    assert search(client, "widget") == []


def test_the_limit_is_kept_though_most_of_what_is_found_is_gone(client: Client) -> None:
    for _ in range(30):
        client.put("/items/g", {"title": "a gizmo"})
        client.delete("/items/g")
    for name in ("g1", "g2", "g3"):
        client.post("/items", {"item_id": name, "title": "a gizmo of all gizmos"})
    assert sorted(search(client, "gizmo", 5)) == ["g1", "g2", "g3"]
    assert len(search(client, "item", 7)) == 7


def test_a_former_moment_finds_what_it_had(engine: Engine) -> None:
    before = engine.catalogue.moment
    add(engine, Item("g", title="a gizmo"))
    index = Search()
    assert [engine.catalogue.moment.record(row).item_id for row in index.find(engine.catalogue.moment, "gizmo", 5)] == [
        "g"
    ]
    assert index.find(before, "gizmo", 5) == []


def test_a_catalogue_that_was_packed_anew_is_searched_anew(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_DEAD", 100)
    index = Search()
    before = engine.catalogue.moment.generation
    for number in range(200):  # a third of all rows are dead by then
        put(engine, Item("g", title=f"gizmo number{number}"))
        moment = engine.catalogue.moment
        if number % 10 == 0:
            rows = index.find(moment, f"gizmo number{number}", 5)
            assert [moment.record(row).item.title for row in rows] == [f"gizmo number{number}"]
    engine.publisher.compactor.wait()
    assert engine.catalogue.moment.generation is not before
    moment = engine.catalogue.moment
    assert [moment.record(row).item.title for row in index.find(moment, "gizmo", 5)] == ["gizmo number199"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, Moment]:
    folder = tmp_path_factory.mktemp("searched")
    make_artifact(folder / "artifacts")
    return Search(), Starter(folder / "artifacts", folder)().catalogue.moment


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_no_query_is_too_odd(searched: tuple[Search, Moment], query: str) -> None:
    index, moment = searched
    rows = index.find(moment, query, 10)
    assert len(rows) == len(set(rows)) <= 10
    assert all(moment.is_served(row) for row in rows)


@pytest.mark.parametrize(("path", "name"), NUMBERS.items())
@pytest.mark.parametrize("number", [0, 101, -1, "x"])
def test_numbers_out_of_range_are_refused(client: Client, path: str, name: str, number: object) -> None:
    refused(client.get(f"/{path}?{name}={number}"), 422, "invalid-request", name)


def test_examples_are_users_of_the_test_split(client: Client, tmp_path: Path) -> None:
    found = client.get("/examples?count=5&seed=3").json()["examples"]
    assert found == client.get("/examples?count=5&seed=3").json()["examples"]
    assert found != client.get("/examples?count=5&seed=4").json()["examples"]
    assert len(found) == 5
    rng = np.random.default_rng(0)
    sequences = [rng.choice(236, 5, replace=False).tolist() for _ in range(240)]
    known = [[f"item-{index}" for index in sequence] for sequence in sequences]
    for example in found:
        assert [item["item_id"] for item in (*example["history"], example["chosen"])] in known
        assert example["chosen"]["attributes"]["title"]


def test_no_example_holds_an_item_that_is_gone(client: Client) -> None:
    gone = {f"item-{number}" for number in range(0, 240, 4)}
    for item in gone:
        assert client.delete(f"/items/{item}").status == 204
    found = client.get("/examples?count=50").json()["examples"]
    assert found
    for example in found:
        assert not gone & {item["item_id"] for item in (*example["history"], example["chosen"])}


def test_without_evaluation_data_there_are_no_examples(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts")
    with serving(make_settings(tmp_path / "artifacts", tmp_path)) as client:
        assert client.get("/examples").json()["examples"] == []
