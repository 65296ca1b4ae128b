"""The training loop of the neural baselines: batches in, the best weights by validation out, as `training.trainer`.

A model gives a vector for what a user is about to want and one for each item; score = their dot product. So what is
measured here runs through the same functions as our own models.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from training.baselines.base import Monitor, evaluation_negatives, monitored
from training.batches import Items
from training.checkpoint import snapshot
from training.datasets.base import Dataset
from training.datasets.splits import EvaluationCases, Split
from training.evaluation import full_ranks, sampled_ranks
from training.metrics import Ranks
from training.trainer import EpochReport, Progress

_SEED_STRIDE = 100_003  # see training.trainer
_QUERY_CHUNK = 1024


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


class Neural(ABC, Generic[B]):
    """A baseline trained by gradient descent. Deterministic on a CPU for a seed and a number of threads."""

    name: str
    settings: NeuralSettings
    model: Ranker[B]

    def __init__(self, settings: NeuralSettings, device: torch.device | None = None) -> None:
        self.settings = settings
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @abstractmethod
    def build(self, dataset: Dataset, split: Split) -> tuple[Ranker[B], Batches[B]]:
        """An untrained model and its training batches, of `split.train` alone."""

    def fit(self, dataset: Dataset, split: Split, seed: int, progress: Progress) -> dict[str, Any]:
        """Train until validation has not improved for `patience` epochs, then restore the best weights."""
        settings = self.settings
        torch.manual_seed(seed)
        model, batches = self.build(dataset, split)
        self.model = model.to(self.device)
        optimizer = optim.Adam(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        negatives = evaluation_negatives(dataset, split.valid) if settings.monitor == "sampled_mrr" else None
        best, best_epoch, best_weights = -1.0, -1, snapshot(model)
        curve: list[dict[str, float]] = []
        for epoch in range(settings.epochs):
            if epoch - best_epoch > settings.patience:
                break
            report = self._epoch(epoch, seed, batches, optimizer, split.valid, negatives, best, progress)
            if report.best:
                best, best_epoch, best_weights = report.monitored, epoch, snapshot(model)
            curve.append({"epoch": epoch, "monitored": report.monitored, "seconds": round(report.seconds, 2)})
            curve[-1] |= report.losses
            progress.epoch(report)
        model.load_state_dict(best_weights)
        model.eval()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        return {
            "settings": asdict(settings),
            "monitor": settings.monitor,
            "best": best,
            "best_epoch": best_epoch,
            "epochs": len(curve),
            "parameters": parameters,
            "curve": curve,
        }

    def _epoch(
        self,
        epoch: int,
        seed: int,
        batches: Batches[B],
        optimizer: optim.Optimizer,
        valid: EvaluationCases,
        negatives: NDArray[np.int64] | None,
        best: float,
        progress: Progress,
    ) -> EpochReport:
        started = time.perf_counter()
        torch.manual_seed(seed * _SEED_STRIDE + epoch + 1)
        self.model.train()
        total = 0.0
        for done, batch in enumerate(batches.epoch(np.random.default_rng([seed, epoch])), start=1):
            loss = self.model.loss(batch.to(self.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item()
            if not np.isfinite(total):
                raise FloatingPointError(f"{self.name}, epoch {epoch}: the loss is no longer finite")
            progress.step(done, len(batches), total / done)
        trained = time.perf_counter()
        figure = monitored(self._ranks(valid, negatives), self.settings.monitor)
        return EpochReport(
            epoch=epoch,
            seconds=trained - started,
            validation_seconds=time.perf_counter() - trained,
            losses={"total": total / len(batches)},
            monitored=figure,
            best=figure > best,
            replaced_codewords=0,
        )

    def _ranks(self, cases: EvaluationCases, negatives: NDArray[np.int64] | None) -> Ranks:
        """Ranks in the protocol that is monitored: sampled where there are negatives, else full."""
        query, catalogue = self._vectors(cases, slice(None))
        targets = cases.targets.astype(np.int64)
        if negatives is None:
            return full_ranks(query, catalogue, targets, cases.histories)
        return sampled_ranks(query, catalogue, targets, negatives)

    @torch.no_grad()
    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        query, catalogue = self._vectors(cases, rows)
        return query @ catalogue.T

    @torch.no_grad()
    def _vectors(self, cases: EvaluationCases, rows: slice) -> tuple[Tensor, Tensor]:
        """Queries [cases of the slice, D] and the catalogue [n_items, D]."""
        self.model.eval()
        users = torch.from_numpy(cases.users[rows].astype(np.int64)).to(self.device)
        histories = [history[-self.settings.length :] for history in cases.histories[rows]]
        queries = [
            self.model.query(users[start : start + _QUERY_CHUNK], histories[start : start + _QUERY_CHUNK])
            for start in range(0, len(histories), _QUERY_CHUNK)
        ]
        return torch.cat(queries), self.model.catalogue()
