"""Training samples of the methods that read a window: the items before a position, and the ones from it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.baselines.ranker import Ranker
from training.baselines.sampling import Negatives
from training.datasets.base import Indices


class WindowBatch(NamedTuple):
    """users [n], windows [n, length] (the latest item last), targets [n, ahead]; −1 where there is no item."""

    users: Tensor
    windows: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> WindowBatch:
        return WindowBatch(*(part.to(device, non_blocking=True) for part in self))


class Windows:
    """Every position but a sequence's first is a sample: the `length` items before it, the `ahead` items from it."""

    def __init__(self, sequences: Sequence[Indices], *, length: int, ahead: int, batch_size: int) -> None:
        lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        if lengths.max(initial=0) < 2:
            raise ValueError("sequences: no user has two training interactions, so there is nothing to learn from")
        self._items = np.concatenate(sequences).astype(np.int64)
        ends = np.cumsum(lengths)
        self._user = np.repeat(np.arange(len(lengths)), lengths)
        self._start = (ends - lengths)[self._user]
        self._end = ends[self._user]
        self._samples = np.flatnonzero(np.arange(len(self._items)) > self._start)
        self._length, self._ahead, self._batch_size = length, ahead, batch_size

    def __len__(self) -> int:
        return -(-len(self._samples) // self._batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[WindowBatch]:
        order = rng.permutation(self._samples)
        for start in range(0, len(order), self._batch_size):
            yield self._batch(order[start : start + self._batch_size])

    def _batch(self, at: NDArray[np.int64]) -> WindowBatch:
        before = at[:, None] + np.arange(-self._length, 0)
        after = at[:, None] + np.arange(self._ahead)
        windows = np.where(before >= self._start[at, None], self._items[before.clip(min=0)], -1)
        targets = np.where(after < self._end[at, None], self._items[after.clip(max=len(self._items) - 1)], -1)
        return WindowBatch(*(torch.from_numpy(part) for part in (self._user[at], windows, targets)))


def latest(histories: Sequence[Indices], length: int) -> Tensor:
    """Windows [histories, length] of the latest items, with −1 in front of shorter histories."""
    windows = np.full((len(histories), length), -1, dtype=np.int64)
    for row, history in enumerate(histories):
        kept = history[-length:]
        windows[row, length - len(kept) :] = kept
    return torch.from_numpy(windows)


PairLoss = Callable[[Tensor, Tensor], Tensor]


class WindowRanker(Ranker[WindowBatch]):
    """A model of a user and a window. Its loss compares each target with random negatives."""

    def __init__(self, negatives: Negatives, count: int, length: int, pair_loss: PairLoss) -> None:
        super().__init__()
        self._negatives, self._count, self._length, self._pair_loss = negatives, count, length, pair_loss

    @abstractmethod
    def state(self, users: Tensor, windows: Tensor) -> Tensor:
        """Vectors [n, D] of users [n] and windows [n, length]."""

    def query(self, users: Tensor, histories: Sequence[Indices]) -> Tensor:
        return self.state(users, latest(histories, self._length).to(users.device))

    def loss(self, batch: WindowBatch) -> Tensor:
        state, table = self.state(batch.users, batch.windows), self.catalogue()
        known = batch.targets >= 0
        rows = known.nonzero()[:, 0]
        targets = batch.targets[known]
        negatives = self._negatives.draw(targets, self._count)
        asked = state[rows]
        positive = (asked * table[targets]).sum(-1)
        negative = torch.einsum("pd,pnd->pn", asked, table[negatives])
        return self._pair_loss(positive, negative).mean()


def with_bias(vectors: Tensor, bias: Tensor) -> Tensor:
    """Append a bias [n] to vectors [n, D]: a dot product with a vector that ends with 1 then adds the bias."""
    return torch.cat([vectors, bias.unsqueeze(-1)], dim=-1)


def with_one(vectors: Tensor) -> Tensor:
    """Append a 1 to vectors [n, D], to match `with_bias`."""
    return torch.cat([vectors, vectors.new_ones(len(vectors), 1)], dim=-1)
