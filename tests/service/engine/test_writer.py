"""The engine writing: items registered, replaced and deleted, over restarts and under other artifacts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artifact import Artifact
from model.items import Item
from service.engine.writer import WriteResult
from service.errors import ItemConflict, RegistryUnavailable, UnknownItem
from service.registry.registry import Transaction
from tests.support.service import Starter, add, ask, ids, make_artifact, put


@pytest.fixture(scope="module")
def artifact(root: Path) -> Artifact:
    return Artifact.load(root)


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(root, tmp_path)
    yield starter
    starter.close()


def test_a_new_item_is_recommended_counts_in_a_history_and_is_similar(start: Starter) -> None:
    engine = start()
    twin = engine.artifact.items.items[8]
    written = add(
        engine, Item("new/1", title=twin.title, brand=twin.brand, categories=twin.categories, price=twin.price)
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


def test_writing_is_idempotent_and_conflicts_are_refused(start: Starter) -> None:
    engine = start()
    soap = Item("soap", title="green soap", attributes={"a": 1, "b": 2})
    assert add(engine, soap).outcome == "created"
    assert add(engine, Item("soap", title="green soap", attributes={"b": 2, "a": 1})).outcome == "unchanged"
    with pytest.raises(ItemConflict, match="'soap' exists with other content"):
        add(engine, Item("soap", title="grey soap"))
    replaced = put(engine, Item("soap", title="grey soap"))
    assert (replaced.outcome, replaced.revision) == ("replaced", 2)
    assert put(engine, Item("soap", title="grey soap")).outcome == "unchanged"
    assert engine.get("soap").attributes == {"title": "grey soap"}
    assert ids(ask(engine, "soap", "item-1", k=500)).count("soap") == 0
    assert ids(ask(engine, "item-1", k=500)).count("soap") == 1
    engine.writer.delete("soap")
    with pytest.raises(UnknownItem):
        engine.get("soap")
    with pytest.raises(UnknownItem):
        engine.writer.delete("soap")
    assert ask(engine, "soap").unknown_history == ["soap"]
    again = add(engine, Item("soap", title="blue soap"))
    assert (again.outcome, again.revision) == ("created", 4)


def test_texts_unlike_the_training_texts_are_flagged(start: Starter, artifact: Artifact) -> None:
    engine = start(unusual_percentile=80)
    usual = artifact.error_quantiles[50]
    written = [add(engine, Item(f"again-{n}", title=artifact.items.items[n].title)) for n in range(40)]
    assert {item.unusual for item in written} == {True, False}
    for item in written:
        assert item.unusual == (item.quantization_error >= artifact.error_quantiles[80])
        assert (item.quantization_error_percentile > 50) == (item.quantization_error > usual)


def test_a_batch_decides_each_item_by_itself(start: Starter) -> None:
    engine = start()
    add(engine, Item("b", title="lamp"))
    results = engine.writer.write(
        [
            Item("a", title="x"),
            Item("b", title="other"),
            Item("a", title="x"),
            Item("a", title="y"),
            Item("b", title="lamp"),
        ]
    ).results
    assert [r if isinstance(r, ItemConflict) else r.outcome for r in results][0::2] == [
        "created",
        "unchanged",
        "unchanged",
    ]
    assert isinstance(results[1], ItemConflict)
    assert isinstance(results[3], ItemConflict)
    assert engine.get("a").attributes["title"] == "x"


def test_a_catalogue_item_keeps_what_was_learned_under_a_new_text(start: Starter, artifact: Artifact) -> None:
    engine = start()
    own = artifact.items.items[8]
    assert add(engine, own).outcome == "unchanged"
    assert engine.get("item-8").source == "catalogue"
    with pytest.raises(ItemConflict):
        add(engine, Item("item-8", title="something else"))
    text = Item("item-8", title="bright classic guitar 5", brand="Dune")
    replaced = put(engine, text)
    assert (replaced.outcome, replaced.cold, replaced.source, replaced.revision) == ("replaced", False, "registered", 1)
    # The ID half is the trained one; the semantic half is that of the new text.
    moment = engine.catalogue.moment
    row = moment.row("item-8")
    assert row is not None
    now, before = moment.index.vectors[row], artifact.catalogue_embeddings()[8]
    np.testing.assert_array_equal(now[16:], before[16:])
    np.testing.assert_array_equal(now, artifact.encode_new([text], [8]).embeddings[0])
    assert ids(ask(engine, k=10))[8] == "item-8"  # its popularity stays too
    assert [item.item_id for item in engine.page(6, 3).items] == ["item-7", "item-8", "item-9"]


def test_a_restart_changes_nothing(start: Starter) -> None:
    engine = start()
    engine.writer.write([Item(f"new-{n}", title=f"soft soap {n}", attributes={"n": n}) for n in range(5)])
    put(engine, Item("item-8", title="another text"))
    put(engine, Item("new-1", title="changed"))
    engine.writer.delete("item-9")
    engine.writer.delete("new-2")
    before = ask(engine, "item-1", "new-1", k=500, explain=True)
    listed = engine.page(-1, 1000)
    engine = start()
    assert ask(engine, "item-1", "new-1", k=500, explain=True) == before
    assert engine.page(-1, 1000) == listed
    assert {"item-9", "new-2"} & set(ids(before)) == set()
    assert engine.catalogue.cold == 4 + 4
    back = add(engine, engine.artifact.items.items[9])
    assert (back.outcome, back.cold) == ("created", False)
    assert [item.item_id for item in engine.page(7, 2).items] == ["item-8", "item-9"]


def test_another_artifact_tokenizes_registered_items_anew(start: Starter, tmp_path: Path) -> None:
    engine = start()
    soap = Item("soap", title="red soap", brand="Alba")
    first = add(engine, soap)
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
    np.testing.assert_array_equal(engine.catalogue.moment.index.vectors[row], other.encode_new([soap]).embeddings[0])


def test_an_item_that_a_later_artifact_learned_becomes_warm(start: Starter, tmp_path: Path) -> None:
    engine = start()
    soap = Item("soap", title="red soap", brand="Alba")
    assert add(engine, soap).cold
    other_root = tmp_path / "other"
    make_artifact(other_root, version="v2", items=[soap, *engine.artifact.items.items])
    engine = start(other_root)
    assert not engine.get("soap").cold
    assert engine.page(-1, 1).items[0].item_id == "soap"


def test_many_replacements_do_not_grow_the_catalogue_for_ever(start: Starter) -> None:
    engine = start()
    for step in range(6):
        for part in range(0, 240, 60):
            items = [Item(f"item-{n}", title=f"text {step} {n}") for n in range(part, part + 60)]
            engine.writer.write(items, replacing=True)
    index = engine.catalogue.moment.index
    assert index.live_count == 240
    assert index.n <= 240 + 1024 + 60
    for _ in range(2):
        assert len(ids(ask(engine, "item-1", k=500))) == 239
        engine = start()


def test_a_write_that_cannot_be_committed_changes_nothing(start: Starter) -> None:
    engine = start(database_timeout=0.05)
    path = engine.settings.database_url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    before = ask(engine, "item-1", k=500)
    for write in (
        lambda: add(engine, Item("soap", title="soap")),
        lambda: put(engine, Item("item-1", title="soap")),
        lambda: engine.writer.delete("item-2"),
    ):
        with pytest.raises(RegistryUnavailable):
            write()
        assert ask(engine, "item-1", k=500) == before
    other.execute("ROLLBACK")
    other.close()
    assert add(engine, Item("soap", title="soap")).outcome == "created"


def test_a_commit_whose_answer_got_lost_is_made_good_by_sending_it_again(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    add(engine, Item("lamp", title="lamp"))
    write = engine._registry.write

    def lose(work: Callable[[Transaction], Any]) -> None:
        write(work)
        raise RegistryUnavailable("the connection broke")

    def again(change: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(engine._registry, "write", lose)
            with pytest.raises(RegistryUnavailable):
                change()
        return change()

    assert again(lambda: add(engine, Item("soap", title="soap"))).outcome == "unchanged"
    assert again(lambda: put(engine, Item("lamp", title="red lamp"))).revision == 2
    assert engine.get("soap").attributes == {"title": "soap"}
    assert engine.get("lamp").attributes == {"title": "red lamp"}
    for item_id in ("lamp", "item-3"):
        assert again(lambda item_id=item_id: engine.writer.delete(item_id)) == WriteResult([])  # type: ignore[misc]
        with pytest.raises(UnknownItem):
            engine.get(item_id)
        with pytest.raises(UnknownItem):
            engine.writer.delete(item_id)


def test_a_write_that_does_not_end_keeps_no_other_waiting_for_ever(start: Starter) -> None:
    engine = start(database_timeout=0.05)
    with (
        engine.publisher.writing(),
        pytest.raises(RegistryUnavailable, match=r"another write has kept the registry for 0\.05"),
    ):
        add(engine, Item("soap", title="soap"))
    assert add(engine, Item("soap", title="soap")).outcome == "created"


def test_pages_and_export_walk_over_everything_once(start: Starter) -> None:
    engine = start()
    add(engine, Item("z", title="soap"))
    engine.writer.delete("item-100")
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
    # One item more than a page holds is the next page, not lost.
    add(engine, Item("y", title="soap"))
    first = engine.page(-1, 1, "registered")
    assert first.next_cursor is not None
    assert [item.item_id for item in engine.page(int(first.next_cursor), 1, "registered").items] == ["y"]
    assert len(engine.page(-1, 1000, "catalogue").items) == 239
