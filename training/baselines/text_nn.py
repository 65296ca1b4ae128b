"""Text nearest neighbours: items whose texts resemble those of the history. Scores items without interactions, too.

Content-based recommendation with a Rocchio profile (Pazzani and Billsus, "Content-based recommendation systems",
2007), in which recent items weigh more. It reads the same text embeddings as our own models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.text import TextEncoder
from training.baselines.base import choose
from training.baselines.history import weighted_histories
from training.config import PAPER, Monitor
from training.datasets.base import Dataset
from training.evaluate.splits import EvaluationCases, Split
from training.fit.progress import Progress
from training.fit.trainer import fit_text_encoder


class TextNearestNeighbour:
    """score(j) = Σ over the history decay^age · cosine(text of i, text of j); decay 0 reads only the latest item."""

    name = "text-nn"

    def __init__(
        self,
        text_encoder: TextEncoder | None = None,
        decays: tuple[float, ...] = (0.0, 0.5, 0.8, 1.0),
        monitor: Monitor = "sampled_mrr",
    ) -> None:
        self._encoder, self._decays, self._monitor = text_encoder, decays, monitor

    @property
    def config(self) -> dict[str, Any]:
        text = self._encoder.fingerprint if self._encoder else {"kind": PAPER.text_encoder, "dim": PAPER.text_dim}
        return {"decays": list(self._decays), "monitor": self._monitor, "text": text}

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        encoder = self._encoder or fit_text_encoder(dataset, PAPER, seed)
        self._text = torch.from_numpy(encoder.encode([item.to_text() for item in dataset.items]))

        def apply(settings: dict[str, Any]) -> None:
            self._decay: float = settings["decay"]

        candidates = [{"decay": decay, "text_encoder": encoder.kind} for decay in self._decays]
        return choose(self, candidates, apply, dataset, split, self._monitor, progress)

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        weights = weighted_histories(cases.histories[rows], len(self._text), self._decay)
        return torch.from_numpy(weights @ self._text.numpy()) @ self._text.T
