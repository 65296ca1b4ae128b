"""Training batches: histories of similar length together, padded on the right to the longest among them only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Items = NDArray[np.int32]
Weights = NDArray[np.float32]

# A shuffled run of this many batches is sorted by length before it is cut: little padding, yet other company for a
# user in every epoch.
_BATCHES_SORTED_TOGETHER = 8


class Batch(NamedTuple):
    """inputs, targets: [users, length] int64, padded with item 0 on the right. valid: [users, length] bool.

    weights: [users, length] float32, how much each target counts; None when all count the same.
    """

    inputs: Tensor
    targets: Tensor
    valid: Tensor
    weights: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        return Batch(*(None if part is None else part.to(device, non_blocking=True) for part in self))  # type: ignore[arg-type]


class TrainingBatches:
    """Iterates over users in batches. Position t reads sequence[t] and predicts sequence[t + 1].

    sequences: item indices per user, oldest first; of a long one the latest `max_length` + 1 items are kept. Users
    with fewer than two items have nothing to predict and take no part. weights: of each interaction, likewise.
    """

    def __init__(
        self,
        sequences: Sequence[Items],
        *,
        batch_size: int,
        max_length: int,
        weights: Sequence[Weights] | None = None,
    ) -> None:
        latest = slice(-(max_length + 1), None)
        self._sequences = [sequence[latest] for sequence in sequences if len(sequence) >= 2]
        self._weights = None if weights is None else [row[latest] for row in weights if len(row) >= 2]
        if not self._sequences:
            raise ValueError("sequences: no user has two training interactions, there is nothing to learn from")
        self._lengths = np.array([len(sequence) for sequence in self._sequences])
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._sequences) // self._batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """One pass over all users, in an order that `rng` decides."""
        order = rng.permutation(len(self._sequences))
        run = self._batch_size * _BATCHES_SORTED_TOGETHER
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(order), run):
            members = order[start : start + run]
            members = members[np.argsort(self._lengths[members], kind="stable")]
            batches += [members[at : at + self._batch_size] for at in range(0, len(members), self._batch_size)]
        for index in rng.permutation(len(batches)):
            yield self._batch(batches[index])

    def _batch(self, users: NDArray[np.int64]) -> Batch:
        chosen = [self._sequences[user] for user in users]
        inputs, valid = pad_right([sequence[:-1] for sequence in chosen])
        targets, _ = pad_right([sequence[1:] for sequence in chosen])
        if self._weights is None:
            return Batch(inputs, targets, valid)
        weights = np.zeros(valid.shape, dtype=np.float32)
        weights[valid.numpy()] = np.concatenate([self._weights[user][1:] for user in users])
        return Batch(inputs, targets, valid, torch.from_numpy(weights))


def pad_right(sequences: Sequence[Items]) -> tuple[Tensor, Tensor]:
    """Sequences as one [n, longest] int64 tensor padded with 0 on the right, and the mask of what is real."""
    lengths = np.array([len(sequence) for sequence in sequences])
    valid = np.arange(lengths.max()) < lengths[:, None]
    padded = np.zeros(valid.shape, dtype=np.int64)
    padded[valid] = np.concatenate(sequences)
    return torch.from_numpy(padded), torch.from_numpy(valid)
