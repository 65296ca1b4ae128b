"""The tree of semantic IDs: every count held against a walk over all items, at any moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model.items import Item
from model.telling_words import TellingWords
from service.catalogue import catalogue
from service.contract.explore_answers import CodesResponse
from service.engine.engine import Engine
from service.explore import code_tree
from tests.support.service import (
    Client,
    Starter,
    explorer_of,
    fits,
    make_artifact,
    make_items,
    make_settings,
    put,
    refused,
    serving,
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    make_artifact(tmp_path / "artifacts")
    starter = Starter(tmp_path / "artifacts", tmp_path)
    yield starter
    starter.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    make_artifact(tmp_path / "artifacts")
    with serving(make_settings(tmp_path / "artifacts", tmp_path)) as client:
        yield client


def below(engine: Engine, *prefix: int) -> CodesResponse:
    return explorer_of(engine).codes(engine.catalogue.moment, list(prefix))


def semantic_ids(engine: Engine) -> dict[str, tuple[int, ...]]:
    """What the items have, in their order."""
    return {item.item_id: tuple(item.semantic_id) for item in engine.page(-1, 10_000).items}


def check(engine: Engine) -> None:
    """Every beginning, every count."""
    every = semantic_ids(engine)
    depth = len(next(iter(every.values())))
    for length in range(depth + 1):
        for prefix in {codes[:length] for codes in every.values()}:
            tree = below(engine, *prefix)
            inside = {key: codes for key, codes in every.items() if codes[:length] == prefix}
            assert (tree.prefix, tree.items) == (list(prefix), len(inside))
            expected = Counter(codes[length] for codes in inside.values()) if length < depth else Counter[int]()
            assert [(branch.code, branch.items) for branch in tree.branches] == sorted(
                expected.items(), key=lambda pair: (-pair[1], pair[0])
            )
            assert [item.item_id for item in tree.found] == (list(inside)[:100] if prefix else [])
    for number, level in enumerate(below(engine).levels):
        groups = Counter(codes[: number + 1] for codes in every.values())
        assert level.level == number + 1
        assert level.used == len({codes[number] for codes in every.values()})
        assert (level.prefixes, level.most) == (len(groups), max(groups.values()))
        assert level.alone == sum(count == 1 for count in groups.values())


def test_counts_are_those_of_the_items(start: Starter) -> None:
    check(start())


def test_counts_follow_what_is_registered_replaced_and_deleted(start: Starter) -> None:
    engine = start()
    below(engine)
    for number, item in enumerate(make_items(50)):
        put(engine, Item(f"r-{number}", title=f"organic {item.title}"))
    for number in range(0, 60, 3):
        engine.writer.delete(f"item-{number}")
    put(engine, Item("item-1", title="bright travel novel"))
    check(engine)
    engine.writer.delete("r-0")
    check(engine)


def test_a_catalogue_that_was_packed_anew(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_DEAD", 100)
    engine = start()
    before = engine.catalogue.moment.generation
    below(engine)
    for number in range(200):  # a third of all rows are dead by then
        put(engine, Item("r", title=f"soap number {number}"))
    engine.publisher.compactor.wait()
    assert engine.catalogue.moment.generation is not before
    check(engine)


def test_branches_are_told_by_their_words(start: Starter) -> None:
    engine = start()
    items = list(engine.export())
    telling = TellingWords(["\n".join((item.title or "", item.brand or "", *item.categories)) for item in items])
    rows = {item.item_id: row for row, item in enumerate(items)}
    every = semantic_ids(engine)
    tree = below(engine)
    for branch in tree.branches:
        inside = np.array([rows[key] for key, codes in every.items() if codes[0] == branch.code])
        assert branch.words == telling.words(inside, 5)
        assert below(engine, branch.code).words == branch.words
    assert tree.words == []
    assert any(branch.words for branch in tree.branches)


def test_a_branch_of_items_that_were_not_read_says_what_they_say(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_tree, "_TEXTS", 2)  # as where there are a million items
    engine = start()
    said = [branch.words for branch in below(engine).branches]
    assert sum(map(bool, said)) > len(said) / 2


def test_an_item_that_is_a_text_alone_is_told_by_it(start: Starter) -> None:
    engine = start()
    put(engine, Item("new", text="A red lamp and a blue kettle.", attributes={"title": "not this"}))
    moment = engine.catalogue.moment
    row = moment.row("new")
    assert row is not None
    assert code_tree.text_of(moment, row) == "A red lamp and a blue kettle."


def test_titles_that_are_many_are_cut(start: Starter) -> None:
    engine = start()
    for number in range(150):
        put(engine, Item(f"same-{number}", title="soft red soap", brand="Alba"))
    codes = semantic_ids(engine)["same-0"]
    tree = below(engine, *codes)
    assert tree.items >= 150
    assert len(tree.found) == 100
    assert tree.branches == []


def test_without_semantic_codes_there_is_no_tree(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts", tokens="id")
    starter = Starter(tmp_path / "artifacts", tmp_path)
    tree = below(starter())
    assert (tree.items, tree.levels, tree.branches) == (240, [], [])
    assert below(starter(), 3).items == 0
    starter.close()


def test_over_http(client: Client) -> None:
    tree = fits(CodesResponse, client.get("/codes").body)
    first = tree["branches"][0]["code"]
    deeper = client.get(f"/codes?prefix={first}").json()
    second = deeper["branches"][0]["code"]
    deepest = client.get(f"/codes?prefix={first}&prefix={second}").json()
    assert deepest["prefix"] == [first, second]
    assert deepest["items"] == deeper["branches"][0]["items"]
    for nowhere in ("prefix=2147483647", "prefix=1&prefix=1&prefix=1&prefix=1", "&".join(["prefix=0"] * 32)):
        found = client.get(f"/codes?{nowhere}").json()
        assert (found["items"], found["branches"], found["found"]) == (0, [], [])


@pytest.mark.parametrize("query", ["prefix=-1", "prefix=x", "prefix=2147483648", "prefix=1.5", "prefix="])
def test_what_is_no_code_is_refused(client: Client, query: str) -> None:
    refused(client.get(f"/codes?{query}"), 422, "invalid-request", "prefix.0")


def test_a_beginning_longer_than_any_is_refused(client: Client) -> None:
    refused(client.get("/codes?" + "&".join(["prefix=0"] * 33)), 422, "invalid-request", "prefix")
