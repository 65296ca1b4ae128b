"""The plan of a report, which every part starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model.config import Metric
from training.config import Recipe
from training.evaluate.metrics import Ranks
from training.report.marks import known_data
from training.report.result import HEADLINE, RunResult
from training.report.runs import Workbench


@dataclass(frozen=True)
class Sweeps:
    """The values that the part `sweeps` tries; each list includes the paper's value."""

    codebook_sizes: tuple[int, ...] = (64, 128, 256, 512, 1024)
    levels: tuple[int, ...] = (1, 2, 3, 4)
    id_dims: tuple[int, ...] = (0, 4, 8, 16, 32, 64)
    warmup_epochs: int = 100
    """Passes over the catalogue that train the tokenizer if it is not trained jointly."""


@dataclass(frozen=True, eq=False)
class Plan:
    """paper, default: the recipes of the overall table. methods: names of baselines.

    Runs that the report makes once use the first seed.
    """

    bench: Workbench
    figures: Path
    paper: Recipe
    default: Recipe
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    sweeps: Sweeps = field(default_factory=Sweeps)

    @property
    def seed(self) -> int:
        return self.seeds[0]

    @property
    def recipes(self) -> dict[str, Recipe]:
        return {recipe.name: recipe for recipe in (self.paper, self.default)}

    @property
    def known_data(self) -> str | None:
        return known_data(self.bench.dataset)

    def foot(self, recipe: str, seeds: Sequence[int] | None = None) -> str:
        """The line that every figure carries."""
        listed = [self.seed] if seeds is None else list(seeds)
        numbers = ", ".join(map(str, listed))
        return f"data {self.bench.dataset.name} · recipe {recipe} · seed{'s' * (len(listed) > 1)} {numbers}"

    def over_seeds(self, recipe: Recipe, label: str) -> list[RunResult]:
        return [self.bench.run_recipe(recipe, seed, label) for seed in self.seeds]

    def protocols(self) -> tuple[str, ...]:
        return ("full",) if self.bench.negatives is None else ("sampled", "full")

    def headline_names(self) -> list[str]:
        """Names of the columns of `headline`: "HIT@10, sampled-99" and so on."""
        return [f"{metric.upper()}, {PROTOCOL_NAMES[p]}" for p in self.protocols() for metric in HEADLINE]

    def headline(self, run: RunResult) -> list[float | None]:
        """HIT@10 and NDCG@10 on the test split, in every protocol of this data set."""
        return [run.test(protocol, metric) for protocol in self.protocols() for metric in HEADLINE]

    def ranks(self, result: RunResult, protocol: str) -> Ranks:
        return self.bench.store.ranks(result, protocol)


PROTOCOL_NAMES = {"sampled": "sampled-99", "full": "full ranking"}


def level_metrics(levels: int) -> tuple[Metric, ...]:
    """The paper's distances for that many levels: cosine, with Euclidean in the last."""
    cosine: Metric = "cosine"
    return (*[cosine] * (levels - 1), "euclidean")


def without_ids(recipe: Recipe) -> Recipe:
    return recipe.override({"tokens": "semantic"})


def only_ids(recipe: Recipe, dim: int = 64) -> Recipe:
    """The paper's ID-only baseline: a table of width 64."""
    return recipe.override({"tokens": "id", "id_dim": dim})
