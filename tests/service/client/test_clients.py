"""Both Python clients against a real server, and the addresses and keys that they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.client import (
    AsyncClient,
    Client,
    Conflict,
    Forbidden,
    Invalid,
    ItemRegistered,
    NewItem,
    NotFound,
    RateLimited,
    RecommendResponse,
    Retry,
    Unauthorized,
    Unavailable,
)
from service.security import keys
from tests.support.service import make_artifact, make_settings, serving


def test_recommend(client: Client) -> None:
    answer = client.recommend(["item-1", "nope"], k=3, explain=True, diversity=0.3, filter={"brand": ["Alba", "Dune"]})
    assert (len(answer.items), answer.model_version, answer.unknown_history) == (3, "v1", ["nope"])
    for item in answer.items:
        assert item.reasons
        assert item.reasons.semantic + item.reasons.id == item.score
        assert item.attributes["brand"] in ("Alba", "Dune")
    assert client.recommend(()).strategy == "popularity"
    assert answer.unknown_filter == []
    assert client.recommend((), filter={"brnad": ["Alba"]}).unknown_filter == ["brnad"]


def test_a_batch_holds_the_error_of_an_entry_beside_the_others(client: Client) -> None:
    good, bad, empty = client.recommend_batch(
        [{"history": ["item-1"], "k": 2}, {"history": [], "k": 10**6}, {"history": []}], request_id="r-1"
    )
    assert isinstance(good, RecommendResponse)
    assert good.items == client.recommend(["item-1"], k=2).items
    assert isinstance(empty, RecommendResponse)
    assert isinstance(bad, Invalid)
    assert (bad.type, bad.status, bad.field, bad.request_id) == ("/problems/limit-exceeded", 422, "k", "r-1")
    with pytest.raises(Invalid, match="requests"):
        client.recommend_batch([])


def test_the_life_of_an_item(client: Client) -> None:
    created = client.add_item("life", title="Red soap", brand="Alba", attributes={"n": 1, "tags": ["a"]})
    assert (created.outcome, created.cold, created.source) == ("created", True, "registered")
    same = client.add_item("life", title="Red soap", brand="Alba", attributes={"tags": ["a"], "n": 1})
    assert same.outcome == "unchanged"
    with pytest.raises(Conflict) as raised:
        client.add_item("life", title="Blue soap", request_id="r-2")
    error = raised.value
    assert (error.type, error.status, error.field) == ("/problems/item-conflict", 409, "item_id")
    assert str(error) == f"{error.detail} [409, /problems/item-conflict, request r-2]"
    assert client.replace_item("life", title="Blue soap").outcome == "replaced"
    assert client.get_item("life").attributes == {"title": "Blue soap"}
    assert "life" in [item.item_id for item in client.recommend(["item-1"], k=500).items]
    assert len(client.similar("life", k=4, by="hybrid").items) == 4
    client.delete_item("life")
    for gone in (client.get_item, client.similar, client.delete_item):
        with pytest.raises(NotFound, match="no item 'life' is known"):
            gone("life")


def test_items_in_a_batch_succeed_and_fail_by_themselves(client: Client) -> None:
    items: list[NewItem] = [
        {"item_id": "b-1", "title": "lamp"},
        {"item_id": "item-1", "title": "x"},
        {"item_id": "b-2"},
    ]
    written, taken, empty = client.add_items(items)
    assert isinstance(written, ItemRegistered)
    assert isinstance(taken, Conflict)
    assert isinstance(empty, Invalid)
    assert empty.field == "text"
    client.delete_item("b-1")


def test_listing_and_export_walk_over_everything(client: Client) -> None:
    item: NewItem = {
        "item_id": "ü\u2028x",
        "title": "lamp",
        "text": "own\u2028text",
        "attributes": {"n": 1, "t": ["a"]},
    }
    client.add_item(**item)
    expected = [f"item-{n}" for n in range(240)] + ["ü\u2028x"]
    assert [found.item_id for found in client.list_items(page_size=37)] == expected
    assert [line["item_id"] for line in client.export()] == expected
    assert [found.source for found in client.list_items(source="registered")] == ["registered"]
    (line,) = client.export(source="registered")
    (again,) = client.add_items([line])
    assert isinstance(again, ItemRegistered)
    assert again.outcome == "unchanged"
    assert client.add_item(**line).outcome == "unchanged"
    client.delete_item("ü\u2028x")
    assert list(client.list_items(source="registered")) == []
    with pytest.raises(Invalid, match="limit"):
        list(client.list_items(page_size=10**6))


@pytest.mark.parametrize(
    "item_id",
    ["export", "batch", "a/similar", "similar", "/", "a//b", ".", "..", "a/../b", "...", "%2F", "a b", "ü/€?#"],
)
def test_ids_that_look_like_paths(client: Client, item_id: str) -> None:
    assert client.add_item(item_id, title="odd").item_id == item_id
    assert client.get_item(item_id).item_id == item_id
    assert client.similar(item_id).item_id == item_id
    assert client.replace_item(item_id, title="odd").outcome == "unchanged"
    client.delete_item(item_id)
    with pytest.raises(NotFound) as raised:
        client.get_item(item_id)
    assert (raised.value.type, raised.value.status) == ("/problems/item-not-found", 404)


def test_probes_and_version(client: Client) -> None:
    assert client.livez().status == "alive"
    assert client.readyz().model_version == "v1"
    assert client.version().items == 240


def test_what_no_type_checker_saw_is_refused_by_the_service(client: Client) -> None:
    call: Any = client.recommend
    with pytest.raises(Invalid) as raised:
        call("item-1")
    assert raised.value.field == "history"
    with pytest.raises(Invalid, match="kk"):
        call(["item-1"], kk=3)
    with pytest.raises(ValueError, match="JSON"):
        call(["item-1"], diversity=float("nan"))


def test_a_service_that_is_not_ready_says_so(tmp_path: Path) -> None:
    with serving(make_settings(tmp_path / "nothing", tmp_path), ready=False) as raw, Client(raw.url) as client:
        assert client.livez().status == "alive"
        assert client.version().items is None
        with pytest.raises(Unavailable) as raised:
            client.readyz()
        assert (raised.value.type, raised.value.status) == ("/problems/not-ready", 503)


def test_keys_open_what_they_are_for(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts")
    key = keys.create(tmp_path / "keys.json", "a reader", "read")
    settings = make_settings(tmp_path / "artifacts", tmp_path, keys=tmp_path / "keys.json")
    with serving(settings) as raw, Client(raw.url, key=key) as reader, Client(raw.url) as stranger:
        assert reader.recommend(["item-1"], k=2).strategy == "model"
        with pytest.raises(Forbidden) as raised:
            reader.add_item("a", title="b")
        assert (raised.value.type, raised.value.status) == ("/problems/forbidden", 403)
        assert stranger.readyz().status == "ready"
        with pytest.raises(Unauthorized) as refused:
            stranger.recommend(["item-1"])
        assert (refused.value.type, refused.value.status) == ("/problems/unauthorized", 401)


def test_a_rate_limit_asks_for_a_pause(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts")
    slept: list[float] = []
    with (
        serving(make_settings(tmp_path / "artifacts", tmp_path, rate_limit=0.5, rate_burst=1)) as raw,
        Client(raw.url, retry=Retry(attempts=2), sleep=slept.append) as client,
    ):
        client.version()
        with pytest.raises(RateLimited) as raised:
            client.version()
    assert raised.value.type == "/problems/rate-limited"
    assert len(slept) == 1
    assert 1 <= slept[0] <= 2.1


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ü", "secret\x00"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    with pytest.raises(ValueError, match="the key must be visible ASCII") as raised:
        Client(key=key)
    assert key == "" or key not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "kindred", "ftp://kindred.test", "http://", "", "http://kindred.test:port", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="must look like http"):
            kind(url)


def test_an_address_that_holds_a_password_is_refused_unseen() -> None:
    with pytest.raises(ValueError, match="must hold no user or password") as raised:
        Client("http://user:hidden@kindred.test")
    assert "hidden" not in str(raised.value)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        Client("http://user:hidden/word@kindred.test")
    assert "hidden" not in str(raised.value)
    assert raised.value.__suppress_context__  # httpx quotes it
