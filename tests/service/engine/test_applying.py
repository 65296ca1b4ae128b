"""Rows that others committed: applied in any order and any number of times, an engine serves what the database says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from model.items import Item
from service.engine.engine import Engine
from service.errors import UnknownItem
from service.registry.registry import Registry, RegistryRow
from tests.support.service import add, ask, ids, make_settings, put


@pytest.fixture
def two(root: Path, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """Two engines on one registry, neither of which hears of the other."""
    with ExitStack() as stack:
        yield stack.enter_context(started(root, tmp_path)), stack.enter_context(started(root, tmp_path))


@contextmanager
def started(root: Path, folder: Path) -> Iterator[Engine]:
    engine = Engine.start(make_settings(root, folder))
    try:
        yield engine
    finally:
        engine.close()


def rows_of(folder: Path) -> dict[str, RegistryRow]:
    registry = Registry(f"sqlite:///{folder}/registry.db")
    try:
        return {row.item_id: row for rows in registry.rows() for row in rows}
    finally:
        registry.close()


def state(engine: Engine) -> list[object]:
    return [(item.item_id, item.revision, item.semantic_id, item.attributes) for item in engine.page(-1, 1000).items]


def test_what_another_wrote_is_served(two: tuple[Engine, Engine], tmp_path: Path) -> None:
    author, reader = two
    add(author, Item("new", title="red soap"))
    put(author, Item("item-3", title="a lamp now"))
    author.writer.delete("item-5")
    assert reader.writer.apply(list(rows_of(tmp_path).values())) == 3
    assert reader.get("new").revision == 1
    assert reader.get("item-3").attributes["title"] == "a lamp now"
    with pytest.raises(UnknownItem):
        reader.get("item-5")
    assert "new" in ids(ask(reader, "item-1", k=500))
    assert state(reader) == state(author)


def test_rows_may_come_late_twice_and_in_any_order(two: tuple[Engine, Engine], tmp_path: Path) -> None:
    author, reader = two
    rng = random.Random(4)
    history: list[RegistryRow] = []
    for step in range(60):
        item_id = rng.choice(["item-1", "item-2", "a", "b", "c"])
        if rng.random() < 0.3:
            try:
                author.writer.delete(item_id)
            except UnknownItem:
                continue
        else:
            put(author, Item(item_id, title=f"{rng.choice(['red', 'blue'])} lamp {step}"))
        history.append(rows_of(tmp_path)[item_id])
    told = history * 2
    rng.shuffle(told)
    while told:
        count = rng.randrange(1, 6)
        reader.writer.apply(told[:count])
        told = told[count:]
    assert state(reader) == state(author)
    assert reader.writer.apply(history) == 0
    assert ids(ask(reader, "item-9", k=500)) == ids(ask(author, "item-9", k=500))


def test_a_row_that_comes_late_does_not_bring_back_what_was_deleted(two: tuple[Engine, Engine], tmp_path: Path) -> None:
    author, reader = two
    add(author, Item("new", title="red soap"))
    before = rows_of(tmp_path)["new"]
    author.writer.delete("new")
    assert author.writer.apply([before]) == 0
    assert reader.writer.apply([rows_of(tmp_path)["new"]]) == 1
    assert reader.writer.apply([before]) == 0
    for engine in two:
        with pytest.raises(UnknownItem):
            engine.get("new")


def test_an_engine_that_starts_later_knows_what_it_has_read(
    two: tuple[Engine, Engine], root: Path, tmp_path: Path
) -> None:
    add(two[0], Item("new", title="red soap"))
    before = rows_of(tmp_path)["new"]
    two[0].writer.delete("new")
    with started(root, tmp_path) as engine:
        assert engine.writer.apply([before]) == 0
        with pytest.raises(UnknownItem):
            engine.get("new")
