"""The engine reading: recommendations, reasons, fallback, filters, diversity, similar items, token types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artifact import Artifact, ArtifactError
from model.items import Item
from service.contract.answers import RecommendResponse
from service.contract.requests import RecommendRequest
from service.errors import UnknownItem
from tests.support.service import Starter, add, ask, ids, make_artifact


@pytest.fixture(scope="module")
def artifact(root: Path) -> Artifact:
    return Artifact.load(root)


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(root, tmp_path)
    yield starter
    starter.close()


def scores_of(artifact: Artifact, history: list[int]) -> Any:
    embeddings = artifact.catalogue_embeddings()
    products = artifact.query([embeddings[history]]).astype(np.float64) @ embeddings.T.astype(np.float64)
    return products[0] + artifact.neighbours.boosts([np.array(history)])[0]


def test_recommendations_are_the_model_s_best(start: Starter, artifact: Artifact) -> None:
    answer = ask(start(), "item-3", "item-9", "item-27", k=15)
    scores = scores_of(artifact, [3, 9, 27])
    seen = {3, 9, 27}
    expected = [index for index in np.argsort(-scores, kind="stable") if index not in seen][:15]
    assert ids(answer) == [f"item-{index}" for index in expected]
    np.testing.assert_allclose([item.score for item in answer.items], scores[expected], rtol=1e-4)
    assert answer.strategy == "model"
    assert answer.model_version == "v1"
    assert answer.items[0].attributes["brand"] in ("Alba", "Borea", "Corvo", "Dune")


def test_seen_items_stay_out_unless_wanted_and_excluded_ones_always(start: Starter) -> None:
    engine = start()
    everything = ids(ask(engine, "item-1", "item-2", k=500, exclude_seen=False))
    assert len(everything) == 240
    assert set(everything) - set(ids(ask(engine, "item-1", "item-2", k=500))) == {"item-1", "item-2"}
    without = ids(ask(engine, "item-1", k=500, exclude=["item-5", "unknown"], exclude_seen=False))
    assert set(everything) - set(without) == {"item-5"}


def test_unknown_items_of_a_history_are_listed_once_and_left_out(start: Starter) -> None:
    engine = start()
    answer = ask(engine, "nope", "item-1", "gone", "nope", "item-2")
    assert answer.unknown_history == ["nope", "gone"]
    assert answer.items == ask(engine, "item-1", "item-2").items
    assert answer.strategy == "model"


@pytest.mark.parametrize("history", [[], ["nope"]])
def test_a_history_with_nothing_known_is_answered_by_popularity(start: Starter, history: list[str]) -> None:
    answer = ask(start(), *history, k=4, exclude=["item-1"], explain=True)
    assert answer.strategy == "popularity"
    assert ids(answer) == ["item-0", "item-2", "item-3", "item-4"]
    assert [item.score for item in answer.items] == [240, 238, 237, 236]
    assert all(item.reasons is None for item in answer.items)


def test_popularity_obeys_filters_and_ends_with_the_cold(start: Starter) -> None:
    engine = start()
    assert ids(ask(engine, k=2, filter={"brand": ["Dune"]})) == ["item-18", "item-19"]
    answer = ask(engine, k=500)
    assert [item.cold for item in answer.items[-4:]] == [True] * 4
    assert not any(item.cold for item in answer.items[:-4])


def test_of_a_long_history_the_latest_items_count(start: Starter) -> None:
    engine = start()
    latest = [f"item-{index}" for index in range(100, 108)]  # the model reads 8
    long = [f"item-{index}" for index in range(50)] + latest
    assert ask(engine, *long, exclude_seen=False).items == ask(engine, *latest, exclude_seen=False).items
    assert not set(ids(ask(engine, *long, k=500))) & set(long)


def test_a_batch_gives_each_entry_its_own_answer(start: Starter) -> None:
    engine = start()
    histories = [["item-1"], [], ["item-2", "item-3", "item-4"], ["nope"]] * 40
    requests = [RecommendRequest(history=history, k=5) for history in histories]
    for history, answer in zip(histories, engine.recommend_batch(requests), strict=True):
        alone = ask(engine, *history, k=5)
        assert (answer.strategy, answer.unknown_history) == (alone.strategy, alone.unknown_history)
        # Histories computed together differ in the last digits, so close scores may change places.
        np.testing.assert_allclose([i.score for i in answer.items], [i.score for i in alone.items], rtol=1e-4)


def test_reasons_add_up_to_the_score_exactly_and_name_like_items(start: Starter) -> None:
    engine = start()
    history = ["item-1", "item-7", "item-13", "item-1"]
    answer = ask(engine, *history, k=200, explain=True)
    named = 0
    for item in answer.items:
        assert item.reasons is not None
        assert item.reasons.semantic + item.reasons.id == item.score
        own = engine.get(item.item_id).semantic_id
        shared = {}
        for past in dict.fromkeys(history):
            codes = engine.get(past).semantic_id
            shared[past] = next((n for n in range(3) if own[n] != codes[n]), 3)
        assert {s.item_id: s.levels for s in item.reasons.shared_codes} == {p: n for p, n in shared.items() if n}
        levels = [s.levels for s in item.reasons.shared_codes]
        assert levels == sorted(levels, reverse=True)
        named += len(levels)
    assert named
    assert all(item.reasons is None for item in ask(engine, *history).items)


def test_filters_match_any_value_of_every_attribute(start: Starter) -> None:
    engine = start()

    def matching(**filters: list[Any]) -> set[str]:
        return set(ids(ask(engine, "item-0", k=500, filter=filters, exclude_seen=False)))

    everything = [engine.get(f"item-{index}") for index in range(240)]

    def expected(test: Callable[[Any], bool]) -> set[str]:
        return {item.item_id for item in everything if test(item.attributes)}

    assert matching(brand=["Alba", "Dune"]) == expected(lambda a: a["brand"] in ("Alba", "Dune"))
    assert matching(brand=["Alba"], stock=[1, 2]) == expected(lambda a: a["brand"] == "Alba" and a["stock"] != 0)
    assert matching(tags=["red"]) == expected(lambda a: "red" in a["tags"])
    assert matching(categories=["lamp"], new=[False]) == expected(lambda a: "lamp" in a["categories"] and not a["new"])
    assert matching(price=[5]) == expected(lambda a: a["price"] == 5)
    # True is not 1, a number is no text, and what nobody has matches nobody.
    assert matching(stock=[True]) == matching(stock=["1"]) == matching(colour=["red"]) == set()
    assert len(matching(stock=[1])) == 80


def test_a_filter_finds_an_item_by_the_very_text_that_it_was_registered_with(start: Starter) -> None:
    """Texts of items are cleaned when they come: composed (NFC), and runs of blanks as one."""
    engine = start()
    name, brand, tag = "Gro\u0308\u00dfe", "Lanco\u0302me", " extra  large"
    content = {"item_id": "cream", "title": "a cream", "brand": brand, "attributes": {name: [tag, "small"]}}
    add(engine, Item.from_dict(content))
    for asked in ({"brand": [brand]}, {"brand": ["Lanc\u00f4me"]}, {name: [tag]}, {f"{name} ": ["x", "extra large"]}):
        answer = ask(engine, filter=asked)
        assert ids(answer) == ["cream"]
        assert answer.unknown_filter == []
    assert ask(engine, filter={f"{name}\u0308": [tag]}).unknown_filter == [f"{name}\u0308"]


def test_diversity_spreads_the_answer(start: Starter) -> None:
    engine = start()
    plain = ask(engine, "item-1", k=10)
    assert ask(engine, "item-1", k=10, diversity=0.0).items == plain.items
    spread = ask(engine, "item-1", k=10, diversity=0.9)
    assert spread.items[0] == plain.items[0]
    assert len(set(ids(spread))) == 10

    def closeness(answer: RecommendResponse) -> float:
        embeddings = engine.artifact.catalogue_embeddings()
        chosen = embeddings[[int(item_id.removeprefix("item-")) for item_id in ids(answer)]]
        chosen = chosen / np.linalg.norm(chosen, axis=1, keepdims=True)
        return float((chosen @ chosen.T).mean())

    assert closeness(spread) < closeness(plain)


@pytest.mark.parametrize("by", ["semantic", "hybrid"])
def test_similar_items_are_the_nearest_by_cosine(start: Starter, artifact: Artifact, by: Any) -> None:
    engine = start()
    vectors = artifact.catalogue_embeddings().astype(np.float64)
    if by == "semantic":
        vectors = vectors[:, :16]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[20]
    found = engine.similar("item-20", 12, by).items
    assert "item-20" not in [item.item_id for item in found]
    expected = np.sort(np.delete(cosines, 20))[::-1][:12]
    np.testing.assert_allclose([item.score for item in found], expected, atol=1e-6)
    assert len(engine.similar("item-20", 500, by).items) == 239
    with pytest.raises(UnknownItem):
        engine.similar("nope", 3, by)


@pytest.mark.parametrize("tokens", ["id", "semantic"])
def test_artifacts_of_one_token_type_are_served(start: Starter, tmp_path: Path, tokens: Any) -> None:
    make_artifact(tmp_path / "a", tokens=tokens)
    engine = start(tmp_path / "a")
    answer = ask(engine, "item-1", "item-2", k=5, explain=True)
    for item in answer.items:
        assert item.reasons is not None
        assert (item.reasons.semantic if tokens == "id" else item.reasons.id) == 0
        assert item.reasons.semantic + item.reasons.id == item.score
    assert add(engine, Item("soap", title="red soap")).cold
    assert engine.get("soap").shares_semantic_id == (0 if tokens == "id" else engine.get("soap").shares_semantic_id)
    assert len(engine.similar("soap", 3).items) == 3


def test_hnsw_serves_and_states_its_recall(start: Starter) -> None:
    engine = start(index="hnsw")
    assert 0.8 <= engine.recall <= 1.0
    assert add(engine, Item("soap", title="red soap")).outcome == "created"
    assert "soap" in ids(ask(engine, "item-1", k=500))


def test_an_artifact_that_computes_something_else_is_not_served(start: Starter, tmp_path: Path) -> None:
    made = make_artifact(tmp_path / "a")
    made.golden = made.golden.replace(b'"scores": [\n    ', b'"scores": [\n    1', 1)
    made.manifest = made.manifest.model_copy(update={"version": "v2"})
    made.save(tmp_path / "a", "# changed")
    with pytest.raises(ArtifactError, match=r"golden\.json"):
        start(tmp_path / "a")
