"""A preview says what registering an item then makes true: its codes, what it is like, whom it reaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model.config import TokenType
from model.items import Item
from service.contract.explore_answers import PreviewResponse
from service.engine.engine import Engine
from service.explore.audience import users_to_ask
from service.settings import Settings
from tests.support.service import (
    Client,
    Starter,
    add,
    ask,
    explorer_of,
    fits,
    ids,
    make_artifact,
    make_items,
    make_settings,
    put,
    refused,
    serving,
)

NEW = Item("new", title="small red lamp", brand="Alba", categories=("Home", "lamp"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    make_artifact(tmp_path / "artifacts", evaluated=True)
    starter = Starter(tmp_path / "artifacts", tmp_path)
    yield starter
    starter.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    make_artifact(tmp_path / "artifacts", evaluated=True)
    with serving(make_settings(tmp_path / "artifacts", tmp_path)) as client:
        yield client


def preview(engine: Engine, item: Item) -> PreviewResponse:
    return explorer_of(engine).preview(engine.catalogue.moment, item)


def holds(engine: Engine, item: Item) -> PreviewResponse:
    """The preview of an item, once it is put and everything the preview said is found to be so."""
    said = preview(engine, item)
    written = put(engine, item)
    assert (said.outcome, said.semantic_id, said.cold) == (written.outcome, written.semantic_id, written.cold)
    assert said.shares_semantic_id == written.shares_semantic_id
    assert said.quantization_error == written.quantization_error
    assert (said.quantization_error_percentile, said.unusual) == (
        written.quantization_error_percentile,
        written.unusual,
    )
    near = engine.similar(item.item_id, len(said.neighbours)).items
    assert [(each.item_id, each.score) for each in said.neighbours] == [(each.item_id, each.score) for each in near]
    examples = explorer_of(engine).examples(engine.catalogue.moment, said.audience.users, 0).examples
    assert len(examples) == said.audience.users
    histories = [[each.item_id for each in example.history] for example in examples]
    tops = [ids(ask(engine, *history, k=100)) for history in histories]
    places = [top.index(item.item_id) + 1 for top in tops if item.item_id in top]
    assert said.audience.reached == sum(place <= 10 for place in places)
    assert [each.place for each in said.audience.best] == sorted(places)[: len(said.audience.best)]
    assert len(said.audience.best) == min(5, len(places))
    for listener in said.audience.best:
        history = [each.item_id for each in listener.history]
        top = ask(engine, *history, k=100).items
        assert top[listener.place - 1].item_id == item.item_id
        assert top[listener.place - 1].score == pytest.approx(
            listener.score, abs=1e-5
        )  # histories are read in other batches
        assert [*history, listener.chosen.item_id] in [
            [*past, example.chosen.item_id] for past, example in zip(histories, examples, strict=True)
        ]
    return said


def test_a_new_item_is_as_was_said(start: Starter) -> None:
    engine = start()
    said = holds(engine, NEW)
    assert (said.outcome, said.cold, said.audience.users) == ("created", True, 240)
    assert said.audience.best


def test_an_item_that_is_replaced_is_as_was_said(start: Starter) -> None:
    engine = start()
    add(engine, NEW)
    said = holds(engine, Item("new", title="large blue kettle", brand="Corvo"))
    assert said.outcome == "replaced"
    assert "new" not in [each.item_id for each in said.neighbours]


def test_an_item_of_the_catalogue_keeps_what_training_learned(start: Starter) -> None:
    engine = start()
    said = holds(engine, Item("item-7", title="soft deluxe guitar", brand="Dune"))
    assert (said.outcome, said.cold) == ("replaced", False)
    # Who has used it is not asked whether they would get it.
    assert all("item-7" not in [each.item_id for each in listener.history] for listener in said.audience.best)


def test_beside_other_registered_items(start: Starter) -> None:
    engine = start()
    for number, item in enumerate(make_items(60)):
        put(engine, Item(f"r-{number}", title=f"organic {item.title}", brand=item.brand))
    put(engine, Item("item-3", title="bright travel novel"))
    engine.writer.delete("item-0")
    holds(engine, Item("new", title="organic travel novel", brand="Borea"))


def test_the_same_item_again(start: Starter) -> None:
    engine = start()
    add(engine, NEW)
    assert preview(engine, NEW).outcome == "unchanged"


@pytest.mark.parametrize("tokens", ["id", "semantic"])
def test_other_tokens(tmp_path: Path, tokens: TokenType) -> None:
    make_artifact(tmp_path / "artifacts", tokens=tokens, evaluated=True, together=0, alike=0)
    starter = Starter(tmp_path / "artifacts", tmp_path)
    said = preview(starter(), NEW)
    assert bool(said.semantic_id) == (tokens == "semantic")
    holds(starter(), NEW)
    starter.close()


def test_nothing_is_written_and_the_next_answer_is_the_same(start: Starter) -> None:
    engine = start()
    before, moment = ask(engine, "item-1", "item-2"), engine.catalogue.moment
    said = preview(engine, NEW)
    assert engine.catalogue.moment is moment
    assert ask(engine, "item-1", "item-2") == before
    assert preview(engine, NEW) == said
    assert ask(start(), "item-1", "item-2") == before  # after a restart too


def test_users_are_asked_anew_where_the_catalogue_has_changed(start: Starter) -> None:
    engine = start()
    first = preview(engine, NEW).audience
    for number in range(30):
        put(engine, Item(f"r-{number}", title=f"small red lamp {number}", brand="Alba", categories=("Home", "lamp")))
    assert preview(engine, NEW).audience != first
    engine.writer.delete("item-1")
    assert preview(engine, NEW).audience.users < first.users  # those who have used what is gone


def test_without_evaluation_data_nobody_is_asked(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts")
    starter = Starter(tmp_path / "artifacts", tmp_path)
    said = preview(starter(), NEW)
    assert (said.audience.users, said.audience.reached, said.audience.best) == (0, 0, [])
    assert len(said.neighbours) == 8
    starter.close()


@pytest.mark.parametrize(("items", "users"), [(1, 500), (12_101, 495), (100_000, 60), (10**6, 20), (10**8, 20)])
def test_fewer_users_are_asked_where_there_are_many_items(items: int, users: int) -> None:
    assert users_to_ask(items) == users


def test_over_http(client: Client) -> None:
    body = {"item_id": "new", "title": "small red lamp", "brand": "Alba", "categories": ["Home", "lamp"]}
    said = client.post("/items/preview", body)
    assert said.status == 200
    fits(PreviewResponse, said.body)
    assert client.get("/items/new").status == 404
    written = client.post("/items", body)
    assert written.status == 201
    for name in ("semantic_id", "quantization_error", "unusual", "outcome"):
        assert said.json()[name] == written.json()[name]
    assert client.post("/items/preview", body).json()["outcome"] == "unchanged"
    refused(client.post("/items", {**body, "title": "other"}), 409, "item-conflict", "item_id")
    assert client.post("/items/preview", {**body, "title": "other"}).json()["outcome"] == "replaced"


def test_what_could_not_be_registered_cannot_be_previewed(client: Client) -> None:
    longest = Settings.model_fields["text_max"].default
    for body, kind, field in (
        ({"item_id": "new"}, "invalid-item", "text"),
        ({"item_id": "new", "price": 3}, "invalid-item", "text"),
        ({"item_id": " new", "title": "a lamp"}, "invalid-item", "item_id"),
        ({"title": "a lamp"}, "invalid-request", "item_id"),
        ({"item_id": "new", "title": "a lamp", "colour": "red"}, "invalid-request", "colour"),
        ({"item_id": "new", "title": "a" * (longest + 1)}, "limit-exceeded", "text"),
    ):
        refused(client.post("/items/preview", body), 422, kind, field)
    refused(client.post("/items/preview", b"{"), 400, "invalid-json")
