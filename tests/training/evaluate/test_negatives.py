"""Negatives of the sampled protocol: distinct, untouched by the user, even, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.tiny_training import checkerboard
from training.evaluate.negatives import NEGATIVES_SEED, draw_negatives, evaluation_negatives
from training.evaluate.splits import leave_one_out


def test_negatives_are_distinct_untouched_and_the_same_every_time() -> None:
    rng = np.random.default_rng(4)
    rows = [rng.integers(0, 160, rng.integers(1, 40)).astype(np.int32) for _ in range(50)]
    found = draw_negatives(rows, 160, seed=0)
    assert found.shape == (50, 99)
    for row, drawn in zip(rows, found, strict=True):
        assert len(set(drawn.tolist())) == 99
        assert not set(drawn.tolist()) & set(row.tolist())
        assert set(drawn.tolist()) <= set(range(160))
    assert np.array_equal(draw_negatives(rows, 160, seed=0), found)
    assert not np.array_equal(draw_negatives(rows, 160, seed=1), found)


def test_negatives_are_drawn_evenly() -> None:
    found = draw_negatives([np.array([0], dtype=np.int32)] * 2000, 50, seed=0, count=5)
    counts = np.bincount(found.ravel(), minlength=50)
    assert counts[0] == 0
    expected = 2000 * 5 / 49
    assert np.abs(counts[1:] - expected).max() < 6 * expected**0.5


def test_a_user_who_touched_too_much_is_named() -> None:
    rows = [np.array(row, dtype=np.int32) for row in ([0], [0, 1, 1])]
    assert draw_negatives(rows, 101, seed=0)[1].tolist() != []
    with pytest.raises(ValueError, match="user 1 touched 2 of 100 items, fewer than 99 are left"):
        draw_negatives(rows, 100, seed=0)


def test_the_negatives_are_drawn_for_whole_sequences() -> None:
    dataset = checkerboard(n_users=20)
    split = leave_one_out(dataset)
    expected = draw_negatives(dataset.sequences, dataset.n_items, NEGATIVES_SEED)
    for cases in (split.valid, split.test):
        found = evaluation_negatives(dataset, cases)
        assert found is not None
        assert np.array_equal(found, expected)
