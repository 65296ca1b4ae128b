"""A baseline that trains a `Ranker` by gradient descent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from training.baselines.loop import Loop
from training.baselines.ranker import B, Batches, NeuralSettings, Ranker, vectors
from training.datasets.base import Dataset
from training.evaluate.splits import EvaluationCases, Split
from training.fit.progress import Progress

S = TypeVar("S", bound=NeuralSettings)


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

        checkpoint: the run writes it after every epoch, and resumes from it when it exists. Raises CheckpointError when
        it belongs to another run, FloatingPointError when the loss is no longer finite.
        """
        torch.manual_seed(seed)
        model, batches = self.build(dataset, split)
        self.model = model.to(self.device)
        loop = Loop(self.name, self.model, self.settings, batches, dataset, split, seed, progress)
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

    def cap_epochs(self, epochs: int) -> None:
        self.settings = replace(self.settings, epochs=min(self.settings.epochs, epochs))

    @torch.no_grad()
    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        query, catalogue = vectors(self.model, cases, rows, self.settings.length)
        return query @ catalogue.T
