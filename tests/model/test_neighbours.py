"""Neighbours: scores by hand, nearest texts, new items, and the tensors of an artifact, whole and damaged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import scipy.sparse as sparse
import torch

from model.artifact import Artifact, ArtifactError
from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourConfig, NeighbourKind
from model.manifest import NEIGHBOURS
from model.neighbours import Neighbours, TextNeighbours, inverted_index, nearest
from model.postings import PostingList, posting_lists
from model.words import Bag, Bags, Words
from tests.support.artifacts import copy_of, edit_manifest, rewrite
from tests.support.service import make_artifact

CONFIG = NeighbourConfig(weight=2.0, floor=0.5, decay=0.5, count=3)


def lists(*neighbours: dict[int, float]) -> Any:
    return posting_lists(
        [np.array(list(each), np.int32) for each in neighbours],
        [np.array(list(each.values()), np.float32) for each in neighbours],
    )


def test_a_boost_is_the_decayed_evidence_of_the_history_on_a_logarithmic_scale() -> None:
    neighbours = Neighbours(
        4, {CO_OCCURRENCE: CONFIG}, {CO_OCCURRENCE: lists({1: 0.5, 2: 1.0}, {2: 0.25}, {}, {0: 1.0})}
    )
    found = neighbours.boosts([np.array([0, 1]), np.array([2]), np.array([0, 0])])
    # Item 0 is the older of the two, so it counts half.
    expected: list[list[float]] = [
        [0, 2 * math.log1p(0.25 / 0.5), 2 * math.log1p((0.5 + 0.25) / 0.5), 0],
        [0, 0, 0, 0],
        [0, 2 * math.log1p(0.75 / 0.5), 2 * math.log1p(1.5 / 0.5), 0],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_boosts_of_the_kinds_add_up() -> None:
    kinds: dict[NeighbourKind, Any] = {CO_OCCURRENCE: lists({1: 0.5}, {}), TEXT_SIMILARITY: lists({1: 1.0}, {})}
    other = NeighbourConfig(weight=1.0, floor=0.1, decay=1.0, count=3)
    found = Neighbours(2, {CO_OCCURRENCE: CONFIG, TEXT_SIMILARITY: other}, kinds).boosts([np.array([0])])
    np.testing.assert_allclose(found, [[0, 2 * math.log1p(1.0) + math.log1p(10.0)]], rtol=1e-6)


def test_without_kinds_there_is_nothing_to_add() -> None:
    none = Neighbours(3)
    assert not none
    assert not none.boosts([np.array([0, 1])]).any()
    assert [len(each.similar.items) for each in none.of_texts(["red", ""])] == [0, 0]


def bags(*rows: list[float]) -> Bags:
    """Dense rows as bags, scaled to length 1."""
    dense = np.array(rows, np.float32)
    return sparse.csr_matrix(dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9))


def test_nearest_texts_come_best_first_and_only_above_zero() -> None:
    texts = bags([1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 2, 0])
    (found,) = nearest(bags([3, 0.3, 0]), inverted_index(texts), 4)
    assert found.items.tolist() == [0, 1, 2, 5]
    assert found.weights == pytest.approx(np.square([0.995, 0.774, 0.0995, 0.0995]), abs=1e-3)
    (one,) = nearest(texts[3], inverted_index(texts), 1)
    assert one.items.tolist() == [3]
    (none,) = nearest(texts[4], inverted_index(texts), 3)
    assert none.items.tolist() == []


def test_texts_compared_in_parts_are_compared_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    texts = bags(*np.where(rng.random((40, 12)) < 0.3, rng.random((40, 12)), 0).tolist())
    whole = nearest(texts, inverted_index(texts), 5)
    monkeypatch.setattr("model.neighbours._CELLS", 300)
    for one, other in zip(nearest(texts, inverted_index(texts), 5), whole, strict=True):
        np.testing.assert_array_equal(one.items, other.items)
        np.testing.assert_array_equal(one.weights, other.weights)


PAIR = Words(["red", "pen"], np.ones(2))


def bag(*weights: float) -> Bag:
    return Bag(np.arange(len(weights), dtype=np.int32), np.array(weights, np.float32))


def near(pairs: dict[int, float]) -> PostingList:
    return PostingList(np.array(list(pairs), np.int64), np.array(list(pairs.values()), np.float32))


def test_new_items_stand_in_the_lists_of_those_they_join() -> None:
    kinds: dict[NeighbourKind, Any] = {TEXT_SIMILARITY: lists({1: 0.5}, {0: 0.5}), CO_OCCURRENCE: lists({1: 1.0}, {})}
    base = Neighbours(2, {TEXT_SIMILARITY: CONFIG, CO_OCCURRENCE: CONFIG}, kinds, PAIR, bags([1, 0], [0, 1]))
    joined = base.extended(
        [
            TextNeighbours(bag(0.6, 0.8), near({1: 0.8}), near({}), near({0: 0.3})),
            TextNeighbours(bag(0.8, 0.6), near({0: 1.0, 1: 1.0}), near({1: 0.7}), near({})),
        ]
    )
    assert joined.n_items == 4
    np.testing.assert_allclose(joined.bags.toarray(), np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6]]))
    boosts = joined.boosts([np.array([0]), np.array([1]), np.array([2]), np.array([3])])
    similarity = np.array([[0, 0.5, 0, 1], [0.5, 0, 0.8, 1], [0, 0.8, 0, 0], [1, 1, 0, 0]])
    co_occurrence = np.array([[0, 1, 0.3, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0.7, 0, 0]])
    np.testing.assert_allclose(boosts, 2 * np.log1p(similarity / 0.5) + 2 * np.log1p(co_occurrence / 0.5), rtol=1e-6)


def test_a_cold_item_joins_the_company_of_the_items_with_the_nearest_texts() -> None:
    # 0 is followed by 1, and 1 by 2; 3 has no company.
    kinds: dict[NeighbourKind, Any] = {
        TEXT_SIMILARITY: lists({}, {}, {}, {}),
        CO_OCCURRENCE: lists({1: 1.0}, {2: 0.5}, {}, {}),
    }
    texts = ["red", "pen", "", "red pen"]
    base = Neighbours(4, {TEXT_SIMILARITY: CONFIG, CO_OCCURRENCE: CONFIG}, kinds, PAIR, PAIR.bags(texts))
    (found,) = base.of_texts(["a pen, a pen"])
    assert found.similar.items.tolist() == [1, 3]
    assert found.similar.weights == pytest.approx([1, 0.5])
    # One lender of five at full nearness, times four: four fifths of what item 1 has. Item 3 has nothing to lend.
    assert found.followers.items.tolist() == [2]
    assert found.followers.weights == pytest.approx([0.5 * 0.8])
    assert found.predecessors.items.tolist() == [0]
    assert found.predecessors.weights == pytest.approx([0.8])


def test_a_text_like_no_other_joins_nothing() -> None:
    kinds: dict[NeighbourKind, Any] = {TEXT_SIMILARITY: lists({}), CO_OCCURRENCE: lists({})}
    base = Neighbours(1, {TEXT_SIMILARITY: CONFIG, CO_OCCURRENCE: CONFIG}, kinds, PAIR, PAIR.bags(["red"]))
    for text in ("", "unknown", "pen"):
        (found,) = base.of_texts([text])
        assert [len(each.items) for each in (found.similar, found.followers, found.predecessors)] == [0, 0, 0]


def test_an_artifact_gives_back_what_it_was_given(root: Path, tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path, seed=3)  # comes back through the file
    again = Artifact.load(tmp_path)
    history = [np.array([1, 5, 9])]
    assert artifact.neighbours.boosts(history).any()
    np.testing.assert_array_equal(again.neighbours.boosts(history), artifact.neighbours.boosts(history))
    own = again.encode_new([artifact.items.items[7]]).neighbours[0].similar
    assert own.items[0] == 7
    assert own.weights[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("together.items", None, "'together.items' is missing"),
        ("bags.words", None, "'bags.words' is missing"),
        ("together.items", lambda t: t.astype(np.int64), "'together.items' is int64"),
        ("together.weights", lambda t: t[:-1], "'together.weights' is float32"),
        ("together.items", lambda t: t + 10_000, "beyond the catalogue"),
        ("alike.items", lambda t: -t - 1, "beyond the catalogue"),
        ("alike.weights", lambda t: t * np.float32("nan"), "not positive numbers"),
        ("together.weights", lambda t: t - t, "not positive numbers"),
        ("alike.offsets", lambda t: t[::-1].copy(), "does not rise from 0"),
        ("alike.offsets", lambda t: t + 1, "does not rise from 0"),
        ("bags.weights", lambda t: t * np.float32("inf"), "not positive numbers"),
        ("bags.weights", lambda t: t * 2, "not of length 1"),
        ("bags.words", lambda t: t + 10_000, "names words beyond"),
        ("bags.offsets", lambda t: t[1:].copy(), "'bags.offsets' is int64"),
        ("words.vocabulary", None, "'words.vocabulary' is missing"),
        ("words.vocabulary", lambda t: t | np.uint8(0x80), "is not UTF-8"),
        ("words.vocabulary", lambda t: np.full_like(t, ord("\n")), "names a word twice"),
        ("words.vocabulary", lambda t: t.reshape(1, -1), "'words.vocabulary' is uint8"),
        ("words.weights", lambda t: t[1:].copy(), "'words.weights' is float64"),
        ("words.weights", lambda t: -t, "not positive numbers"),
        ("strange", lambda t: np.zeros(3), "'strange' is unexpected"),
    ],
)
def test_tensors_that_do_not_fit_are_named(root: Path, tmp_path: Path, name: str, damage: Any, message: str) -> None:
    folder = copy_of(root, tmp_path / "copy")
    tensors = safetensors.numpy.load((folder / NEIGHBOURS).read_bytes())
    if damage is None:
        del tensors[name]
    else:
        tensors[name] = damage(tensors.get(name))
    rewrite(folder, NEIGHBOURS, safetensors.numpy.save(tensors))
    with pytest.raises(ArtifactError, match=message) as caught:
        Artifact.load(folder)
    assert NEIGHBOURS in str(caught.value)


def test_a_file_that_is_no_safetensors_is_refused(root: Path, tmp_path: Path) -> None:
    folder = copy_of(root, tmp_path / "copy")
    rewrite(folder, NEIGHBOURS, b"nothing")
    with pytest.raises(ArtifactError, match="is not a safetensors file"):
        Artifact.load(folder)


def test_a_type_that_numpy_lacks_is_named(root: Path, tmp_path: Path) -> None:
    folder = copy_of(root, tmp_path / "copy")
    rewrite(folder, NEIGHBOURS, safetensors.torch.save({"alike.weights": torch.zeros(3, dtype=torch.bfloat16)}))
    with pytest.raises(ArtifactError, match="a tensor is of the type BF16"):
        Artifact.load(folder)


@pytest.mark.parametrize(
    ("field", "value"), [("weight", 0), ("weight", -1), ("floor", 0), ("decay", 1.5), ("decay", 0), ("count", 0)]
)
def test_a_configuration_that_cannot_be_is_refused(root: Path, tmp_path: Path, field: str, value: float) -> None:
    folder = copy_of(root, tmp_path / "copy")
    edit_manifest(folder, lambda manifest: manifest["neighbours"]["alike"].__setitem__(field, value))
    with pytest.raises(ArtifactError, match=f"neighbours.alike.{field}"):
        Artifact.load(folder)
