"""The neighbour index: the boosts of `model.neighbours`, while items are registered, replaced and removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.artifact import Artifact
from model.config import CO_OCCURRENCE
from model.items import Item
from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.index import neighbour_index as neighbour_indexing
from tests.support.service import Starter, add, ids, make_artifact, put


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return make_artifact(tmp_path / "artifacts")


@pytest.fixture
def engine(artifact: Artifact, tmp_path: Path) -> Engine:
    return Starter(tmp_path / "artifacts", tmp_path)()


def added(engine: Engine, history: list[str]) -> dict[str, float]:
    """What neighbours add to the score of each item that is served, those that get nothing left out."""
    moment = engine.catalogue.moment
    rows = [row for item in history if (row := moment.row(item)) is not None]
    boosts = moment.boosts([rows])
    assert boosts is not None
    served = {record.item_id for record in moment.listing()}
    found = {moment.record(int(row)).item_id: value for row, value in zip(boosts.cells, boosts.total, strict=True)}
    return {item: value for item, value in found.items() if value and item in served}


def by_model(artifact: Artifact, history: list[int], new: list[Item]) -> dict[str, float]:
    neighbours = artifact.neighbours.extended(artifact.encode_new(new).neighbours)
    names = [*artifact.items.item_ids, *(item.item_id for item in new)]
    (boosts,) = neighbours.boosts([np.array(history)])
    return {names[index]: float(boosts[index]) for index in np.flatnonzero(boosts)}


def fresh(number: int, like: int) -> Item:
    """A new item whose text is close to one of the catalogue's."""
    return Item(f"new-{number}", text=f"soft red soap lamp novel {like} Alba Home")


def test_the_catalogue_s_own_items_are_boosted_as_the_model_says(engine: Engine, artifact: Artifact) -> None:
    assert added(engine, ["item-3", "item-9"]) == pytest.approx(by_model(artifact, [3, 9], []), rel=1e-5)


def test_registered_items_count_in_histories_and_as_candidates(engine: Engine, artifact: Artifact) -> None:
    new = [fresh(0, 3), fresh(1, 4)]
    engine.writer.write(new)
    count = len(artifact.items)
    near = int(artifact.encode_new(new).neighbours[0].similar.items[0])
    for history in ([near, count], [count + 1, 3], [near]):
        names = [*artifact.items.item_ids, "new-0", "new-1"]
        expected = by_model(artifact, history, new)
        assert added(engine, [names[index] for index in history]) == pytest.approx(expected, rel=1e-5)
    assert "new-0" in added(engine, [f"item-{near}"])


def test_what_is_removed_is_boosted_no_more(engine: Engine, artifact: Artifact) -> None:
    add(engine, fresh(0, 3))
    near = f"item-{artifact.encode_new([fresh(0, 3)]).neighbours[0].similar.items[0]}"
    before = added(engine, [near])
    engine.writer.delete("new-0")
    gone = next(item for item in before if item.startswith("item-"))
    engine.writer.delete(gone)
    assert added(engine, [near]) == {item: value for item, value in before.items() if item not in ("new-0", gone)}


def test_an_item_with_a_new_text_keeps_its_co_occurrence_and_gets_other_similar_items(
    engine: Engine, artifact: Artifact
) -> None:
    neighbours = artifact.neighbours
    followers = neighbours.lists[CO_OCCURRENCE]
    # An item that follows another, so that both kinds are seen.
    follower = int(followers.items[0])
    leader = int(np.searchsorted(followers.offsets, 0, side="right") - 1)
    other = artifact.items.items[50]
    put(engine, Item(f"item-{follower}", text=other.to_text()))
    moment = engine.catalogue.moment
    row = moment.row(f"item-{follower}")
    boosts = moment.boosts([[moment.row(f"item-{leader}") or 0]])
    assert row is not None
    assert boosts is not None
    semantic, own = boosts.of(np.array([row]))
    assert own[0] > 0
    # As a history item it now speaks for what is near to the new text, the item it was copied from before all.
    assert "item-50" in added(engine, [f"item-{follower}"])
    expected = artifact.encode_new([Item("x", text=other.to_text())]).neighbours[0].similar.items
    is_near = leader in expected.tolist()
    assert (semantic[0] > 0) == is_near


@pytest.mark.parametrize("most", [0, 10**6])
def test_histories_read_together_are_boosted_as_each_by_itself(
    engine: Engine, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_indexing, "_CELLS", most)
    engine.writer.write([fresh(0, 3), fresh(1, 4)])
    put(engine, Item("item-7", text="a wholly other text about soap"))
    engine.writer.delete("item-8")
    moment = engine.catalogue.moment
    rng = np.random.default_rng(3)
    histories = [rng.choice(moment.index.n, length).tolist() for length in (1, 7, 3, 12)]
    together = moment.boosts(histories)
    assert together is not None
    for at, history in enumerate(histories):
        alone, part = moment.boosts([history]), together.history(at)
        assert alone is not None
        order, others = alone.cells.argsort(), part.cells.argsort()
        assert part.cells[others].tolist() == alone.cells[order].tolist()
        np.testing.assert_allclose(part.total[others], alone.total[order], rtol=1e-12)


def test_a_moment_does_not_see_items_registered_after_it(engine: Engine, artifact: Artifact) -> None:
    near = int(artifact.encode_new([fresh(0, 3)]).neighbours[0].similar.items[0])
    before = engine.catalogue.moment
    add(engine, fresh(0, 3))
    boosts = before.boosts([[near]])
    assert boosts is not None
    assert boosts.cells.max() < before.index.n


def test_answers_are_the_same_after_a_restart(engine: Engine, tmp_path: Path) -> None:
    for number in range(5):
        add(engine, fresh(number, number))
    put(engine, Item("item-7", text="a wholly other text about soap"))
    engine.writer.delete("item-8")
    request = RecommendRequest(history=["item-3", "new-2", "item-7"], k=20, explain=True)
    before = engine.recommend(request)
    engine.close()
    after = Starter(tmp_path / "artifacts", tmp_path)().recommend(request)
    assert ids(after) == ids(before)
    # Texts are compared one at a time or many at once, which rounds otherwise.
    assert [item.score for item in after.items] == pytest.approx([item.score for item in before.items], rel=1e-6)


def test_a_history_longer_than_the_decays_that_are_kept_is_boosted_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = [f"item-{number}" for number in range(12)]
    expected = added(engine, history)
    neighbour_index = engine.catalogue.moment._neighbour_index
    monkeypatch.setattr(neighbour_index, "_decays", neighbour_index._decayed(3))
    assert added(engine, history) == expected
