"""What the tests of the report share: stand-ins for the baselines, and a workbench on a tiny data set."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.support.tiny_training import TINY, checkerboard
from training.datasets import Dataset
from training.evaluate.splits import EvaluationCases, Split
from training.fit.progress import Progress
from training.report.plan import Plan, Sweeps
from training.report.runs import Workbench
from training.report.store import RunStore

SMALL = TINY.override({"epochs": 1, "hidden": (16,), "text_dim": 8, "semantic_dim": 8})


@dataclass(frozen=True)
class Settings:
    epochs: int = 7


class Counting:
    """A stand-in for a baseline: an item's score is how often training holds it."""

    def __init__(self, name: str = "popularity") -> None:
        self.name = name
        self.settings = Settings()

    @property
    def config(self) -> dict[str, Any]:
        return asdict(self.settings)

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        counts = np.bincount(np.concatenate(split.train), minlength=dataset.n_items)
        self._counts = torch.from_numpy(counts.astype(np.float32))
        return {"epochs": self.settings.epochs, "best": 0.5}

    def cap_epochs(self, epochs: int) -> None:
        self.settings = Settings(min(self.settings.epochs, epochs))

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        return self._counts.repeat(len(cases.targets[rows]), 1)


class Words(Counting):
    """A stand-in that reads texts: an item scores by the words that it shares with the latest item of the history."""

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        said = [set(item.to_text().replace(";", " ").split()) for item in dataset.items]
        self._shared = torch.tensor([[float(len(one & other)) for other in said] for one in said])
        return {}

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        return self._shared[[int(history[-1]) for history in cases.histories[rows]]]


def quiet(monitor: str) -> AbstractContextManager[Progress]:
    return nullcontext(Progress())


def small_data(n_users: int = 60, *, timed: bool = False) -> Dataset:
    dataset = checkerboard(n_users=n_users)
    if not timed:
        return dataset
    # Three purchases a day.
    times = [np.arange(len(row), dtype=np.int64) // 3 * 86_400 for row in dataset.sequences]
    return replace(dataset, timestamps=times)


def make_bench(folder: Path, dataset: Dataset | None = None, said: list[str] | None = None) -> Workbench:
    return Workbench(
        dataset=dataset or small_data(),
        store=RunStore(folder / "runs"),
        baselines={"popularity": Counting, "text-nn": lambda: Words("text-nn"), "sasrec": lambda: Counting("sasrec")},
        command="python -m training report --test",
        display=quiet,
        say=(said if said is not None else []).append,
        device=torch.device("cpu"),
    )


def make_plan(folder: Path, dataset: Dataset | None = None, said: list[str] | None = None) -> Plan:
    """A plan of tiny recipes: every training takes a fraction of a second."""
    return Plan(
        bench=make_bench(folder, dataset, said),
        figures=folder / "figures",
        paper=SMALL.override({"name": "paper", "loss": "bce", "negatives": 1, "monitor": "sampled_mrr"}),
        default=SMALL.override({"name": "default", "cold_policy": "neighbour"}),
        seeds=(0, 1),
        methods=("popularity", "text-nn"),
        sweeps=Sweeps(codebook_sizes=(4, 8), levels=(1, 3), id_dims=(0, 8), warmup_epochs=1),
    )
