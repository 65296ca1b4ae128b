"""Runs: train and measure a method once, or read the run that an earlier report kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import TEXT_SIMILARITY
from model.exposure import cold_boosts
from training.baselines.base import Baseline, baseline_ranks, cap_epochs
from training.config import Recipe
from training.datasets.base import Dataset
from training.evaluate.health import token_parameters, tokenizer_health
from training.evaluate.metrics import Ranks
from training.evaluate.negatives import evaluation_negatives
from training.evaluate.ranking import boosts_of, full_ranks, queries
from training.evaluate.splits import EvaluationCases, Split, leave_one_out, training_popularity
from training.fit.progress import Progress
from training.fit.trainer import Trainer
from training.report.result import RunResult, figures_of, intervals_of, machine, run_key
from training.report.store import Arrays, RunStore, rank_arrays

OURS = "kindred"


@dataclass(eq=False)
class Workbench:
    """Everything that a run needs besides its settings, for one data set; shuffled and held-out variants get their own.

    baselines: constructors by name. max_epochs: caps every
    training, for trials; part of a run's settings, so capped runs are never taken for whole ones. display: the
    progress of one training, by its monitored metric.
    """

    dataset: Dataset
    store: RunStore
    baselines: Mapping[str, Callable[[], Baseline]]
    command: str
    display: Callable[[str], AbstractContextManager[Progress]]
    say: Callable[[str], None]
    max_epochs: int | None = None
    device: torch.device | None = None

    @cached_property
    def split(self) -> Split:
        return leave_one_out(self.dataset)

    @cached_property
    def fingerprint(self) -> str:
        return self.dataset.fingerprint()

    @cached_property
    def negatives(self) -> NDArray[np.int64] | None:
        """[users, 99], the same for every method; None if some user has too few items left to draw."""
        return evaluation_negatives(self.dataset, self.split.test)

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """Interactions of each item in training, [n_items]."""
        return training_popularity(self.split, self.dataset.n_items)

    def with_dataset(self, dataset: Dataset) -> Workbench:
        """The same bench over another data set."""
        return Workbench(
            dataset,
            self.store,
            self.baselines,
            self.command,
            self.display,
            self.say,
            self.max_epochs,
            self.device,
        )

    def capped(self, recipe: Recipe) -> Recipe:
        """The recipe as we train it: with one name for all, with capped epochs, and with a monitor that this data set
        allows.
        """
        changes: dict[str, Any] = {"name": OURS}
        if self.negatives is None:
            changes["monitor"] = "full_ndcg@10"
        if self.max_epochs is not None:
            changes["epochs"] = min(recipe.epochs, self.max_epochs)
            changes["warmup_epochs"] = min(recipe.warmup_epochs, self.max_epochs)
        return recipe.override(changes)

    def run_recipe(self, recipe: Recipe, seed: int, label: str = "") -> RunResult:
        """A run of our model. Recipes that differ only in their names share one run."""
        recipe = self.capped(recipe)
        settings = recipe.model_dump(mode="json")
        key = run_key(self.fingerprint, OURS, settings, seed)
        if (found := self.store.get(key)) is not None:
            return found
        self.say(f"{label or OURS}, seed {seed}, {self.dataset.name}: training ({key})")
        with self.display(recipe.monitor) as progress:
            trainer = self.fit(recipe, seed, key, progress)
            progress.message("measuring")
            result, arrays = self._measure_ours(trainer, label, key)
        self.store.put(result, arrays)
        return result

    def fit(self, recipe: Recipe, seed: int, key: str, progress: Progress) -> Trainer:
        """Train a recipe; resumes from the checkpoint of an interrupted run with the same key."""
        trainer = Trainer(self.dataset, recipe, seed=seed, device=self.device)
        trainer.fit(self.store.checkpoint(key), progress)
        return trainer

    def run_baseline(self, name: str, seed: int) -> RunResult:
        """A run of a baseline. Raises ValueError for an unknown name."""
        settings = self.baseline(name).config
        key = run_key(self.fingerprint, name, settings, seed)
        if (found := self.store.get(key)) is not None:
            return found
        self.say(f"{name}, seed {seed}, {self.dataset.name}: training ({key})")
        baseline = self.fitted_baseline(name, seed, self.store.checkpoint(key))
        valid, test = (baseline_ranks(baseline[0], cases, self.negatives) for cases in self._evaluated)
        notes = dict(baseline[1])
        curve = notes.pop("curve", [])
        result = self.result(
            key, name, name, settings, seed, valid, test, baseline[2], curve=curve, epochs=notes.get("epochs")
        ).model_copy(update={"notes": notes})
        self.store.put(result, rank_arrays(test))
        return result

    def baseline(self, name: str) -> Baseline:
        """An untrained baseline with capped epochs. Raises ValueError for an unknown name."""
        if name not in self.baselines:
            raise ValueError(f"method {name!r}: known are {', '.join(self.baselines)}")
        baseline = self.baselines[name]()
        if self.max_epochs is not None:
            cap_epochs(baseline, self.max_epochs)
        return baseline

    def fitted_baseline(
        self, name: str, seed: int, checkpoint: Path | None = None
    ) -> tuple[Baseline, dict[str, Any], float]:
        """Train a baseline, or resume from its checkpoint; returns it, its notes, and the seconds of training."""
        baseline = self.baseline(name)
        started = time.perf_counter()
        with self.display("validation") as progress:
            notes = baseline.fit(self.dataset, self.split, seed, progress, checkpoint)
        return baseline, notes, time.perf_counter() - started

    @property
    def _evaluated(self) -> tuple[EvaluationCases, EvaluationCases]:
        return self.split.valid, self.split.test

    def _measure_ours(self, trainer: Trainer, label: str, key: str) -> tuple[RunResult, Arrays]:
        protocols = ("full",) if self.negatives is None else ("full", "sampled")
        valid, test = ({name: trainer.ranks(cases, name) for name in protocols} for cases in self._evaluated)
        config = trainer.model.tokenizer.config
        codes = trainer.model.codes.cpu().numpy()
        result = self.result(
            key,
            OURS,
            label or OURS,
            trainer.recipe.model_dump(mode="json"),
            trainer.seed,
            valid,
            test,
            sum(entry["seconds"] for entry in trainer.history),
            curve=trainer.history,
            epochs=len(trainer.history),
        ).model_copy(
            update={
                "token_parameters": token_parameters(config, self.dataset.n_items),
                "codebooks": tokenizer_health(codes, config) or None,
            }
        )
        arrays = rank_arrays(test) | rank_arrays({"cold": self._cold_ranks(trainer)})
        if config.has_semantic:
            quantizer = trainer.model.tokenizer.quantizer
            words = [quantizer.level(level).codewords.detach().cpu().numpy() for level in range(config.levels)]
            arrays |= {"codes": codes.astype(np.int32), "codewords": np.stack(words)}
        if config.has_id:
            arrays["id_embeddings"] = trainer.model.tokenizer.id_embeddings.weight.detach().cpu().numpy()
        return result, arrays

    def _cold_ranks(self, trainer: Trainer) -> Ranks:
        """Ranks of the test targets among the never-trained items, for users whose target is one of them.

        These are the ranks for a place that is reserved for cold items.
        """
        rows, cases = never_trained(self.split.test, self.popularity)
        catalogue = trainer.model.catalogue()
        cold = np.flatnonzero(self.popularity == 0)
        if not len(rows):
            return Ranks(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        query = queries(trainer.model.recommender, catalogue, cases.histories)
        place = np.full(self.dataset.n_items, -1, dtype=np.int64)
        place[cold] = np.arange(len(cold))
        seen = [_known(place[history]) for history in cases.histories]
        boosts = boosts_of(trainer.neighbours, cases.histories, trainer.recipe.max_length)
        columns = torch.from_numpy(cold)
        if TEXT_SIMILARITY not in trainer.neighbours.configs:
            among = None if boosts is None else lambda users: boosts(users)[:, columns]
            return full_ranks(query, catalogue[columns], place[cases.targets], seen, among)

        def added(users: slice) -> torch.Tensor:
            latest = [history[-trainer.recipe.max_length :] for history in cases.histories[users]]
            return torch.from_numpy(cold_boosts(trainer.neighbours, latest, cold))

        half = trainer.model.tokenizer.config.semantic_dim
        return full_ranks(query[:, :half], catalogue[columns, :half], place[cases.targets], seen, added)

    def result(
        self,
        key: str,
        method: str,
        label: str,
        settings: dict[str, Any],
        seed: int,
        valid: Mapping[str, Ranks],
        test: Mapping[str, Ranks],
        seconds: float,
        *,
        curve: list[dict[str, float]],
        epochs: int | None,
    ) -> RunResult:
        return RunResult(
            key=key,
            method=method,
            label=label,
            settings=settings,
            seed=seed,
            data=self.dataset.name,
            fingerprint=self.fingerprint,
            users=len(self.split.test),
            items=self.dataset.n_items,
            figures={"valid": figures_of(valid), "test": figures_of(test)},
            intervals={"test": intervals_of(test)},
            seconds=round(seconds, 2),
            machine=machine(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            command=self.command,
            curve=curve,
            epochs=epochs,
        )


def never_trained(cases: EvaluationCases, popularity: NDArray[np.int64]) -> tuple[NDArray[np.int64], EvaluationCases]:
    """Rows of the cases whose target is in no training sequence, and these cases."""
    rows = np.flatnonzero(popularity[cases.targets] == 0)
    return rows, cases.take(rows)


def _known(places: NDArray[np.int64]) -> NDArray[np.int32]:
    return places[places >= 0].astype(np.int32)
