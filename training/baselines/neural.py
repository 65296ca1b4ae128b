"""The neural baselines: what a model is, its settings, and how its vectors become scores.

A model gives a vector for what a user is about to want and one for each item; score = their dot product. So what is
measured here runs through the same functions as our own models. The training loop is in `training.baselines.loop`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from training.baselines.base import Monitor
from training.baselines.loop import Loop
from training.datasets.base import Dataset
from training.evaluate.splits import EvaluationCases, Split
from training.fit.batches import Items
from training.fit.trainer import Progress

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
    """dim: width of embeddings. length: items of the history that are read. batch_size: samples of a step (users, or
    positions where a method reads windows). epochs: at most. patience: epochs without a better validation figure."""

    dim: int = 64
    length: int = 50
    dropout: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 256
    epochs: int = 200
    patience: int = 10
    monitor: Monitor = "sampled_mrr"


S = TypeVar("S", bound=NeuralSettings)


class Ranker(nn.Module, Generic[B]):
    """A model of one baseline. D is whatever width its scores need, a bias of the items included."""

    def loss(self, batch: B) -> Tensor:
        """Scalar; draws from torch's global generator."""
        raise NotImplementedError

    def query(self, users: Tensor, histories: Sequence[Items]) -> Tensor:
        """Vectors [users, D] of users [users] (int64) after their histories, each with at least one item."""
        raise NotImplementedError

    def catalogue(self) -> Tensor:
        """Vectors [n_items, D]."""
        raise NotImplementedError


class Neural(ABC, Generic[B, S]):
    """A baseline trained by gradient descent. Deterministic on a CPU for a seed and a number of threads."""

    name: str
    model: Ranker[B]

    def __init__(self, settings: S, device: torch.device | None = None) -> None:
        self.settings = settings
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def config(self) -> dict[str, Any]:
        return asdict(self.settings)

    @abstractmethod
    def build(self, dataset: Dataset, split: Split) -> tuple[Ranker[B], Batches[B]]:
        """An untrained model and its training batches, of `split.train` alone."""

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        """Train until validation has not improved for `patience` epochs, then restore the best weights.

        checkpoint: written after every epoch, and gone on from when it exists. Raises CheckpointError when it belongs
        to another run, FloatingPointError when the loss is no longer finite.
        """
        torch.manual_seed(seed)
        model, batches = self.build(dataset, split)
        self.model = model.to(self.device)
        loop = Loop(self, batches, dataset, split, seed, progress)
        loop.run(checkpoint, progress)
        return {
            "settings": self.config,
            "monitor": loop.monitor,
            "best": loop.best,
            "best_epoch": loop.best_epoch,
            "epochs": len(loop.curve),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "curve": loop.curve,
        }

    @torch.no_grad()
    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        query, catalogue = self.vectors(cases, rows)
        return query @ catalogue.T

    @torch.no_grad()
    def vectors(self, cases: EvaluationCases, rows: slice) -> tuple[Tensor, Tensor]:
        """Queries [cases of the slice, D] and the catalogue [n_items, D]."""
        self.model.eval()
        users = torch.from_numpy(cases.users[rows].astype(np.int64)).to(self.device)
        histories = [history[-self.settings.length :] for history in cases.histories[rows]]
        queries = [
            self.model.query(users[start : start + _QUERY_CHUNK], histories[start : start + _QUERY_CHUNK])
            for start in range(0, len(histories), _QUERY_CHUNK)
        ]
        return torch.cat(queries), self.model.catalogue()
