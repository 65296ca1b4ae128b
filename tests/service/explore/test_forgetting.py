"""What was looked at before a compaction is not kept after it: the old generation's memory is free."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.items import Item
from service.catalogue import catalogue as catalogue_module
from service.catalogue.generation import Generation
from service.catalogue.moment import Moment
from service.engine.engine import Engine
from service.explore.explorer import Explorer
from tests.support.service import explorer_of, make_artifact, make_settings, put

_SECONDS = 60
NEW = Item("new", title="small red lamp", brand="Alba")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(catalogue_module, "_DEAD", 20)
    make_artifact(tmp_path / "a", evaluated=True, mapped=True)
    engine = Engine.start(make_settings(tmp_path / "a", tmp_path))
    explorer_of(engine)  # before anything is left behind, as in the service
    yield engine
    engine.publisher.compactor.wait(_SECONDS)
    engine.close()


def look_around(engine: Engine, moment: Moment | None = None) -> None:
    """All that keeps something for the next who asks."""
    moment = moment or engine.catalogue.moment
    assert explorer_of(engine).preview(moment, NEW).audience.users
    assert explorer_of(engine).codes(moment, []).branches
    assert explorer_of(engine).map(moment, 100).points.item_id
    assert explorer_of(engine).search(moment, "red lamp", 5).items


def compact(engine: Engine) -> None:
    before = engine.catalogue.moment.index.n
    for number in range(130):
        put(engine, Item("r", title=f"soap number {number}"))
    engine.publisher.compactor.wait(_SECONDS)
    assert engine.catalogue.moment.index.n < before + 130


def generations() -> int:
    gc.collect()
    return sum(type(each) is Generation for each in gc.get_objects())


def test_one_generation_is_alive_after_a_compaction(engine: Engine) -> None:
    others = generations() - 1  # of engines that other tests have left to a collection
    for _ in range(2):
        look_around(engine)
        compact(engine)
        assert generations() == others + 1
    look_around(engine)


def test_who_asked_before_it_and_is_answered_after_it_leaves_nothing(engine: Engine) -> None:
    others = generations() - 1
    before = engine.catalogue.moment
    compact(engine)
    look_around(engine, before)
    del before
    assert generations() == others + 1


def test_an_explorer_that_was_used_is_freed_without_a_collection(engine: Engine) -> None:
    """Else an engine that was swapped out would leave its artifact and its items behind."""
    explorer = Explorer(engine.artifact, 99)
    moment = engine.catalogue.moment
    explorer.preview(moment, NEW)
    explorer.map(moment, 10)
    left = weakref.ref(explorer)
    gc.disable()
    try:
        del explorer
        assert left() is None
    finally:
        gc.enable()
