"""Training batches that group histories of similar length and pack them without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.packing import Runs, pack
from training.datasets.base import Indices, Weights

# We sort this many shuffled batches by length before we cut them. A batch then holds few lengths, and attention reads
# each as one dense tensor; yet a user shares a batch with other users in every epoch.
_BATCHES_SORTED_TOGETHER = 8


class Batch(NamedTuple):
    """inputs, targets: [tokens] int64, histories packed as `runs` say (see `model.packing`).

    weights: [tokens] float32, the weight of each target; None if all weigh the same.
    """

    inputs: Tensor
    targets: Tensor
    runs: Runs
    weights: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        inputs, targets = (part.to(device, non_blocking=True) for part in (self.inputs, self.targets))
        weights = None if self.weights is None else self.weights.to(device, non_blocking=True)
        return Batch(inputs, targets, self.runs, weights)


class TrainingBatches:
    """Iterates over users in batches. Position t reads sequence[t] and predicts sequence[t + 1].

    sequences: item indices per user, oldest first; a long one keeps its latest `max_length` + 1 items. Users with
    fewer than two items have nothing to predict and are left out. weights: per interaction, in the same order.
    """

    def __init__(
        self,
        sequences: Sequence[Indices],
        *,
        batch_size: int,
        max_length: int,
        weights: Sequence[Weights] | None = None,
    ) -> None:
        latest = slice(-(max_length + 1), None)
        self._sequences = [sequence[latest] for sequence in sequences if len(sequence) >= 2]
        self._weights = None if weights is None else [row[latest] for row in weights if len(row) >= 2]
        if not self._sequences:
            raise ValueError("sequences: no user has two training interactions, so there is nothing to learn from")
        self._lengths = np.array([len(sequence) for sequence in self._sequences])
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._sequences) // self._batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """One pass over all users in an order drawn from `rng`."""
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
        order, runs = pack((self._lengths[users] - 1).tolist())
        users = users[order]
        chosen = [self._sequences[user] for user in users]
        inputs = np.concatenate([sequence[:-1] for sequence in chosen]).astype(np.int64)
        targets = np.concatenate([sequence[1:] for sequence in chosen]).astype(np.int64)
        weights = None
        if self._weights is not None:
            weights = torch.from_numpy(np.concatenate([self._weights[user][1:] for user in users]))
        return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), runs, weights)
