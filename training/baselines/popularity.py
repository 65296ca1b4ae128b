"""Popularity: recommends to every user what all users bought most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.datasets.base import Dataset
from training.evaluate.splits import EvaluationCases, Split, training_popularity
from training.fit.progress import Progress


class Popularity:
    """The score of an item is its number of training interactions. It has no settings.

    Published (the method paper's table, sampled-99 HIT@10 / NDCG@10): Beauty .3386 / .1803, Sports .3423 / .1902,
    Toys .3008 / .1618. The published baseline seems to count every interaction, test targets included: that count gives
    .3366 / .1788 on Beauty here, while training interactions alone give .2872 / .1490.
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
