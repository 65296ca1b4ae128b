"""SASRec: our own trainer and recommender with ID embeddings alone, not a second implementation.

Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018 (arXiv 1808.09781), in the form S3-Rec gave it:
64-d, 2 blocks, 2 heads, dropout .5, binary cross-entropy with one random negative.

Published, binary cross-entropy: sampled-99 HIT@10 / NDCG@10 Beauty .4696 / .3156, Sports .4622 / .2869, Toys
.4663 / .3136 (the method paper's table); full ranking R@10 / NDCG@10 Beauty .0605 / .0318, Sports .0350 / .0192, Toys
.0675 / .0374 (the S3-Rec paper). Sampled softmax with 256 negatives, full ranking: Beauty .0921 / .0531, Sports
.0569 / .0314, Toys .0970 / .0580.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.config import PAPER, Recipe
from training.datasets.base import Dataset
from training.evaluate.ranking import queries
from training.evaluate.splits import EvaluationCases, Split
from training.fit.progress import Progress
from training.fit.trainer import Trainer

BCE = PAPER.override({"name": "sasrec", "tokens": "id", "id_dim": 64})
# Chooses by full ranking, because its published figures use nothing else.
SOFTMAX = BCE.override(
    {"name": "sasrec-softmax", "loss": "sampled_softmax", "negatives": 256, "monitor": "full_ndcg@10"}
)


class SasRec:
    def __init__(self, recipe: Recipe = BCE, device: torch.device | None = None) -> None:
        if recipe.tokens != "id":
            raise ValueError(f"recipe {recipe.name}: tokens are {recipe.tokens!r}, SASRec has ID embeddings alone")
        self.name, self.recipe, self._device = recipe.name, recipe, device

    @property
    def config(self) -> dict[str, Any]:
        return self.recipe.model_dump(mode="json")

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        """Raises ValueError if `split` is not the leave-one-out split, because the trainer makes that split itself."""
        trainer = Trainer(dataset, self.recipe, seed=seed, device=self._device)
        theirs = trainer.split.train
        if len(theirs) != len(split.train) or not all(map(np.array_equal, theirs, split.train)):
            raise ValueError(f"{self.name}: the split is not the leave-one-out split of {dataset.name}")
        trainer.fit(checkpoint, progress)
        self._recommender, self._catalogue = trainer.model.recommender, trainer.model.catalogue()
        best = max(trainer.history, key=lambda entry: float(entry["monitored"]))  # the first of equal ones
        return {
            "settings": self.config,
            "monitor": trainer.recipe.monitor,
            "best": best["monitored"],
            "best_epoch": best["epoch"],
            "epochs": len(trainer.history),
            "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
            "curve": trainer.history,
        }

    def cap_epochs(self, epochs: int) -> None:
        self.recipe = self.recipe.override({"epochs": min(self.recipe.epochs, epochs)})

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        return queries(self._recommender, self._catalogue, cases.histories[rows]) @ self._catalogue.T
