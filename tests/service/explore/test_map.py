"""The map as it is served: the artifact's places, and those found for what was registered since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model.artifact import Artifact
from model.items import Item
from service.contract.explore_answers import MapResponse
from service.engine.engine import Engine
from service.explore import map
from tests.support.service import (
    Client,
    Starter,
    explorer_of,
    fits,
    make_artifact,
    make_settings,
    put,
    refused,
    serving,
)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return make_artifact(tmp_path / "artifacts", mapped=True)


@pytest.fixture
def engine(artifact: Artifact, tmp_path: Path) -> Iterator[Engine]:
    starter = Starter(tmp_path / "artifacts", tmp_path)
    yield starter()
    starter.close()


def places(engine: Engine, limit: int = 20_000) -> dict[str, tuple[float, float]]:
    points = explorer_of(engine).map(engine.catalogue.moment, limit).points
    return {key: (x, y) for key, x, y in zip(points.item_id, points.x, points.y, strict=True)}


def test_catalogue_items_lie_where_the_artifact_says(engine: Engine, artifact: Artifact) -> None:
    assert artifact.positions is not None
    found = explorer_of(engine).map(engine.catalogue.moment, 1000)
    assert found.items == 240
    assert sorted(found.points.item_id) == sorted(artifact.items.item_ids)
    for item_id, place in places(engine).items():
        assert place == pytest.approx(artifact.positions[artifact.items.index_of[item_id]], abs=1e-4)
    shown = dict(zip(found.points.item_id, found.points.semantic_id, strict=True))
    assert shown == {item.item_id: item.semantic_id for item in engine.page(-1, 1000).items}
    assert not any(found.points.registered)


def test_a_registered_item_lies_among_those_like_it(engine: Engine) -> None:
    before = places(engine)
    put(engine, Item("new", title="small red lamp", brand="Alba", categories=("Home", "lamp")))
    near = [item.item_id for item in engine.similar("new", 5).items]
    found = explorer_of(engine).map(engine.catalogue.moment, 1000)
    assert found.points.item_id[-1] == "new"  # drawn last
    assert found.points.registered == [False] * 240 + [True]
    middle = np.mean([before[item_id] for item_id in near], axis=0)
    assert places(engine)["new"] == pytest.approx(middle, abs=1e-3)
    engine.writer.delete("new")
    assert places(engine) == before


def test_an_item_with_another_text_lies_elsewhere_and_one_that_is_gone_nowhere(engine: Engine) -> None:
    before = places(engine)
    put(engine, Item("item-3", title="bright travel novel"))
    engine.writer.delete("item-4")
    after = places(engine)
    assert after["item-3"] != before["item-3"]
    assert set(before) - set(after) == {"item-4"}
    assert {key: place for key, place in after.items() if key != "item-3"} == {
        key: place for key, place in before.items() if key not in ("item-3", "item-4")
    }


def test_the_most_used_and_the_latest_are_shown_where_not_all_are(engine: Engine) -> None:
    assert sorted(places(engine, 3)) == ["item-0", "item-1", "item-2"]
    for number in range(5):
        put(engine, Item(f"r-{number}", title=f"soap number {number}"))
    assert list(places(engine, 4)) == ["r-1", "r-2", "r-3", "r-4"]
    assert list(places(engine, 6)) == ["item-0", "r-0", "r-1", "r-2", "r-3", "r-4"]


def test_the_latest_of_many_registered_items_are_shown(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map, "_REGISTERED", 3)
    monkeypatch.setattr(map, "_KNOWN", 50)  # as where the catalogue is large
    for number in range(5):
        put(engine, Item(f"r-{number}", title=f"soap number {number}"))
    assert list(places(engine))[-3:] == ["r-2", "r-3", "r-4"]
    assert len(places(engine)) == 243


def test_an_artifact_without_a_map_has_no_points(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts")
    starter = Starter(tmp_path / "artifacts", tmp_path)
    engine = starter()
    put(engine, Item("new", title="a lamp"))
    found = explorer_of(engine).map(engine.catalogue.moment, 100)
    assert (found.items, found.points.item_id, found.points.x) == (241, [], [])
    starter.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    make_artifact(tmp_path / "artifacts", mapped=True)
    with serving(make_settings(tmp_path / "artifacts", tmp_path)) as client:
        yield client


def test_over_http(client: Client) -> None:
    found = fits(MapResponse, client.get("/map?limit=7").body)
    assert {len(column) for column in found["points"].values()} == {7}
    for limit in ("0", "50001", "x"):
        refused(client.get(f"/map?limit={limit}"), 422, "invalid-request", "limit")
