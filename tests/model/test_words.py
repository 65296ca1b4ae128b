"""Words of texts: which count, by how much, and what a text without any gets."""

from __future__ import annotations

import numpy as np
import pytest

from model.words import EMPTY, NO_WORDS, Bag, Words, bag_at, stack


def test_a_rare_word_tells_more_than_a_common_one() -> None:
    texts = ["red pen", "red cup", "red hat", "red pen"]
    words = Words.fit(texts)
    assert words.vocabulary == ["cup", "hat", "pen", "red"]
    inverse = np.log((1 + 4) / (1 + np.array([1, 1, 2, 4]))) + 1
    np.testing.assert_allclose(words.weights, inverse**2)
    pen = words.bags(["red pen"]).toarray()[0]
    expected = np.array([0, 0, words.weights[2], words.weights[3]])
    np.testing.assert_allclose(pen, expected / np.linalg.norm(expected), rtol=1e-6)


def test_a_word_that_comes_again_counts_by_its_logarithm() -> None:
    words = Words(["pen", "red"], np.ones(2))
    found = words.bags(["RED Réd red, pen!"]).toarray()[0]  # neither case nor accents matter
    expected = np.array([1, 1 + np.log(3)])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-6)


def test_of_a_larger_catalogue_words_of_one_text_and_of_most_texts_say_nothing() -> None:
    texts = [f"item kind{n % 20} only{n}" for n in range(2000)]
    assert set(Words.fit(texts).vocabulary) == {f"kind{n}" for n in range(20)}
    assert "item" in Words.fit(texts[:50]).vocabulary
    assert "only7" in Words.fit(texts[:50]).vocabulary


def test_texts_without_a_known_word_are_rows_of_zeros() -> None:
    words = Words.fit(["red pen", "red cup"])
    assert words.bags(["", "unknown", "cup"]).toarray().any(1).tolist() == [False, False, True]
    assert words.bags([]).shape == (0, 3)


@pytest.mark.parametrize("texts", [[], ["", " ;"], [f"only{n}" for n in range(500)]])
def test_a_catalogue_may_be_without_words(texts: list[str]) -> None:
    words = Words.fit(texts)
    assert len(words) == 0
    assert words.bags(["red", "pen"]).shape == (2, 0)


def test_the_same_words_come_back_from_their_parts() -> None:
    texts = [f"a red pen number {n % 30}" for n in range(60)]
    words = Words.fit(texts)
    again = Words(words.vocabulary, words.weights)
    assert (again.bags(texts) != words.bags(texts)).nnz == 0


def test_rows_and_stacks() -> None:
    bag = Bag(np.array([2, 0], np.int32), np.array([0.6, 0.8], np.float32))
    bags = stack([EMPTY, bag], 4)
    assert bags.toarray().tolist() == [[0, 0, 0, 0], pytest.approx([0.8, 0, 0.6, 0])]
    np.testing.assert_array_equal(bag_at(bags, 1).words, bag.words)
    assert len(bag_at(bags, 0).words) == 0
    assert stack([], 0).shape == NO_WORDS.bags([]).shape == (0, 0)
