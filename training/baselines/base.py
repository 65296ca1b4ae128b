"""The protocol of a baseline, and the ranks of its scores by the metric code that measures our own models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import Monitor
from training.datasets.base import Dataset
from training.evaluate.metrics import Ranks, monitored, protocol_of
from training.evaluate.negatives import NOT_SAMPLED, evaluation_negatives
from training.evaluate.ranking import candidate_ranks, catalogue_ranks, join_ranks
from training.evaluate.splits import EvaluationCases, Split
from training.fit.progress import Progress


class Scorer(Protocol):
    """A method that scores the catalogue for evaluation cases."""

    @property
    def name(self) -> str: ...

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        """Scores [cases of the slice, n_items], float32, higher is better, as a new tensor, without masking."""
        ...


class Baseline(Scorer, Protocol):
    """A method to compare with: learns from `split.train` and the items' texts, chooses settings by `split.valid`.

    It ignores weights of interactions, because none of the published methods has them.
    """

    @property
    def config(self) -> dict[str, Any]:
        """JSON-ready: every setting that decides what `fit` learns, besides data and seed. Identifies a kept run."""
        ...

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        """Learn. Returns JSON-ready notes: epochs, the best validation figure, hyperparameters.

        checkpoint: a method that trains in epochs writes it after each, and resumes from it if it exists.
        """
        ...


@runtime_checkable
class TrainsInEpochs(Protocol):
    """A baseline that trains for a number of epochs."""

    def cap_epochs(self, epochs: int) -> None:
        """Train for at most `epochs`; part of `config`."""
        ...


def cap_epochs(baseline: Baseline, epochs: int) -> None:
    """Let a baseline train for at most `epochs`; does nothing if it does not train in epochs."""
    if isinstance(baseline, TrainsInEpochs):
        baseline.cap_epochs(epochs)


def baseline_ranks(
    scorer: Scorer, cases: EvaluationCases, negatives: NDArray[np.int64] | None, chunk: int = 512
) -> dict[str, Ranks]:
    """Ranks of the targets, "full" and "sampled", with the masking, ties and negatives of our own models.

    negatives: [cases, 99] from `draw_negatives`; None leaves the sampled protocol out. chunk: users to score at a time.
    Raises ValueError for scores of a wrong shape, and for scores that are not finite, because NaN would rank first.
    """
    full, sampled = [], []
    targets = cases.targets.astype(np.int64)
    for start in range(0, len(cases), chunk):
        part = slice(start, min(start + chunk, len(cases)))
        scores = scorer.scores(cases, part)
        if scores.dim() != 2 or len(scores) != part.stop - start:
            raise ValueError(f"{scorer.name}: scores of shape {tuple(scores.shape)} for {part.stop - start} cases")
        if not torch.isfinite(scores).all():
            raise ValueError(f"{scorer.name}: cases {start} … {part.stop - 1} have scores that are not finite")
        if negatives is not None:
            # Do this before the full ranking masks the histories; negatives are never in them.
            candidates = np.concatenate([targets[part, None], negatives[part]], axis=1)
            sampled.append(candidate_ranks(scores.gather(1, torch.from_numpy(candidates).to(scores.device))))
        full.append(catalogue_ranks(scores, targets[part], cases.histories[part]))
    ranks = {"full": join_ranks(full)}
    return ranks if negatives is None else ranks | {"sampled": join_ranks(sampled)}


def choose_by(
    monitor: Monitor, dataset: Dataset, cases: EvaluationCases, progress: Progress
) -> tuple[Monitor, NDArray[np.int64] | None]:
    """The monitor to choose by on these cases, and its negatives (None for full ranking).

    Falls back from a sampled monitor to the full one, with a message, if a user has too few items left to draw.
    """
    if monitor != "sampled_mrr":
        return monitor, None
    negatives = evaluation_negatives(dataset, cases)
    if negatives is None:
        progress.message(NOT_SAMPLED)
        return "full_ndcg@10", None
    return monitor, negatives


def choose(
    baseline: Baseline,
    candidates: list[dict[str, Any]],
    apply: Callable[[dict[str, Any]], None],
    dataset: Dataset,
    split: Split,
    monitor: Monitor,
    progress: Progress,
) -> dict[str, Any]:
    """Run a grid search and return its notes: `apply` sets each candidate, validation picks the best, which stays set.

    With one candidate it measures nothing.
    """
    figures: list[float] = []
    if len(candidates) > 1:
        monitor, negatives = choose_by(monitor, dataset, split.valid, progress)
        protocol = protocol_of(monitor)
        for settings in candidates:
            apply(settings)
            figures.append(monitored(baseline_ranks(baseline, split.valid, negatives)[protocol], monitor))
            progress.message(f"{baseline.name} {settings}: validation {monitor} {figures[-1]:.4f}")
    best = int(np.argmax(figures)) if figures else 0
    apply(candidates[best])
    tried = [settings | {"validation": figure} for settings, figure in zip(candidates, figures, strict=False)]
    return {
        "settings": candidates[best],
        "monitor": monitor,
        "best": figures[best] if figures else None,
        "tried": tried,
    }
