"""Telling words: against a count in plain Python, in exact fractions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.telling_words import TellingWords

# Some are too short, some hold digits or underscores, some differ in case alone, one grows when it is lowered.
PARTS = ("soap", "SOAP", "rose", "rosé", "lamp", "bar", "at", "x", "", "a_bar", "no2rose9bar", "99", "İde", "鏡の国")

texts_of = st.lists(st.lists(st.sampled_from(PARTS), max_size=6).map(" ".join), max_size=9)


def says(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[^\W\d_]{3,}", text)}


def expected(background: Sequence[str], group: Sequence[str], count: int) -> list[str]:
    """By (p / q) ** found, which stands in the order of found · log(p / q) and has no rounding."""
    worth: dict[str, Fraction] = {}
    for word in set().union(*map(says, group)):
        found = sum(word in says(text) for text in group)
        everywhere = sum(word in says(text) for text in background)
        if everywhere:
            ratio = Fraction(found, len(group)) / Fraction(everywhere, len(background))
            if ratio > 1:
                worth[word] = ratio**found
    return sorted(worth, key=lambda word: (-worth[word], word))[:count]


@given(texts_of, st.data(), st.integers(0, 5))
def test_one_group_is_counted_as_plainly(background: list[str], data: st.DataObject, count: int) -> None:
    telling = TellingWords(background)
    assert len(telling) == len(background)
    # An item twice counts twice.
    rows = data.draw(st.lists(st.integers(0, len(background) - 1), max_size=9)) if background else []
    found = telling.words(np.array(rows, np.int64), count)
    assert found == expected(background, [background[row] for row in rows], count)


@given(texts_of, texts_of, texts_of, st.data())
@example(["", "at 12"], ["soap"], [], None)
@example([], ["soap"], ["rose"], None)
def test_many_groups_with_new_items_are_counted_as_plainly(
    background: list[str], more: list[str], still_more: list[str], data: st.DataObject | None
) -> None:
    telling = TellingWords(background)
    grown = telling.with_more(more).with_more(still_more)
    texts = background + more + still_more
    assert len(grown) == len(texts)
    pairs = [(row, row % 3) for row in range(len(texts))]
    if data is not None and texts:
        pairs = data.draw(st.lists(st.tuples(st.integers(0, len(texts) - 1), st.integers(0, 3)), max_size=20))
    rows, groups = (np.array([pair[place] for pair in pairs], np.int64) for place in (0, 1))
    wanted = [expected(background, [texts[row] for row, of in pairs if of == group], 3) for group in range(4)]
    assert grown.of_groups(rows, groups, 4, 3) == wanted
    assert [grown.words(rows[groups == group], 3) for group in range(4)] == wanted
    assert len(telling) == len(background)


def test_what_a_new_item_says_counts_for_its_group_and_not_for_all() -> None:
    telling = TellingWords(["red soap", "red lamp", "blue soap", "blue lamp"])
    assert telling.words(np.array([0]), 9) == ["red", "soap"]
    # Of three items all say soap, two of them red; what only the new ones say has no share of the catalogue.
    grown = telling.with_more(["Soap, red, unheard-of", "unheard soap"])
    assert grown.words(np.array([0, 4, 5]), 9) == ["soap", "red"]
    assert grown.words(np.array([5]), 9) == ["soap"]
    assert grown.words(np.arange(6), 9) == ["soap"]  # 4 of 6 here, 2 of 4 in the catalogue; red: 3 of 6 and 2 of 4


def test_equals_stand_in_order_of_alphabet_however_they_were_reached() -> None:
    # log(1 / 1/2) = 1/3 · log(1/3 / 1/24), of which floats say that the first is more.
    texts = ["bread apple", "bread", "bread", *["bread"] * 9, *["none"] * 12]
    assert TellingWords(texts).words(np.arange(3), 2) == ["apple", "bread"]


@pytest.mark.parametrize("texts", [[], ["", " ;"], ["12 at", "a_b"]])
def test_a_catalogue_may_be_without_words(texts: list[str]) -> None:
    telling = TellingWords(texts)
    grown = telling.with_more(["soap", ""])
    assert telling.words(np.arange(len(texts)), 5) == []
    assert grown.of_groups(np.arange(len(texts) + 2), np.zeros(len(texts) + 2, np.int64), 2, 5) == [[], []]


def test_no_groups_and_empty_groups() -> None:
    telling, none = TellingWords(["red soap", "blue lamp"]), np.empty(0, np.int64)
    assert telling.of_groups(none, none, 0, 5) == []
    assert telling.of_groups(np.array([1]), np.array([1]), 3, 5) == [[], ["blue", "lamp"], []]
    assert telling.words(none, 5) == []
    assert telling.words(np.array([0]), 0) == []


@pytest.mark.parametrize(
    ("rows", "groups", "message"),
    [([0, 2], [0, 0], "row 2 is not one of 2"), ([-1], [0], "row -1"), ([0, 1], [0, 1], "group 1 is not one of 1")],
)
def test_rows_and_groups_that_are_not_there_are_named(rows: list[int], groups: list[int], message: str) -> None:
    with pytest.raises(IndexError, match=message):
        TellingWords(["red", "blue"]).of_groups(np.array(rows), np.array(groups), 1, 5)
