"""Ranking metrics against values by hand, and ties against the average over every order of the tied."""

from __future__ import annotations

from itertools import permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate.metrics import Ranks, hit, monitored, ndcg, reciprocal_rank, summary


def ranks(*pairs: tuple[int, int]) -> Ranks:
    greater, ties = zip(*pairs, strict=True)
    return Ranks(np.array(greater, dtype=np.int64), np.array(ties, dtype=np.int64))


def test_without_ties_by_hand() -> None:
    places = ranks((0, 0), (1, 0), (9, 0), (10, 0), (500, 0))
    assert hit(places, 1).tolist() == [1, 0, 0, 0, 0]
    assert hit(places, 10).tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_allclose(ndcg(places, 10), [1, 1 / log2(3), 1 / log2(11), 0, 0])
    np.testing.assert_allclose(reciprocal_rank(places), [1, 1 / 2, 1 / 10, 1 / 11, 1 / 501])


def test_ties_by_hand() -> None:
    # Places 10 and 11 are equally likely, then 1 to 4, then 3 to 102.
    places = ranks((9, 1), (0, 3), (2, 99))
    np.testing.assert_allclose(hit(places, 10), [0.5, 1.0, 8 / 100])
    np.testing.assert_allclose(ndcg(places, 10)[0], 0.5 / log2(11))
    np.testing.assert_allclose(ndcg(places, 2)[1], (1 + 1 / log2(3)) / 4)
    np.testing.assert_allclose(reciprocal_rank(places)[1], (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_a_cut_off_beyond_every_place() -> None:
    places = ranks((0, 1), (2, 0))
    np.testing.assert_allclose(hit(places, 1000), 1.0)
    np.testing.assert_allclose(ndcg(places, 1000), [(1 + 1 / log2(3)) / 2, 1 / 2])


def test_a_model_that_scores_all_alike_gets_what_chance_gives() -> None:
    places = ranks((0, 99))
    assert summary(places)["hit@10"] == pytest.approx(0.1)


def test_the_summary_is_the_mean_over_users() -> None:
    values = summary(ranks((0, 0), (4, 0), (15, 0), (100, 0)))
    assert list(values) == ["hit@1", "hit@5", "hit@10", "hit@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr"]
    assert [values[f"hit@{k}"] for k in (1, 5, 10, 20)] == [0.25, 0.5, 0.5, 0.75]
    assert values["ndcg@5"] == pytest.approx((1 + 1 / log2(6)) / 4)
    assert values["ndcg@20"] == pytest.approx((1 + 1 / log2(6) + 1 / log2(17)) / 4)
    assert values["mrr"] == pytest.approx((1 + 1 / 5 + 1 / 16 + 1 / 101) / 4)


def test_take_picks_users() -> None:
    places = ranks((0, 1), (2, 3), (4, 5))
    assert places.take(np.array([True, False, True])).greater.tolist() == [0, 4]
    assert places.take(np.array([2, 0])).ties.tolist() == [5, 1]


@given(scores=st.lists(st.integers(0, 3), min_size=1, max_size=6), k=st.integers(1, 8))
def test_ties_are_the_average_over_every_order(scores: list[int], k: int) -> None:
    """The first score is the target's; candidates are sorted by score, equal ones in every order of the list."""
    gains: dict[str, list[float]] = {"hit": [], "ndcg": [], "reciprocal": []}
    for order in permutations(range(len(scores))):
        place = sorted(order, key=lambda candidate: -scores[candidate]).index(0) + 1
        gains["hit"].append(float(place <= k))
        gains["ndcg"].append(1 / log2(place + 1) if place <= k else 0.0)
        gains["reciprocal"].append(1 / place)
    target, others = scores[0], scores[1:]
    found = ranks((sum(score > target for score in others), sum(score == target for score in others)))
    assert hit(found, k)[0] == pytest.approx(np.mean(gains["hit"]))
    assert ndcg(found, k)[0] == pytest.approx(np.mean(gains["ndcg"]))
    assert reciprocal_rank(found)[0] == pytest.approx(np.mean(gains["reciprocal"]))


def test_the_monitored_figure() -> None:
    places = ranks((0, 0), (1, 0))
    assert monitored(places, "sampled_mrr") == pytest.approx((1 + 1 / 2) / 2)
    assert monitored(places, "full_ndcg@10") == pytest.approx((1 + 1 / log2(3)) / 2)
