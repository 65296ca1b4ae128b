"""Neighbours: scores by hand, nearest texts, new items."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse

from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourConfig, NeighbourKind
from model.neighbours import Neighbours, TextNeighbours, inverted_index, nearest
from model.postings import PostingList, posting_lists
from model.words import Bag, Bags, Words

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
