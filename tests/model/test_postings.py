"""Posting lists against plain dictionaries."""

from __future__ import annotations

import numpy as np
import pytest

from model.postings import PostingList, PostingLists, posting_lists, sum_by_key

LISTS = [{1: 0.5, 3: 0.25}, {}, {0: 1.0}, {0: 0.5, 1: 2.0, 2: 0.125}]


@pytest.fixture
def lists() -> PostingLists:
    return posting_lists(
        [np.array(list(each), np.int32) for each in LISTS], [np.array(list(each.values())) for each in LISTS]
    )


def plain(postings: PostingList) -> dict[int, float]:
    return dict(zip(postings.items.tolist(), postings.weights.tolist(), strict=True))


def test_each_item_has_its_list(lists: PostingLists) -> None:
    assert [plain(lists.of(item)) for item in range(4)] == LISTS
    assert plain(lists.of(3).first(2)) == {0: 0.5, 1: 2.0}


def test_gathered_lists_lie_one_behind_another(lists: PostingLists) -> None:
    of, items, weights = lists.gather(np.array([3, 1, 0, 3]), np.array([2.0, 9.0, 1.0, 4.0]))
    assert of.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert items.tolist() == [0, 1, 2, 1, 3, 0, 1, 2]
    assert weights.tolist() == [1.0, 4.0, 0.25, 0.5, 0.25, 2.0, 8.0, 0.5]


def test_the_heaviest_of_several_lists_are_found_by_their_sums(lists: PostingLists) -> None:
    found = lists.heaviest(np.array([0, 2, 3]), np.array([4.0, 1.0, 1.0]), 2)
    assert list(plain(found).items()) == [(1, 4.0), (0, 1.5)]
    assert plain(lists.heaviest(np.array([1]), np.array([1.0]), 2)) == {}


def test_transposed_lists_name_the_items_that_list_an_item(lists: PostingLists) -> None:
    assert [plain(lists.transposed().of(item)) for item in range(4)] == [
        {2: 1.0, 3: 0.5},
        {0: 0.5, 3: 2.0},
        {3: 0.125},
        {0: 0.25},
    ]


def test_amounts_are_summed_by_key() -> None:
    keys, sums = sum_by_key(np.array([7, 2, 7, 7]), np.array([1.0, 4.0, 2.0, 0.5]))
    assert (keys.tolist(), sums.tolist()) == ([2, 7], [4.0, 3.5])
