"""Popularity: every user is recommended what all users bought most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.datasets.base import Dataset
from training.evaluate.splits import EvaluationCases, Split, training_popularity
from training.fit.progress import Progress


class Popularity:
    """Score of an item: its interactions in the training part of the sequences. Nothing is learned, nothing chosen.

    Published (the method paper's table, sampled-99 HIT@10 / NDCG@10): Beauty .3386 / .1803, Sports .3423 / .1902,
    Toys .3008 / .1618. They seem to count every interaction, the test targets included: so counted, Beauty comes
    out at .3366 / .1788 here, and at .2872 / .1490 by what training may see.
    """

    name = "popularity"

    @property
    def config(self) -> dict[str, Any]:
        return {}

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        # Counts are exact in float32 up to 16 million.
        self._counts = torch.from_numpy(training_popularity(split, dataset.n_items)).float()
        return {"settings": {}}

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        return self._counts.repeat(len(cases.targets[rows]), 1)
