"""The engine: recommendations, reasons, fallback, filters, diversity, and items written while it serves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artifact import Artifact, ArtifactError
from model.items import Item
from service.engine import Engine
from service.errors import ItemConflict, RegistryUnavailable, UnknownItem
from service.results import Recommendation
from service.schemas import RecommendRequest
from tests.service_support import make_artifact, make_settings

Start = Callable[..., Engine]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    make_artifact(folder)
    return folder


@pytest.fixture(scope="module")
def artifact(root: Path) -> Artifact:
    return Artifact.load(root)


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts engines on one registry, each after the one before was closed."""
    engines: list[Engine] = []

    def begin(at: Path = root, **changes: Any) -> Engine:
        while engines:
            engines.pop().close()
        engines.append(Engine.start(make_settings(at, tmp_path, **changes)))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.close()


def ask(engine: Engine, *history: str, **options: Any) -> Recommendation:
    return engine.recommend(RecommendRequest(history=list(history), **options))


def ids(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items]


def scores_of(artifact: Artifact, history: list[int]) -> Any:
    embeddings = artifact.catalogue_embeddings()
    return (artifact.query([embeddings[history]]).astype(np.float64) @ embeddings.T.astype(np.float64))[0]


def test_recommendations_are_the_model_s_best(start: Start, artifact: Artifact) -> None:
    answer = ask(start(), "item-3", "item-9", "item-27", k=15)
    scores = scores_of(artifact, [3, 9, 27])
    seen = {3, 9, 27}
    expected = [index for index in np.argsort(-scores, kind="stable") if index not in seen][:15]
    assert ids(answer) == [f"item-{index}" for index in expected]
    np.testing.assert_allclose([item.score for item in answer.items], scores[expected], rtol=1e-4)
    assert answer.strategy == "model"
    assert answer.model_version == "v1"
    assert answer.items[0].attributes["brand"] in ("Alba", "Borea", "Corvo", "Dune")


def test_seen_items_stay_out_unless_wanted_and_excluded_ones_always(start: Start) -> None:
    engine = start()
    everything = ids(ask(engine, "item-1", "item-2", k=500, exclude_seen=False))
    assert len(everything) == 240
    assert set(everything) - set(ids(ask(engine, "item-1", "item-2", k=500))) == {"item-1", "item-2"}
    without = ids(ask(engine, "item-1", k=500, exclude=["item-5", "unknown"], exclude_seen=False))
    assert set(everything) - set(without) == {"item-5"}


def test_unknown_items_of_a_history_are_listed_once_and_left_out(start: Start) -> None:
    engine = start()
    answer = ask(engine, "nope", "item-1", "gone", "nope", "item-2")
    assert answer.unknown_history == ["nope", "gone"]
    assert answer.items == ask(engine, "item-1", "item-2").items
    assert answer.strategy == "model"


@pytest.mark.parametrize("history", [[], ["nope"]])
def test_a_history_with_nothing_known_is_answered_by_popularity(start: Start, history: list[str]) -> None:
    answer = ask(start(), *history, k=4, exclude=["item-1"], explain=True)
    assert answer.strategy == "popularity"
    assert ids(answer) == ["item-0", "item-2", "item-3", "item-4"]
    assert [item.score for item in answer.items] == [240, 238, 237, 236]
    assert all(item.reasons is None for item in answer.items)


def test_popularity_obeys_filters_and_ends_with_the_cold(start: Start) -> None:
    engine = start()
    assert ids(ask(engine, k=2, filter={"brand": ["Dune"]})) == ["item-18", "item-19"]
    answer = ask(engine, k=500)
    assert [item.cold for item in answer.items[-4:]] == [True] * 4
    assert not any(item.cold for item in answer.items[:-4])


def test_of_a_long_history_the_latest_items_count(start: Start) -> None:
    engine = start()
    latest = [f"item-{index}" for index in range(100, 108)]  # the model reads 8
    long = [f"item-{index}" for index in range(50)] + latest
    assert ask(engine, *long, exclude_seen=False).items == ask(engine, *latest, exclude_seen=False).items
    assert not set(ids(ask(engine, *long, k=500))) & set(long)


def test_a_batch_gives_each_entry_its_own_answer(start: Start) -> None:
    engine = start()
    histories = [["item-1"], [], ["item-2", "item-3", "item-4"], ["nope"]] * 40
    requests = [RecommendRequest(history=history, k=5) for history in histories]
    for history, answer in zip(histories, engine.recommend_batch(requests), strict=True):
        alone = ask(engine, *history, k=5)
        assert (answer.strategy, answer.unknown_history) == (alone.strategy, alone.unknown_history)
        # Histories computed together differ in the last digits, so close scores may change places.
        np.testing.assert_allclose([i.score for i in answer.items], [i.score for i in alone.items], rtol=1e-4)


def test_reasons_add_up_to_the_score_exactly_and_name_like_items(start: Start) -> None:
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


def test_filters_match_any_value_of_every_attribute(start: Start) -> None:
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


def test_diversity_spreads_the_answer(start: Start) -> None:
    engine = start()
    plain = ask(engine, "item-1", k=10)
    assert ask(engine, "item-1", k=10, diversity=0.0).items == plain.items
    spread = ask(engine, "item-1", k=10, diversity=0.9)
    assert spread.items[0] == plain.items[0]
    assert len(set(ids(spread))) == 10

    def closeness(answer: Recommendation) -> float:
        embeddings = engine.artifact.catalogue_embeddings()
        chosen = embeddings[[int(item_id.removeprefix("item-")) for item_id in ids(answer)]]
        chosen = chosen / np.linalg.norm(chosen, axis=1, keepdims=True)
        return float((chosen @ chosen.T).mean())

    assert closeness(spread) < closeness(plain)


def test_a_new_item_is_recommended_counts_in_a_history_and_is_similar(start: Start) -> None:
    engine = start()
    twin = engine.artifact.items.items[8]
    written = engine.add(
        Item("new/1", title=twin.title, brand=twin.brand, categories=twin.categories, price=twin.price)
    )
    assert (written.outcome, written.cold, written.source, written.revision) == ("created", True, "registered", 1)
    assert written.semantic_id == engine.get("item-8").semantic_id
    assert written.shares_semantic_id == engine.get("item-8").shares_semantic_id >= 1
    assert "new/1" in ids(ask(engine, "item-1", k=500))
    alone = ask(engine, "new/1", k=5)
    assert (alone.strategy, alone.unknown_history) == ("model", [])
    assert ask(engine, "item-3", "new/1").items != ask(engine, "item-3").items
    assert "new/1" in [item.item_id for item in engine.similar("item-8", 5).items]
    assert "item-8" in [item.item_id for item in engine.similar("new/1", 5).items]
    assert [item.item_id for item in ask(engine, "item-1", k=5, filter={"title": [twin.title or ""]}).items]


def test_writing_is_idempotent_and_conflicts_are_refused(start: Start) -> None:
    engine = start()
    soap = Item("soap", title="green soap", attributes={"a": 1, "b": 2})
    assert engine.add(soap).outcome == "created"
    assert engine.add(Item("soap", title="green soap", attributes={"b": 2, "a": 1})).outcome == "unchanged"
    with pytest.raises(ItemConflict, match="'soap' exists with other content"):
        engine.add(Item("soap", title="grey soap"))
    replaced = engine.put(Item("soap", title="grey soap"))
    assert (replaced.outcome, replaced.revision) == ("replaced", 2)
    assert engine.put(Item("soap", title="grey soap")).outcome == "unchanged"
    assert engine.get("soap").attributes == {"title": "grey soap"}
    assert ids(ask(engine, "soap", "item-1", k=500)).count("soap") == 0
    assert ids(ask(engine, "item-1", k=500)).count("soap") == 1
    engine.delete("soap")
    with pytest.raises(UnknownItem):
        engine.get("soap")
    with pytest.raises(UnknownItem):
        engine.delete("soap")
    assert ask(engine, "soap").unknown_history == ["soap"]
    again = engine.add(Item("soap", title="blue soap"))
    assert (again.outcome, again.revision) == ("created", 4)


def test_texts_unlike_the_training_texts_are_flagged(start: Start, artifact: Artifact) -> None:
    engine = start(unusual_percentile=80)
    usual = artifact.error_quantiles[50]
    written = [engine.add(Item(f"again-{n}", title=artifact.items.items[n].title)) for n in range(40)]
    assert {item.unusual for item in written} == {True, False}
    for item in written:
        assert item.unusual == (item.quantization_error >= artifact.error_quantiles[80])
        assert (item.quantization_error_percentile > 50) == (item.quantization_error > usual)


def test_a_batch_decides_each_item_by_itself(start: Start) -> None:
    engine = start()
    engine.add(Item("b", title="lamp"))
    results = engine.add_batch(
        [
            Item("a", title="x"),
            Item("b", title="other"),
            Item("a", title="x"),
            Item("a", title="y"),
            Item("b", title="lamp"),
        ]
    )
    assert [r if isinstance(r, ItemConflict) else r.outcome for r in results][0::2] == [
        "created",
        "unchanged",
        "unchanged",
    ]
    assert isinstance(results[1], ItemConflict)
    assert isinstance(results[3], ItemConflict)
    assert engine.get("a").attributes["title"] == "x"


def test_a_catalogue_item_keeps_what_was_learned_under_a_new_text(start: Start, artifact: Artifact) -> None:
    engine = start()
    own = artifact.items.items[8]
    assert engine.add(own).outcome == "unchanged"
    assert engine.get("item-8").source == "catalogue"
    with pytest.raises(ItemConflict):
        engine.add(Item("item-8", title="something else"))
    text = Item("item-8", title="bright classic guitar 5", brand="Dune")
    replaced = engine.put(text)
    assert (replaced.outcome, replaced.cold, replaced.source, replaced.revision) == ("replaced", False, "registered", 1)
    # The ID half is the trained one; the semantic half is that of the new text.
    moment = engine.catalogue.moment
    row = moment.row("item-8")
    assert row is not None
    now, before = moment.view.vectors[row], artifact.catalogue_embeddings()[8]
    np.testing.assert_array_equal(now[16:], before[16:])
    np.testing.assert_array_equal(now, artifact.encode_new([text], [8]).embeddings[0])
    assert ids(ask(engine, k=10))[8] == "item-8"  # its popularity stays too
    assert [item.item_id for item in engine.page(6, 3).items] == ["item-7", "item-8", "item-9"]


def test_a_restart_changes_nothing(start: Start) -> None:
    engine = start()
    engine.add_batch([Item(f"new-{n}", title=f"soft soap {n}", attributes={"n": n}) for n in range(5)])
    engine.put(Item("item-8", title="another text"))
    engine.put(Item("new-1", title="changed"))
    engine.delete("item-9")
    engine.delete("new-2")
    before = ask(engine, "item-1", "new-1", k=500, explain=True)
    listed = engine.page(-1, 1000)
    engine = start()
    assert ask(engine, "item-1", "new-1", k=500, explain=True) == before
    assert engine.page(-1, 1000) == listed
    assert {"item-9", "new-2"} & set(ids(before)) == set()
    assert engine.catalogue.cold == 4 + 4
    back = engine.add(engine.artifact.items.items[9])
    assert (back.outcome, back.cold) == ("created", False)
    assert [item.item_id for item in engine.page(7, 2).items] == ["item-8", "item-9"]


def test_another_artifact_tokenizes_registered_items_anew(start: Start, tmp_path: Path) -> None:
    engine = start()
    soap = Item("soap", title="red soap", brand="Alba")
    first = engine.add(soap)
    other_root = tmp_path / "other"
    other = make_artifact(other_root, version="v2", seed=5)
    engine = start(other_root)
    assert engine.artifact.version == "v2"
    again = engine.get("soap")
    assert again.semantic_id == other.encode_new([soap]).codes[0].tolist()
    assert again.semantic_id != first.semantic_id
    assert (again.revision, again.cold) == (first.revision, True)
    row = engine.catalogue.moment.row("soap")
    assert row is not None
    np.testing.assert_array_equal(engine.catalogue.moment.view.vectors[row], other.encode_new([soap]).embeddings[0])


def test_an_item_that_a_later_artifact_learned_becomes_warm(start: Start, tmp_path: Path) -> None:
    engine = start()
    soap = Item("soap", title="red soap", brand="Alba")
    assert engine.add(soap).cold
    other_root = tmp_path / "other"
    make_artifact(other_root, version="v2", items=[soap, *engine.artifact.items.items])
    engine = start(other_root)
    assert not engine.get("soap").cold
    assert engine.page(-1, 1).items[0].item_id == "soap"


def test_many_replacements_do_not_grow_the_catalogue_for_ever(start: Start) -> None:
    engine = start()
    for step in range(6):
        for part in range(0, 240, 60):
            items = [Item(f"item-{n}", title=f"text {step} {n}") for n in range(part, part + 60)]
            engine._write(items, replacing=True)
    view = engine.catalogue.moment.view
    assert view.live_count == 240
    assert view.n <= 240 + 1024 + 60
    for _ in range(2):
        assert len(ids(ask(engine, "item-1", k=500))) == 239
        engine = start()


def test_a_write_that_cannot_be_committed_changes_nothing(start: Start) -> None:
    engine = start(database_timeout=0.05)
    path = engine._settings.database_url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    before = ask(engine, "item-1", k=500)
    for write in (
        lambda: engine.add(Item("soap", title="soap")),
        lambda: engine.put(Item("item-1", title="soap")),
        lambda: engine.delete("item-2"),
    ):
        with pytest.raises(RegistryUnavailable):
            write()
        assert ask(engine, "item-1", k=500) == before
    other.execute("ROLLBACK")
    other.close()
    assert engine.add(Item("soap", title="soap")).outcome == "created"


@pytest.mark.parametrize("by", ["semantic", "hybrid"])
def test_similar_items_are_the_nearest_by_cosine(start: Start, artifact: Artifact, by: Any) -> None:
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


def test_pages_and_export_walk_over_everything_once(start: Start) -> None:
    engine = start()
    engine.add(Item("z", title="soap"))
    engine.delete("item-100")
    seen: list[str] = []
    after = -1
    while True:
        page = engine.page(after, 37)
        seen += [item.item_id for item in page.items]
        if page.next_cursor is None:
            break
        after = int(page.next_cursor)
    assert seen == [f"item-{n}" for n in range(240) if n != 100] + ["z"]
    assert [item.item_id for item in engine.export()] == seen
    assert [item.item_id for item in engine.export("registered")] == ["z"]
    assert len(engine.page(-1, 1000, "catalogue").items) == 239


@pytest.mark.parametrize("tokens", ["id", "semantic"])
def test_artifacts_of_one_token_type_are_served(start: Start, tmp_path: Path, tokens: Any) -> None:
    make_artifact(tmp_path / "a", tokens=tokens)
    engine = start(tmp_path / "a")
    answer = ask(engine, "item-1", "item-2", k=5, explain=True)
    for item in answer.items:
        assert item.reasons is not None
        assert (item.reasons.semantic if tokens == "id" else item.reasons.id) == 0
        assert item.reasons.semantic + item.reasons.id == item.score
    assert engine.add(Item("soap", title="red soap")).cold
    assert engine.get("soap").shares_semantic_id == (0 if tokens == "id" else engine.get("soap").shares_semantic_id)
    assert len(engine.similar("soap", 3).items) == 3


def test_hnsw_serves_and_states_its_recall(start: Start) -> None:
    engine = start(index="hnsw")
    assert 0.8 <= engine.recall <= 1.0
    assert engine.add(Item("soap", title="red soap")).outcome == "created"
    assert "soap" in ids(ask(engine, "item-1", k=500))


def test_an_artifact_that_computes_something_else_is_not_served(start: Start, tmp_path: Path) -> None:
    made = make_artifact(tmp_path / "a")
    made.golden = made.golden.replace(b'"scores": [\n    ', b'"scores": [\n    1', 1)
    made.manifest = made.manifest.model_copy(update={"version": "v2"})
    made.save(tmp_path / "a", "# changed")
    with pytest.raises(ArtifactError, match=r"golden\.json"):
        start(tmp_path / "a")
