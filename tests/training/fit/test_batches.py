"""Training batches: every user once an epoch, next item as the target, no padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.datasets.base import Indices
from training.fit.batches import Batch, TrainingBatches


def sequences(*rows: list[int]) -> list[Indices]:
    return [np.array(row, dtype=np.int32) for row in rows]


def many(count: int, seed: int = 0) -> list[Indices]:
    """Users of 2 to 12 items; the first item tells the user."""
    rng = np.random.default_rng(seed)
    return [
        np.array([user, *rng.integers(count, 2 * count, rng.integers(1, 12))], dtype=np.int32) for user in range(count)
    ]


def pairs(batch: Batch) -> list[list[tuple[int, int]]]:
    """Per user the (input, target) pairs."""
    lengths = [run.length for run in batch.runs for _ in range(run.histories)]
    rows = zip(torch.split(batch.inputs, lengths), torch.split(batch.targets, lengths), strict=True)
    return [list(zip(inputs.tolist(), targets.tolist(), strict=True)) for inputs, targets in rows]


def epoch(batches: TrainingBatches, seed: int = 0) -> list[Batch]:
    return list(batches.epoch(np.random.default_rng(seed)))


def test_position_t_predicts_the_item_after_it() -> None:
    (batch,) = epoch(TrainingBatches(sequences([5, 6, 7], [8, 9]), batch_size=4, max_length=10))
    assert pairs(batch) == [[(8, 9)], [(5, 6), (6, 7)]]
    assert (batch.inputs.tolist(), batch.targets.tolist()) == ([8, 5, 6], [9, 6, 7])
    assert (batch.inputs.dtype, batch.targets.dtype) == (torch.int64, torch.int64)


def test_of_a_long_history_the_latest_items_are_kept() -> None:
    (batch,) = epoch(TrainingBatches(sequences(list(range(20))), batch_size=1, max_length=4))
    assert pairs(batch) == [[(15, 16), (16, 17), (17, 18), (18, 19)]]


def test_weights_go_with_their_targets() -> None:
    weights = [np.array(row, dtype=np.float32) for row in ([9, 1, 2, 3], [7], [8, 4])]
    rows = sequences([5, 6, 7, 8], [5], [8, 9])
    (batch,) = epoch(TrainingBatches(rows, batch_size=4, max_length=2, weights=weights))
    assert batch.weights is not None
    assert batch.targets.tolist() == [9, 7, 8]
    assert batch.weights.tolist() == [4.0, 2.0, 3.0]
    assert epoch(TrainingBatches(rows, batch_size=4, max_length=2))[0].weights is None


def test_users_without_a_pair_take_no_part() -> None:
    batches = TrainingBatches(sequences([1], [], [2, 3]), batch_size=1, max_length=4)
    assert len(batches) == 1
    assert [pairs(batch) for batch in epoch(batches)] == [[[(2, 3)]]]
    with pytest.raises(ValueError, match="no user has two training interactions"):
        TrainingBatches(sequences([1], []), batch_size=1, max_length=4)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 500])
def test_every_user_comes_once_an_epoch(batch_size: int) -> None:
    rows = many(150)
    batches = TrainingBatches(rows, batch_size=batch_size, max_length=20)
    found = epoch(batches)
    assert len(found) == len(batches) == -(-150 // batch_size)
    assert all(len(pairs(batch)) <= batch_size for batch in found)
    users = [user for batch in found for user in pairs(batch)]
    expected = [list(zip(row[:-1].tolist(), row[1:].tolist(), strict=True)) for row in rows]
    assert sorted(users) == sorted(expected)


def test_batches_hold_like_lengths() -> None:
    found = epoch(TrainingBatches(many(512), batch_size=32, max_length=20))
    kinds = [len(batch.runs) for batch in found]
    assert all(batch.runs == tuple(sorted(batch.runs, key=lambda run: run.length)) for batch in found)
    assert np.mean(kinds) < 4  # in random company it would be nearly all of the 11 lengths


def test_the_order_follows_the_generator_alone() -> None:
    batches = TrainingBatches(many(150), batch_size=16, max_length=20)
    first, again, other = (epoch(batches, seed) for seed in (1, 1, 2))
    assert [pairs(batch) for batch in first] == [pairs(batch) for batch in again]

    def company(found: list[Batch]) -> set[frozenset[int]]:
        return {frozenset(user[0][0] for user in pairs(batch)) for batch in found}

    assert company(first) != company(other)
    # Lengths must not come in order, or each epoch would end with the longest histories.
    widths = [batch.runs[-1].length for batch in first]
    assert widths != sorted(widths)
