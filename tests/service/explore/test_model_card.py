"""GET /model and what /version says of the process: the card, since when it serves, the registry, the last swap."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from model.artifact import set_current
from model.config import TokenType
from model.items import Item
from model.manifest import DatasetEntry
from service.api.openapi import answer
from service.client import Client as TypedClient
from service.contract.operation_answers import ModelResponse, VersionResponse
from service.explore.model_card import model_card
from service.registry.registry import RegistryRow
from tests.support.cards import METRICS, TRAINING, make_carded
from tests.support.postgres import Server
from tests.support.service import (
    Client,
    Starter,
    add,
    fits,
    make_artifact,
    make_items,
    make_settings,
    put,
    refused,
    serving,
    until,
)


@pytest.fixture(scope="module")
def carded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("model")
    make_carded(folder / "artifacts")
    with serving(make_settings(folder / "artifacts", folder)) as client:
        yield client


def model(client: Client) -> Any:
    """The answer to /model, once it is what the contract says."""
    reply = client.get("/model")
    assert reply.status == 200, reply.body
    return fits(ModelResponse, reply.body)


def version(client: Client) -> Any:
    """The answer to /version, once it is what the contract says."""
    reply = client.get("/version")
    return fits(VersionResponse, reply.body)


def test_the_card_is_what_the_manifest_tells(carded: Client) -> None:
    card = model(carded)
    assert (card["version"], card["created"], card["recipe"], card["seed"], card["items"]) == (
        "v1",
        "2026-01-01T00:00:00+00:00",
        "default",
        3,
        240,
    )
    assert card["dataset"] == {"name": "made up", "users": 1, "items": 240, "interactions": 1}
    assert card["metrics"] == METRICS
    assert card["training"] == TRAINING
    assert card["libraries"] == {"torch": "2.9.1"}
    assert card["text_encoder"] == {"kind": "tfidf", "dim": 16}
    assert set(card["neighbours"]) == {"alike", "together"}
    assert card["neighbours"]["together"]["weight"] == 1.5
    assert card["neighbours"]["together"]["count"] == 6


def test_tokens_are_told_by_level(carded: Client) -> None:
    tokens = model(carded)["tokens"]
    assert (tokens["type"], tokens["dim"], tokens["id"]) == ("hybrid", 24, {"dim": 8, "cold_policy": "learned"})
    semantic = tokens["semantic"]
    assert (semantic["dim"], semantic["codebook_size"]) == (16, 16)
    assert [level["distance"] for level in semantic["levels"]] == ["cosine", "cosine", "euclidean"]
    items = carded.get("/items?limit=1000").json()["items"]
    for at, level in enumerate(semantic["levels"]):
        assert level["usage"] == len({item["semantic_id"][at] for item in items}) / 16
        assert 1 <= level["perplexity"] <= 16
    codes = [tuple(item["semantic_id"]) for item in items]
    assert semantic["distinct"] == len(set(codes)) / 240
    assert semantic["unique"] == sum(codes.count(code) == 1 for code in codes) / 240
    assert semantic["largest_collision"] == max(codes.count(code) for code in codes)
    parameters = tokens["parameters"]
    assert parameters["total"] == 3 * 16 * 16 + 240 * 8 == parameters["codebooks"] + parameters["id_embeddings"]
    assert parameters["saving"] == pytest.approx(1 - parameters["total"] / parameters["id_only_64"])


def test_no_path_gets_out(carded: Client) -> None:
    told = carded.get("/model").body + carded.get("/version").body
    assert b"secret" not in told  # the recipe names a folder
    assert b"/tmp" not in told
    assert b"sqlite:" not in told


@pytest.mark.parametrize(
    ("tokens", "halves"), [("hybrid", {"semantic", "id"}), ("id", {"id"}), ("semantic", {"semantic"})]
)
def test_a_card_of_little_leaves_out_what_it_does_not_tell(tmp_path: Path, tokens: TokenType, halves: set[str]) -> None:
    make_artifact(tmp_path / "a", tokens=tokens)
    with serving(make_settings(tmp_path / "a", tmp_path)) as client:
        card = model(client)
    assert "recipe" not in card
    assert "training" not in card
    assert card["metrics"] == card["libraries"] == {}
    assert set(card["tokens"]) == {"type", "dim"} | halves
    if "semantic" in halves:
        assert set(card["tokens"]["semantic"]) == {"dim", "codebook_size", "levels"}
        assert card["tokens"]["semantic"]["levels"] == [
            {"distance": name} for name in ("cosine", "cosine", "euclidean")
        ]


@pytest.mark.parametrize(
    ("changes", "part", "left"),
    [
        ({"recipe": {"name": ["default"]}}, ("recipe",), None),
        ({"metrics": {"test/full": {"hit@10": float("nan"), "mrr": 0.5}}}, ("metrics", "test/full"), {"mrr": 0.5}),
        ({"tokens": {"usage": "all", "distinct": True}}, ("tokens", "semantic", "distinct"), None),
        ({"tokens": {"usage": [0.5]}}, ("tokens", "semantic", "levels", 0), {"distance": "cosine"}),
        ({"tokens": {"usage": [1, None, 10**400]}}, ("tokens", "semantic", "levels", 0, "usage"), 1.0),
        ({"tokens": {"unique": float("inf")}}, ("tokens", "semantic", "unique"), None),
        ({"tokens": {"parameters": [1]}}, ("tokens", "parameters"), None),
        ({"tokens": {"parameters": {"total": -1, "saving": 0.25}}}, ("tokens", "parameters"), {"saving": 0.25}),
        ({"training": {"epochs": 2**80, "machine": 7, "host": "secret"}}, ("training",), None),
    ],
)
def test_what_is_not_as_it_should_be_is_left_out(
    tmp_path: Path, changes: dict[str, Any], part: tuple[Any, ...], left: Any
) -> None:
    made = make_carded(tmp_path)
    body = bytes(answer(model_card(made.manifest.model_copy(update=changes))).body)
    found = fits(ModelResponse, body)
    for name in part[:-1]:
        found = found[name]
    assert (found[part[-1]] if isinstance(found, list) else found.get(part[-1])) == left


def test_until_it_is_ready_there_is_no_card(tmp_path: Path) -> None:
    make_carded(tmp_path / "a")
    (tmp_path / "a" / "v1" / "recommender.safetensors").write_bytes(b"damaged")
    with serving(make_settings(tmp_path / "a", tmp_path), ready=False) as client:
        until(lambda: "recommender.safetensors" in client.get("/readyz").body.decode())
        refused(client.get("/model"), 503, "not-ready")
        assert set(version(client)) == {"service"}


def test_it_is_said_since_when_the_process_serves(tmp_path: Path) -> None:
    make_artifact(tmp_path / "a")
    with serving(make_settings(tmp_path / "a", tmp_path), now=lambda: 1_800_000_000.9) as client:
        told = version(client)
        assert told["serving_since"] == "2027-01-15T08:00:00Z"
        assert "last_swap" not in told
        assert told["registry"] == {"kind": "sqlite", "items": 0}


def test_a_registry_of_several_replicas_is_told_as_such(tmp_path: Path, postgres: Server) -> None:
    make_artifact(tmp_path / "a")
    with serving(make_settings(tmp_path / "a", tmp_path, database_url=postgres.database())) as client:
        assert client.post("/items", {"item_id": "new", "title": "red soap"}).status == 201
        assert version(client)["registry"] == {"kind": "postgresql", "items": 1}


def test_a_swap_is_told_and_the_card_is_that_of_the_new_one(tmp_path: Path) -> None:
    root = tmp_path / "a"
    make_carded(root, "v1")
    make_carded(root, "v2", seed=11, made={"seed": 1, "items": make_items(260)[20:]}, dataset=_data("the second"))
    set_current(root, "v1")
    times = iter([1_800_000_000, 1_800_000_060, 1_800_000_120])
    with serving(make_settings(root, tmp_path, watch=0.02), now=lambda: next(times)) as client:
        assert client.post("/items", {"item_id": "new", "title": "red soap"}).status == 201
        assert client.put("/items/item-3", {"title": "a lamp now"}).status == 200
        assert client.put("/items/item-10", {"title": "a scarf now"}).status == 200  # v1 alone has it
        assert model(client)["dataset"]["name"] == "made up"
        before = version(client)
        set_current(root, "v2")
        until(lambda: version(client)["model_version"] == "v2")
        told = version(client)
        assert told["serving_since"] == "2027-01-15T08:01:00Z"
        assert told["last_swap"] == {"old_version": "v1", "new_version": "v2", "at": "2027-01-15T08:01:00Z"}
        assert told["registry"] == before["registry"] == {"kind": "sqlite", "items": 3}
        card = model(client)
        assert (card["version"], card["seed"], card["dataset"]["name"]) == ("v2", 11, "the second")
        set_current(root, "v1")
        until(lambda: version(client)["model_version"] == "v1")
        assert version(client)["last_swap"] == {"old_version": "v2", "new_version": "v1", "at": "2027-01-15T08:02:00Z"}
        assert model(client)["seed"] == 3


def test_what_is_refused_is_no_swap(tmp_path: Path) -> None:
    root = tmp_path / "a"
    make_carded(root, "v1")
    make_carded(root, "v2")
    set_current(root, "v1")
    (root / "v2" / "recommender.safetensors").write_bytes(b"damaged")
    with serving(make_settings(root, tmp_path, watch=0.02)) as client:
        before = version(client)
        set_current(root, "v2")
        told = until(lambda: (now := version(client)).get("refused") and now)
        assert told["refused"]["version"] == "v2"
        assert {name: value for name, value in told.items() if name != "refused"} == before
        assert model(client)["version"] == "v1"


def test_the_first_that_can_be_served_is_no_swap_either(tmp_path: Path) -> None:
    root = tmp_path / "a"
    make_carded(root, "v1")
    make_carded(root, "v2")
    set_current(root, "v1")
    (root / "v1" / "recommender.safetensors").write_bytes(b"damaged")
    began = time.time()
    with serving(make_settings(root, tmp_path, watch=0.02), ready=False) as client:
        until(lambda: "recommender.safetensors" in client.get("/readyz").body.decode())
        set_current(root, "v2")
        told = version(client.until_ready())
    assert told["model_version"] == "v2"
    assert "last_swap" not in told
    since = datetime.strptime(told["serving_since"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    assert began - 1 <= since <= time.time()


def test_registered_items_are_counted_as_they_come_and_go(tmp_path: Path) -> None:
    make_artifact(tmp_path / "a")
    start = Starter(tmp_path / "a", tmp_path)
    engine = start()
    items = make_items(300)

    def counted() -> tuple[VersionResponse.Registry, int]:
        return engine.registered(), sum(1 for _ in engine.export("registered"))

    assert counted() == (VersionResponse.Registry("sqlite", 0), 0)
    engine.writer.write(items[240:])
    assert counted() == (VersionResponse.Registry("sqlite", 60), 60)
    engine.writer.write(items[240:])  # the same again
    add(engine, items[5])  # the catalogue's own, as it is
    for item in items[10:20]:
        put(engine, Item(item.item_id, title="another"))
    expected = counted()[1]
    assert counted() == (VersionResponse.Registry("sqlite", expected), expected)
    assert expected >= 70
    for item in [*items[15:20], *items[295:]]:
        engine.writer.delete(item.item_id)
    assert counted() == (VersionResponse.Registry("sqlite", expected - 10), expected - 10)
    engine = start()  # from the database
    assert counted() == (VersionResponse.Registry("sqlite", expected - 10), expected - 10)
    before = engine.catalogue.moment.generation
    engine.writer.write([Item(f"more-{index}", title="more") for index in range(1100)])
    assert counted()[0].items == counted()[1] == expected + 1090
    deleted_elsewhere = [RegistryRow(2000 + index, f"more-{index}", None, None, 2) for index in range(1100)]
    engine.writer.apply(deleted_elsewhere)
    engine.publisher.compactor.wait()
    assert engine.catalogue.moment.generation is not before  # so many that it was made anew, of what is left
    assert counted() == (VersionResponse.Registry("sqlite", expected - 10), expected - 10)
    start.close()


def test_the_typed_client_reads_both(carded: Client) -> None:
    with TypedClient(carded.url) as client:
        card, told = client.model(), client.version()
    assert card.version == told.model_version == "v1"
    assert card.tokens.semantic is not None
    assert [level.distance for level in card.tokens.semantic.levels] == ["cosine", "cosine", "euclidean"]
    assert told.registry is not None
    assert (told.registry.kind, told.last_swap) == ("sqlite", None)


def _data(name: str) -> DatasetEntry:
    return DatasetEntry(name=name, fingerprint="0", n_users=7, n_items=240, n_interactions=70)
