"""The training loop of the neural baselines: keeps the best weights by validation, can resume after every epoch.

The counterpart of `training.fit.trainer` for other models: no tokenizer, no codebooks, no recipe.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, optim

from training.baselines.base import choose_by
from training.baselines.ranker import Batches, NeuralSettings, Ranker, vectors
from training.datasets.base import Dataset
from training.evaluate.metrics import monitored
from training.evaluate.ranking import full_ranks, sampled_ranks
from training.evaluate.splits import Split
from training.fit.checkpoint import locked, resume_run, save_run, snapshot
from training.fit.progress import EpochReport, Progress

_SEED_STRIDE = 100_003  # see training.fit.trainer


class Loop:
    """Trains the model of a baseline. best: the monitored figure of best_epoch. curve: one entry per epoch."""

    def __init__(
        self,
        name: str,
        model: Ranker[Any],
        settings: NeuralSettings,
        batches: Batches[Any],
        dataset: Dataset,
        split: Split,
        seed: int,
        progress: Progress,
    ) -> None:
        self.name, self.model, self.settings, self.batches = name, model, settings, batches
        self.seed, self.valid = seed, split.valid
        self.optimizer = optim.Adam(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.monitor, self.negatives = choose_by(settings.monitor, dataset, split.valid, progress)
        trained = hashlib.sha256(b"".join(b"%d " % len(row) + row.tobytes() for row in split.train)).hexdigest()
        self.key = {
            "method": name,
            "settings": asdict(settings),
            "seed": seed,
            "dataset": dataset.fingerprint(),
            "training": trained,
        }
        self.best, self.best_epoch = -1.0, -1
        self.curve: list[dict[str, float]] = []
        self._best_weights: dict[str, Tensor] = {}

    def run(self, checkpoint: Path | None, progress: Progress) -> None:
        """Train until `patience` epochs in a row bring no improvement; then the model holds the best weights.

        Raises CheckpointError if the checkpoint belongs to another run, or if another process trains into it.
        """
        with locked(checkpoint):
            self._run(checkpoint, progress)

    def _run(self, checkpoint: Path | None, progress: Progress) -> None:
        if checkpoint is not None and checkpoint.exists():
            self._best_weights, loop, self.curve = resume_run(
                checkpoint, self.key, "method, data, settings or seed", self.model, self.optimizer
            )
            self.best, self.best_epoch = loop["best"], loop["best_epoch"]
            progress.message(f"resuming from {checkpoint}, after epoch {len(self.curve)}")
        for epoch in range(len(self.curve), self.settings.epochs):
            if self.curve and epoch - self.best_epoch > self.settings.patience:
                break
            report = self._epoch(epoch, progress)
            if report.best:
                self.best, self.best_epoch, self._best_weights = report.monitored, epoch, snapshot(self.model)
            seconds = round(report.seconds, 2)
            self.curve.append({"epoch": epoch, "monitored": report.monitored, "seconds": seconds, **report.losses})
            if checkpoint is not None:
                loop = {"best": self.best, "best_epoch": self.best_epoch}
                save_run(checkpoint, self.key, self.model, self.optimizer, self._best_weights, loop, self.curve)
            progress.epoch(report)
        self.model.load_state_dict(self._best_weights)
        self.model.eval()

    def _epoch(self, epoch: int, progress: Progress) -> EpochReport:
        started = time.perf_counter()
        torch.manual_seed(self.seed * _SEED_STRIDE + epoch + 1)
        model = self.model.train()
        total = 0.0
        for done, batch in enumerate(self.batches.epoch(np.random.default_rng([self.seed, epoch])), start=1):
            loss = model.loss(batch.to(model.device))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item()
            if not np.isfinite(total):
                raise FloatingPointError(f"{self.name}, epoch {epoch}: the loss is no longer finite")
            progress.step(done, len(self.batches), total / done)
        trained = time.perf_counter()
        figure = self._validate()
        return EpochReport(
            epoch=epoch,
            seconds=trained - started,
            validation_seconds=time.perf_counter() - trained,
            losses={"total": total / len(self.batches)},
            monitored=figure,
            best=figure > self.best,
            replaced_codewords=0,
        )

    def _validate(self) -> float:
        query, catalogue = vectors(self.model, self.valid, slice(None), self.settings.length)
        targets = self.valid.targets.astype(np.int64)
        if self.negatives is None:
            ranks = full_ranks(query, catalogue, targets, self.valid.histories)
        else:
            ranks = sampled_ranks(query, catalogue, targets, self.negatives)
        return monitored(ranks, self.monitor)
