"""Training batches: every user once an epoch, next item as the target, little padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.batches import Batch, Items, TrainingBatches, pad_right


def sequences(*rows: list[int]) -> list[Items]:
    return [np.array(row, dtype=np.int32) for row in rows]


def many(count: int, seed: int = 0) -> list[Items]:
    """Users of 2 to 12 items; the first item tells the user."""
    rng = np.random.default_rng(seed)
    return [
        np.array([user, *rng.integers(count, 2 * count, rng.integers(1, 12))], dtype=np.int32) for user in range(count)
    ]


def pairs(batch: Batch) -> list[list[tuple[int, int]]]:
    """Per user the (input, target) pairs that count."""
    return [
        list(zip(inputs[valid].tolist(), targets[valid].tolist(), strict=True))
        for inputs, targets, valid in zip(batch.inputs, batch.targets, batch.valid, strict=True)
    ]


def epoch(batches: TrainingBatches, seed: int = 0) -> list[Batch]:
    return list(batches.epoch(np.random.default_rng(seed)))


def test_position_t_predicts_the_item_after_it() -> None:
    (batch,) = epoch(TrainingBatches(sequences([5, 6, 7], [8, 9]), batch_size=4, max_length=10))
    assert sorted(pairs(batch)) == [[(5, 6), (6, 7)], [(8, 9)]]
    assert batch.inputs.shape == batch.targets.shape == batch.valid.shape == (2, 2)
    assert (batch.inputs.dtype, batch.valid.dtype) == (torch.int64, torch.bool)
    short = batch.valid.sum(1).argmin()
    assert batch.inputs[short, 1] == batch.targets[short, 1] == 0


def test_of_a_long_history_the_latest_items_are_kept() -> None:
    (batch,) = epoch(TrainingBatches(sequences(list(range(20))), batch_size=1, max_length=4))
    assert pairs(batch) == [[(15, 16), (16, 17), (17, 18), (18, 19)]]


def test_weights_go_with_their_targets() -> None:
    weights = [np.array(row, dtype=np.float32) for row in ([9, 1, 2, 3], [7], [8, 4])]
    rows = sequences([5, 6, 7, 8], [5], [8, 9])
    (batch,) = epoch(TrainingBatches(rows, batch_size=4, max_length=2, weights=weights))
    assert batch.weights is not None
    long, short = batch.valid.sum(1).argmax(), batch.valid.sum(1).argmin()
    assert batch.targets[long].tolist() == [7, 8]
    assert batch.weights[long].tolist() == [2.0, 3.0]
    assert batch.weights[short].tolist() == [4.0, 0.0]
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
    assert all(len(batch.inputs) <= batch_size for batch in found)
    users = [user for batch in found for user in pairs(batch)]
    expected = [list(zip(row[:-1].tolist(), row[1:].tolist(), strict=True)) for row in rows]
    assert sorted(users) == sorted(expected)


def test_batches_are_trimmed_to_their_longest_and_hold_like_lengths() -> None:
    found = epoch(TrainingBatches(many(512), batch_size=32, max_length=20))
    assert all(bool(batch.valid.any(0).all()) for batch in found)
    padded = sum(batch.valid.numel() for batch in found)
    real = sum(int(batch.valid.sum()) for batch in found)
    assert real / padded > 0.8  # in random company it would be about 0.57


def test_the_order_follows_the_generator_alone() -> None:
    batches = TrainingBatches(many(150), batch_size=16, max_length=20)
    first, again, other = (epoch(batches, seed) for seed in (1, 1, 2))
    assert [pairs(batch) for batch in first] == [pairs(batch) for batch in again]

    def company(found: list[Batch]) -> set[frozenset[int]]:
        return {frozenset(batch.inputs[:, 0].tolist()) for batch in found}

    assert company(first) != company(other)
    # Lengths must not come in order, or each epoch would end with the longest histories.
    widths = [batch.inputs.shape[1] for batch in first]
    assert widths != sorted(widths)


def test_pad_right() -> None:
    padded, valid = pad_right(sequences([1, 2, 3], [], [4]))
    assert padded.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert valid.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
