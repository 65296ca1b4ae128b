"""The seam to `training.baselines`: what the report needs of it, so that parts can be tried with a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.config import Recipe
from training.datasets.base import Dataset
from training.evaluate.metrics import Ranks
from training.evaluate.splits import EvaluationCases, Split
from training.fit.trainer import Progress


class Baseline(Protocol):
    """A method to compare with; see training/baselines/base.py."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> dict[str, Any]: ...

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]: ...

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor: ...


class RankBaseline(Protocol):
    """Ranks by protocol of a baseline's scores; without negatives, of the full ranking alone."""

    def __call__(
        self, baseline: Any, cases: EvaluationCases, negatives: NDArray[np.int64] | None
    ) -> dict[str, Ranks]: ...


def load_baselines() -> tuple[Mapping[str, Callable[[], Baseline]], RankBaseline]:
    """All baselines by name, and how their scores become ranks. Imported when asked for: they are many modules."""
    package = import_module("training.baselines")
    return package.BASELINES, package.baseline_ranks


def cap_epochs(baseline: Baseline, epochs: int) -> None:
    """Let a baseline train for at most `epochs`, where it trains by epochs: it keeps them in `settings` or `recipe`."""
    settings, recipe = getattr(baseline, "settings", None), getattr(baseline, "recipe", None)
    if is_dataclass(settings) and not isinstance(settings, type) and hasattr(settings, "epochs"):
        vars(baseline)["settings"] = replace(settings, epochs=min(settings.epochs, epochs))
    if isinstance(recipe, Recipe):
        vars(baseline)["recipe"] = recipe.override({"epochs": min(recipe.epochs, epochs)})
