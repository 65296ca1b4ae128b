"""A neural baseline's model: a vector of each user and of each item, whose dot product is the score.

Our own models score the same way, so the same functions measure both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from training.config import Monitor
from training.datasets.base import Indices
from training.evaluate.splits import EvaluationCases

_QUERY_CHUNK = 4096


class DeviceBatch(Protocol):
    def to(self, device: torch.device) -> Self: ...


B = TypeVar("B", bound=DeviceBatch)
B_co = TypeVar("B_co", bound=DeviceBatch, covariant=True)


class Batches(Protocol[B_co]):
    def __len__(self) -> int: ...

    def epoch(self, rng: np.random.Generator) -> Iterator[B_co]: ...


@dataclass(frozen=True)
class NeuralSettings:
    """dim: width of the embeddings. length: how many items of the history the model reads. batch_size: samples of a
    step (users, or positions where the method reads windows). epochs: at most. patience: epochs without a better
    validation figure before training ends."""

    dim: int = 64
    length: int = 50
    dropout: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 256
    epochs: int = 200
    patience: int = 10
    monitor: Monitor = "sampled_mrr"


class Ranker(nn.Module, Generic[B]):
    """A model of one baseline. D is the width that its scores need, a bias of the items included."""

    def loss(self, batch: B) -> Tensor:
        """Scalar; draws from torch's global generator."""
        raise NotImplementedError

    def query(self, users: Tensor, histories: Sequence[Indices]) -> Tensor:
        """Vectors [users, D] of users [users] (int64) after their histories, each with at least one item."""
        raise NotImplementedError

    def catalogue(self) -> Tensor:
        """Vectors [n_items, D]."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


@torch.no_grad()
def vectors(model: Ranker[Any], cases: EvaluationCases, rows: slice, length: int) -> tuple[Tensor, Tensor]:
    """Queries [cases of the slice, D] and the catalogue [n_items, D]; the latest `length` items of a history count."""
    model.eval()
    users = torch.from_numpy(cases.users[rows].astype(np.int64)).to(model.device)
    histories = [history[-length:] for history in cases.histories[rows]]
    queries = [
        model.query(users[start : start + _QUERY_CHUNK], histories[start : start + _QUERY_CHUNK])
        for start in range(0, len(histories), _QUERY_CHUNK)
    ]
    return torch.cat(queries), model.catalogue()
