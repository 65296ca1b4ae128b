"""Compaction: beside readers and writers, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.items import Item
from service.catalogue import catalogue as catalogue_module
from service.catalogue.catalogue import Catalogue, Compacted
from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.errors import Superseded
from service.index.coarse import BadIndex
from tests.support.service import add, make_artifact, make_settings, put

_SECONDS = 60  # that anything here may take on a slow machine


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(catalogue_module, "_DEAD", 100)
    make_artifact(tmp_path / "a")
    engine = Engine.start(make_settings(tmp_path / "a", tmp_path))
    yield engine
    engine.publisher.compactor.wait(_SECONDS)
    engine.close()


def crowd(engine: Engine, count: int = 130) -> None:
    """A few more than a third of all rows are dead then."""
    for number in range(count):
        put(engine, Item("r", title=f"soap number {number}"))


def title(engine: Engine, item_id: str) -> str | None:
    moment = engine.catalogue.moment
    row = moment.row(item_id)
    return None if row is None else moment.record(row).item.title


class Slow:
    """Makes compactions of a catalogue wait in the middle."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: Exception | None = None) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.count, self.fails = 0, fails
        make = Catalogue.compacted

        def compacted(catalogue: Catalogue) -> Compacted:
            made = make(catalogue)
            self.count += 1
            self.begun.set()
            assert self.go_on.wait(_SECONDS)
            if self.fails is not None:
                raise self.fails
            return made

        monkeypatch.setattr(Catalogue, "compacted", compacted)


def test_neither_writes_nor_reads_wait(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    crowd(engine)
    assert slow.begun.wait(_SECONDS)
    before = engine.catalogue.moment
    # All of this ends while the compaction stands still: it has no lock that would keep a write for five seconds.
    put(engine, Item("r", title="the last soap"))
    add(engine, Item("later", title="a later soap"))
    engine.writer.delete("item-7")
    assert len(engine.recommend(RecommendRequest(history=["later"], k=5)).items) == 5
    assert engine.catalogue.moment.generation is before.generation
    slow.go_on.set()
    engine.publisher.compactor.wait(_SECONDS)
    after = engine.catalogue.moment
    assert after.generation is not before.generation
    assert after.index.n <= after.index.live_count + 2  # but for the two rows that died meanwhile
    assert (title(engine, "r"), title(engine, "later"), title(engine, "item-7")) == (
        "the last soap",
        "a later soap",
        None,
    )
    assert slow.count == 1


def test_it_waits_for_a_writer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    crowd(engine)
    before = engine.catalogue.moment.generation
    assert slow.begun.wait(_SECONDS)
    monkeypatch.setattr(engine.publisher, "_seconds", 0.05)
    with engine.publisher.writing():
        slow.go_on.set()
        engine.publisher.compactor.wait(0.5)  # several attempts to get the lock
        assert engine.catalogue.moment.generation is before
    engine.publisher.compactor.wait(_SECONDS)
    assert engine.catalogue.moment.generation is not before


def test_it_ends_once_another_engine_serves(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="kindred.compact")
    slow = Slow(monkeypatch)
    crowd(engine)
    before = engine.catalogue.moment.generation
    assert slow.begun.wait(_SECONDS)
    engine.hand_over(lambda: None)
    slow.go_on.set()
    engine.publisher.compactor.wait(_SECONDS)
    assert engine.catalogue.moment.generation is before
    assert [entry.message for entry in caplog.records] == ["another engine has taken over; its index is new"]
    with pytest.raises(Superseded):
        put(engine, Item("r", title="soap"))


@pytest.mark.parametrize("error", [BadIndex("too few items"), MemoryError("no room")])
def test_what_fails_is_said_and_tried_again_much_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.WARNING, logger="kindred.compact")
    slow = Slow(monkeypatch, error)
    slow.go_on.set()
    crowd(engine)
    engine.publisher.compactor.wait(_SECONDS)
    n = engine.catalogue.moment.index.n
    crowd(engine, 20)
    assert slow.count == 1
    assert str(error) in caplog.text or str(error) in str(vars(caplog.records[0]))
    assert title(engine, "r") == "soap number 19"
    slow.fails = None
    crowd(engine, 2 * n - engine.catalogue.moment.index.n)
    engine.publisher.compactor.wait(_SECONDS)
    assert slow.count == 2
    # Once it has gone well, the next one comes as soon as it is due.
    crowd(engine)
    engine.publisher.compactor.wait(_SECONDS)
    assert slow.count == 3


def test_two_do_not_run_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    crowd(engine, 200)
    assert slow.begun.wait(_SECONDS)
    assert slow.count == 1
    slow.go_on.set()
    engine.publisher.compactor.wait(_SECONDS)
    assert title(engine, "r") == "soap number 199"
    assert slow.count == 1
