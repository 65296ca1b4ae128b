"""Moments: what a reader holds stays whole, whatever is written meanwhile."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from model.items import Item
from model.neighbours import Neighbours
from service.catalogue.catalogue import Catalogue
from service.catalogue.records import Record
from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.errors import UnknownItem
from service.index.item_index import ItemIndex
from service.index.neighbour_index import ItemLinks
from tests.support.service import make_artifact, make_settings, put


def record(number: int, revision: int = 0, brand: str = "a") -> Record:
    item = Item(f"i{number}", title="x", brand=brand)
    return Record(
        item=item,
        codes=(number % 3,),
        cold=number % 2 == 0,
        order=number,
        popularity=10 - number % 10,
        revision=revision,
        attributes=item.public_attributes(),
        links=ItemLinks(number, None),
    )


def vector(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal(4).astype(np.float32)


def make(count: int = 10) -> Catalogue:
    vectors = np.array([vector(n) for n in range(count)])
    return Catalogue([record(n) for n in range(count)], vectors, partial(ItemIndex, split=2), Neighbours(count))


def listed(catalogue: Catalogue) -> list[str]:
    return [found.item_id for found in catalogue.moment.listing()]


def test_a_moment_stays_as_it_was() -> None:
    catalogue = make()
    before = catalogue.moment
    row = before.row("i3")
    catalogue.apply([(record(3, 1, brand="b"), vector(99)), (record(50), vector(50))], ["i4"])
    after = catalogue.moment
    # The old moment: its row of i3, i4 still there, i50 not yet.
    assert before.row("i3") == row
    assert before.row("i4") is not None
    assert before.row("i50") is None
    assert row is not None
    assert before.record(row).revision == 0
    # The new one.
    assert after.row("i4") is None
    new_row = after.row("i3")
    assert new_row is not None
    assert after.record(new_row).revision == 1
    assert listed(catalogue) == ["i0", "i1", "i2", "i3", *[f"i{n}" for n in range(5, 10)], "i50"]


def test_a_deleted_id_that_comes_back_is_new_to_later_moments_alone() -> None:
    catalogue = make()
    catalogue.apply([], ["i3"])
    between = catalogue.moment
    catalogue.apply([(record(3, 2), vector(3))])
    assert between.row("i3") is None
    assert catalogue.moment.row("i3") is not None
    assert listed(catalogue) == [f"i{n}" for n in range(10)]


def test_filters_forget_what_was_replaced() -> None:
    catalogue = make()
    catalogue.apply([(record(3, 1, brand="b"), vector(3))])
    moment = catalogue.moment
    for brand, expected in (("a", 9), ("b", 1), ("c", 0)):
        rows, _ = moment.index.search(vector(1)[None], 10, moment.allowed({"brand": [brand]}))
        assert (rows >= 0).sum() == expected


def test_an_attribute_that_no_item_has_is_told_from_a_value_that_none_has() -> None:
    catalogue = make()
    before = catalogue.moment
    assert before.unknown({"brand": ["nobody's"], "size": ["s"], "colour": [1]}) == ["size", "colour"]
    catalogue.apply([(replace(record(3, 1), attributes={"size": "s"}), vector(3))])
    assert before.unknown({"size": ["s"]}) == ["size"]
    assert catalogue.moment.unknown({"size": ["m"], "colour": []}) == ["colour"]
    catalogue.apply([(record(3, 2), vector(3))])
    assert catalogue.moment.unknown({"size": ["s"]}) == ["size"]


def test_counts_follow_every_change() -> None:
    catalogue = make()
    assert (len(catalogue), catalogue.cold, catalogue.moment.shares((0,))) == (10, 5, 4)
    catalogue.apply([(record(12), vector(12))], ["i0", "nothing"])
    assert (len(catalogue), catalogue.cold, catalogue.moment.shares((0,))) == (10, 5, 4)
    catalogue.apply([], ["i0"])  # gone already
    assert len(catalogue) == 10


def test_compaction_changes_no_answer() -> None:
    catalogue = make(100)
    held = catalogue.moment
    for turn in range(15):
        catalogue.apply([(record(n, turn + 1), vector(n)) for n in range(100)])
        if catalogue.crowded:
            catalogue.take(catalogue.compacted())
    assert catalogue.moment.index.n < 1300
    assert listed(catalogue) == [f"i{n}" for n in range(100)]
    queries = np.array([vector(500), vector(501)])
    old, new = held.index.search(queries, 20), catalogue.moment.index.search(queries, 20)
    np.testing.assert_array_equal(old[1], new[1])
    assert [[held.record(int(r)).item_id for r in rows] for rows in old[0]] == [
        [catalogue.moment.record(int(r)).item_id for r in rows] for rows in new[0]
    ]


def test_what_is_written_during_a_compaction_is_kept() -> None:
    catalogue, fresh = make(), make()
    for turn in range(3):
        catalogue.apply([(record(n, turn + 1), vector(n)) for n in range(5)])
    compacted = catalogue.compacted()
    writes: list[tuple[list[tuple[Record, np.ndarray]], list[str]]] = [
        ([(record(3, 9, brand="b"), vector(99)), (record(50), vector(50)), (record(51), vector(51))], ["i4", "i5"]),
        ([(record(4, 9), vector(4)), (record(50, 2, brand="b"), vector(52))], ["i51", "i6"]),  # i4 comes back
        ([(record(3, 10, brand="c"), vector(98))], []),
    ]
    for written, removed in writes:
        catalogue.apply(written, removed)
    before = catalogue.moment
    catalogue.take(compacted)
    fresh.apply([(record(n, 3), vector(n)) for n in range(5)])
    for written, removed in writes:
        fresh.apply(written, removed)
    now, expected = catalogue.moment, fresh.moment
    assert now.generation is not before.generation
    for moment in (now, before):
        assert [found.item_id for found in moment.listing()] == [found.item_id for found in expected.listing()]
        assert [found.revision for found in moment.listing()] == [found.revision for found in expected.listing()]
        assert [moment.row("i4") is None, moment.row("i51") is None] == [False, True]
        for brand in "abc":
            found = [moment.index.search(vector(1)[None], 12, moment.allowed({"brand": [brand]}))[1]]
            wanted = [expected.index.search(vector(1)[None], 12, expected.allowed({"brand": [brand]}))[1]]
            np.testing.assert_array_equal(found, wanted)
    assert (catalogue.cold, catalogue.registered, len(catalogue)) == (fresh.cold, fresh.registered, len(fresh))
    assert [now.shares((code,)) for code in range(3)] == [expected.shares((code,)) for code in range(3)]
    # Further writes go on from there, and so does the next compaction.
    for one in (catalogue, fresh):
        one.apply([(record(3, 11), vector(3))], ["i50"])
    catalogue.take(catalogue.compacted())
    assert listed(catalogue) == listed(fresh)
    assert catalogue.moment.index.n == len(fresh)


def test_readers_and_writers_together(tmp_path: Path) -> None:
    make_artifact(tmp_path / "a")
    engine = Engine.start(make_settings(tmp_path / "a", tmp_path))
    stop = threading.Event()
    wrong: list[str] = []

    def read(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            history = [f"item-{rng.randrange(240)}", f"own-{rng.randrange(3)}-{rng.randrange(20)}"]
            answer = engine.recommend(RecommendRequest(history=history, k=500, exclude=["item-7"]))
            found = [item.item_id for item in answer.items]
            if len(found) != len(set(found)) or set(found) & {*history, "item-7"}:
                wrong.append(f"twice, seen or excluded: {found}")
            if any(item.attributes.get("wrong") for item in answer.items):
                wrong.append("half an item")

    def write(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for step in range(60):
                item_id = f"own-{seed}-{rng.randrange(20)}"
                if rng.random() < 0.3:
                    try:
                        engine.writer.delete(item_id)
                    except UnknownItem:
                        continue
                    if engine.recommend(RecommendRequest(history=[item_id])).unknown_history != [item_id]:
                        wrong.append(f"{item_id} was deleted and is still known")
                else:
                    put(engine, Item(item_id, title=f"soap {step}", attributes={"step": step}))
                    answer = engine.recommend(
                        RecommendRequest(history=["item-1"], k=500, filter={"step": [step], "title": [f"soap {step}"]})
                    )
                    if item_id not in [item.item_id for item in answer.items]:
                        wrong.append(f"{item_id} was acknowledged and is not recommended")
        except Exception as error:
            wrong.append(repr(error))
            raise

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(2)]
    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    served = engine.page(-1, 1000)
    engine.close()
    assert not wrong, wrong[:3]
    again = Engine.start(make_settings(tmp_path / "a", tmp_path))
    assert again.page(-1, 1000) == served
    again.close()
