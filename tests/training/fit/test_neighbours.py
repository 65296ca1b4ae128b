"""Neighbours counted: pairs by hand, texts, and which halves bring which kind."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.config import CO_OCCURRENCE, TEXT_SIMILARITY
from model.postings import PostingLists
from model.words import EMPTY, Bag, stack
from training.config import RECIPES
from training.fit import neighbours as counting
from training.fit.neighbours import BACKWARD, GAP, SHRINKAGE, co_occurrence, count_neighbours, text_similarity


def row(lists: PostingLists, item: int) -> dict[int, float]:
    part = slice(lists.offsets[item], lists.offsets[item + 1])
    return dict(zip(lists.items[part].tolist(), lists.weights[part].tolist(), strict=True))


ROOT_HALF = np.full(2, math.sqrt(0.5), np.float32)
TEXTS = ["red", "red lipstick", "a red pen", "pen", ""]
SEQUENCES = [np.array([0, 1, 2], np.int32), np.array([0, 1], np.int32), np.array([3], np.int32)]


def test_pairs_count_by_order_and_distance() -> None:
    found = co_occurrence(SEQUENCES, 5, 10)
    both = 2 + SHRINKAGE
    rare = math.sqrt(both * (1 + SHRINKAGE))
    assert row(found, 0) == pytest.approx({1: 2 / both, 2: GAP / rare})
    assert row(found, 1) == pytest.approx({0: 2 * BACKWARD / both, 2: 1 / rare})
    assert row(found, 2) == pytest.approx({1: BACKWARD / rare, 0: BACKWARD * GAP / rare})
    assert row(found, 3) == row(found, 4) == {}


def test_an_item_is_no_neighbour_of_itself() -> None:
    assert row(co_occurrence([np.array([0, 0, 1], np.int32)], 2, 5), 0).keys() == {1}


def test_the_heaviest_are_kept() -> None:
    assert list(row(co_occurrence(SEQUENCES, 5, 1), 0)) == [1]


def test_sequences_counted_in_parts_are_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 20, size=rng.integers(1, 30)).astype(np.int32) for _ in range(40)]
    whole = co_occurrence(sequences, 20, 20)
    monkeypatch.setattr(counting, "_USERS", 7)
    for name, value in co_occurrence(sequences, 20, 20)._asdict().items():
        np.testing.assert_allclose(value, getattr(whole, name), rtol=1e-6, err_msg=name)


def test_texts_are_compared_by_squared_cosine_and_never_with_themselves() -> None:
    one, both = Bag(np.array([0], np.int32), np.ones(1, np.float32)), Bag(np.arange(2, dtype=np.int32), ROOT_HALF)
    bags = stack([one, one, both, EMPTY], 2)  # two the same, one without a text
    found = text_similarity(bags, 2)
    assert row(found, 0) == pytest.approx({1: 1.0, 2: 0.5})
    assert row(found, 1) == pytest.approx({0: 1.0, 2: 0.5})
    assert row(found, 3) == {}
    assert all(len(row(text_similarity(bags, 1), item)) <= 1 for item in range(4))


@pytest.mark.parametrize(
    ("tokens", "kinds"),
    [("hybrid", {CO_OCCURRENCE, TEXT_SIMILARITY}), ("id", {CO_OCCURRENCE}), ("semantic", {TEXT_SIMILARITY})],
)
def test_each_half_brings_its_own_kind(tokens: str, kinds: set[str]) -> None:
    recipe = RECIPES["paper"].override({"tokens": tokens, "together_weight": 1.0, "alike_weight": 1.0})
    found = count_neighbours(SEQUENCES, TEXTS, recipe)
    assert set(found.configs) == set(found.lists) == kinds


def test_a_recipe_without_weights_counts_nothing() -> None:
    assert not count_neighbours(SEQUENCES, TEXTS, RECIPES["paper"])
