"""Item-based nearest neighbours: cosine between the sets of users who bought two items.

After Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001,
and Deshpande and Karypis, "Item-based top-N recommendation algorithms", TOIS 2004 (binary cosine, k neighbours an
item). We are not sure of any published figure to check against.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from torch import Tensor

from training.baselines.base import choose
from training.baselines.history import weighted_histories
from training.config import Monitor
from training.datasets.base import Dataset, Indices
from training.evaluate.splits import EvaluationCases, Split
from training.fit.progress import Progress


@dataclass(frozen=True)
class ItemKnnSettings:
    """neighbours: how many an item keeps. shrinkage: added to the cosine's denominator, against chance encounters of
    rare items. decay: weight of an item of the history relative to the next later one."""

    neighbours: int = 100
    shrinkage: float = 0.0
    decay: float = 1.0


GRID = tuple(ItemKnnSettings(*values) for values in product((50, 1000), (0.0, 5.0), (0.5, 0.8, 1.0)))


class ItemKnn:
    """score(j) = Σ over the history decay^age · similarity(i, j), where j is one of the neighbours of i."""

    name = "item-knn"

    def __init__(self, grid: tuple[ItemKnnSettings, ...] = GRID, monitor: Monitor = "sampled_mrr") -> None:
        self._grid, self._monitor = grid, monitor

    @property
    def config(self) -> dict[str, Any]:
        return {"grid": [asdict(settings) for settings in self._grid], "monitor": self._monitor}

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        counts = co_occurrences(split.train, dataset.n_items)
        tables: dict[tuple[int, float], csr_matrix] = {}

        def apply(settings: dict[str, Any]) -> None:
            key = settings["neighbours"], settings["shrinkage"]
            if key not in tables:
                tables[key] = nearest(cosine(counts, key[1]), key[0])
            self._table, self._decay = tables[key], settings["decay"]

        return choose(self, self.config["grid"], apply, dataset, split, self._monitor, progress)

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        weights = weighted_histories(cases.histories[rows], self._table.shape[0], self._decay)
        return torch.from_numpy((weights @ self._table).toarray())


def co_occurrences(sequences: list[Indices], n_items: int) -> csr_matrix:
    """Sparse [n_items, n_items]: users who have both items, each user counted once; the diagonal counts its users."""
    users = np.repeat(np.arange(len(sequences)), [len(sequence) for sequence in sequences])
    items = np.concatenate(sequences)
    has = csr_matrix((np.ones(len(items), dtype=np.float32), (users, items)), shape=(len(sequences), n_items))
    has.sum_duplicates()
    has.data[:] = 1.0
    return csr_matrix(has.T @ has)


def cosine(counts: csr_matrix, shrinkage: float) -> csr_matrix:
    """counts(i, j) / (sqrt(counts(i, i) · counts(j, j)) + shrinkage), without the diagonal."""
    norms = np.sqrt(counts.diagonal())
    similar = (counts - diags(counts.diagonal())).tocoo()
    data = similar.data / (norms[similar.row] * norms[similar.col] + shrinkage)
    table = csr_matrix((data.astype(np.float32), (similar.row, similar.col)), shape=counts.shape)
    table.eliminate_zeros()
    return table


def nearest(table: csr_matrix, neighbours: int) -> csr_matrix:
    """The `neighbours` greatest values of each row; among equal ones, the lower item index wins."""
    rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    order = np.lexsort((table.indices, -table.data, rows))
    place = np.arange(len(order)) - table.indptr[rows]  # rows[order] equals rows, because lexsort sorts by row first
    kept = order[place < neighbours]
    return csr_matrix((table.data[kept], (rows[kept], table.indices[kept])), shape=table.shape)
