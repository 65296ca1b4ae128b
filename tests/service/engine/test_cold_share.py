"""Places reserved for cold items: who gets them, in which order, and what happens where there are too few."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse

from model.artifact import Artifact
from model.exposure import cold_boosts
from model.items import Item
from model.neighbours import Neighbours
from service.catalogue.cold_items import ColdItems
from service.client import Client, Invalid
from service.contract.answers import RecommendResponse
from service.engine.engine import Engine
from service.index.neighbour_index import ItemLinks
from tests.support.service import KINDS, Starter, ask, ids, make_artifact, make_settings, put, serving

HISTORY = ("item-3", "item-9", "item-27")


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(root, tmp_path)
    yield starter
    starter.close()


def newcomers(count: int = 12) -> list[Item]:
    return [Item(f"new-{n}", title=f"a large red {KINDS[n % 6]} {n}", brand="Alba") for n in range(count)]


def reserved(answer: RecommendResponse) -> list[str]:
    return [item.item_id for item in answer.items if item.reserved]


def test_reserved_places_go_to_the_best_cold_items_behind_the_best_trained(start: Starter, root: Path) -> None:
    engine, artifact = start(), Artifact.load(root)
    new = newcomers()
    engine.writer.write(new)
    answer = ask(engine, *HISTORY, k=20, cold_share=0.25, explain=True)
    assert [item.reserved for item in answer.items] == [None] * 15 + [True] * 5
    free = ask(engine, *HISTORY, k=252, explain=True)
    trained = [item for item in free.items if not item.cold]
    assert [(item.item_id, item.score) for item in answer.items[:15]] == [
        (item.item_id, item.score) for item in trained[:15]
    ]
    # By brute force: the cold ones of the catalogue (236 … 239) and the registered, by score, text and company.
    encoded = artifact.encode_new(new)
    everything = np.concatenate([artifact.catalogue_embeddings(), encoded.embeddings]).astype(np.float64)
    neighbours = artifact.neighbours.extended(encoded.neighbours)
    history = np.array([3, 9, 27])
    query = artifact.query([everything[history].astype(np.float32)])
    cold = np.arange(236, 252)
    wanted = (query[:, :16] @ everything[cold, :16].T + cold_boosts(neighbours, [history], cold))[0]
    names = [f"item-{index}" if index < 240 else f"new-{index - 240}" for index in cold[np.argsort(-wanted)][:5]]
    assert reserved(answer) == names
    # What is said of them is their ordinary score, exact in its parts.
    plain = {item.item_id: item for item in free.items}
    for item in answer.items:
        assert item.score == plain[item.item_id].score
        assert item.reasons == plain[item.item_id].reasons


def test_the_setting_is_what_a_request_without_a_share_gets(start: Starter) -> None:
    assert reserved(ask(start(), *HISTORY, k=10)) == []
    engine = start(cold_share=0.2)
    assert len(reserved(ask(engine, *HISTORY, k=10))) == 2
    assert reserved(ask(engine, *HISTORY, k=4)) == []  # a fifth of four is no place
    assert reserved(ask(engine, *HISTORY, k=10, cold_share=0)) == []


def test_where_one_kind_is_too_few_the_other_fills_up(start: Starter) -> None:
    engine = start()
    engine.writer.write(newcomers())
    some = ask(engine, *HISTORY, k=50, cold_share=0.5)
    assert len(some.items) == 50
    assert len(reserved(some)) == 16  # all that there are
    every = ask(engine, *HISTORY, k=500, cold_share=0.1)
    assert len(every.items) == 249
    assert len(reserved(every)) == 16
    only_new = ask(
        engine, *HISTORY, k=8, cold_share=0.125, filter={"title": [item.title or "" for item in newcomers()]}
    )
    assert len(reserved(only_new)) == 8
    none_new = ask(engine, *HISTORY, k=8, cold_share=1.0, filter={"stock": [0], "brand": ["Corvo"]})
    assert reserved(none_new) == [item.item_id for item in none_new.items if item.cold]
    assert len(none_new.items) == 8
    all_cold = ask(engine, *HISTORY, k=5, cold_share=1.0)
    assert all(item.cold for item in all_cold.items)


def test_deleted_excluded_and_seen_items_get_no_place(start: Starter) -> None:
    engine = start()
    engine.writer.write(newcomers())
    first, second, third = reserved(ask(engine, *HISTORY, k=3, cold_share=1.0))
    assert reserved(ask(engine, *HISTORY, k=2, cold_share=1.0, exclude=[first])) == [second, third]
    assert first not in ids(ask(engine, *HISTORY, first, k=5, cold_share=1.0))
    engine.writer.delete(second)
    assert reserved(ask(engine, *HISTORY, k=2, cold_share=1.0)) == [first, third]
    # With a new text an item is another, and has one place as before.
    put(engine, Item(third, title="a guitar, nothing else", brand="Dune"))
    assert reserved(ask(engine, *HISTORY, k=20, cold_share=1.0)).count(third) == 1


def test_diversity_chooses_among_the_trained(start: Starter) -> None:
    answer = ask(start(), *HISTORY, k=10, cold_share=0.2, diversity=0.9)
    assert [item.cold for item in answer.items] == [False] * 8 + [True] * 2


def test_popularity_reserves_nothing(start: Starter) -> None:
    answer = ask(start(), "nobody-knows", k=10, cold_share=0.5)
    assert answer.strategy == "popularity"
    assert reserved(answer) == []


@pytest.mark.parametrize("tokens", ["id", "semantic"])
def test_every_token_type_reserves(tokens: str, tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts", tokens=tokens)  # type: ignore[arg-type]
    engine = Engine.start(make_settings(tmp_path / "artifacts", tmp_path))
    try:
        engine.writer.write(newcomers(3))
        assert len(reserved(ask(engine, *HISTORY, "new-1", k=10, cold_share=0.5))) == 5
    finally:
        engine.close()


def test_over_http(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path)) as raw, Client(raw.url) as client:
        found = client.recommend(HISTORY, k=10, cold_share=0.1).items
        assert [item.reserved for item in found] == [None] * 9 + [True]
        for share in (1.5, -0.1):
            with pytest.raises(Invalid) as raised:
                client.recommend([], cold_share=share)
            assert (raised.value.type, raised.value.field) == ("/problems/invalid-request", "cold_share")


def test_a_reader_is_not_disturbed_by_growth() -> None:
    items = ColdItems(Neighbours(200, bags=sparse.eye(200, 8, dtype=np.float32, format="csr")))
    for row in range(0, 40, 2):
        items.append(row, ItemLinks(row, None))
    rows, bags = items.below(30)
    for row in range(40, 200):
        items.append(row, ItemLinks(row, None))
    assert rows.tolist() == list(range(0, 30, 2))
    assert bags.toarray().argmax(1)[:4].tolist() == [0, 2, 4, 6]
    assert bags.shape == (15, 8)
    assert items.below(42)[0].tolist() == [*range(0, 40, 2), 40, 41]
    assert len(items.below(10_000)[0]) == 180
