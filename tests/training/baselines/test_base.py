"""Ranks of a baseline's scores: hand-computed, the same as those of our own models, and no NaN that ranks first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.baselines import cases_of, dataset_of
from tests.support.tiny_training import checkerboard
from training.baselines import BASELINES, baseline_ranks
from training.baselines.base import choose
from training.datasets.base import Dataset
from training.evaluate.negatives import evaluation_negatives
from training.evaluate.ranking import full_ranks, sampled_ranks
from training.evaluate.splits import EvaluationCases, Split, leave_one_out
from training.fit.progress import Progress


class Given:
    """A baseline whose scores are given, [cases, n_items]."""

    name = "given"

    def __init__(self, table: Tensor) -> None:
        self.table = table

    @property
    def config(self) -> dict[str, Any]:
        return {}

    def fit(
        self, dataset: Dataset, split: Split, seed: int, progress: Progress, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        return {}

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        return self.table[rows].clone()


def test_ranks_by_hand() -> None:
    # The second user bought the target before: it stays, what else is in the history goes.
    table = torch.tensor([[5.0, 4.0, 3.0, 3.0, 2.0], [5.0, 4.0, 3.0, 2.0, 2.0]])
    cases = cases_of([[0], [0, 1, 2, 3]], [3, 3])
    ranks = baseline_ranks(Given(table), cases, np.array([[1, 2, 4], [4, 4, 4]]))
    assert ranks["full"].greater.tolist() == [1, 0]
    assert ranks["full"].ties.tolist() == [1, 1]
    assert ranks["sampled"].greater.tolist() == [1, 0]
    assert ranks["sampled"].ties.tolist() == [1, 3]


def test_no_negatives_no_sampled_protocol() -> None:
    assert set(baseline_ranks(Given(torch.zeros(1, 3)), cases_of([[0]], [1]), None)) == {"full"}


@pytest.mark.parametrize("chunk", [1, 7, 60, 512])
def test_ranks_are_those_of_our_own_evaluation(chunk: int) -> None:
    dataset = checkerboard(n_users=60)
    cases = leave_one_out(dataset).test
    generator = torch.Generator().manual_seed(0)
    # Whole numbers: many ties, and no rounding that differs between two ways to multiply.
    query = torch.randint(-2, 3, (60, 4), generator=generator).float()
    catalogue = torch.randint(-2, 3, (120, 4), generator=generator).float()
    negatives = evaluation_negatives(dataset, cases)
    assert negatives is not None
    targets = cases.targets.astype(np.int64)
    ranks = baseline_ranks(Given(query @ catalogue.T), cases, negatives, chunk)
    ours = {
        "full": full_ranks(query, catalogue, targets, cases.histories),
        "sampled": sampled_ranks(query, catalogue, targets, negatives),
    }
    for protocol, expected in ours.items():
        assert ranks[protocol].greater.tolist() == expected.greater.tolist()
        assert ranks[protocol].ties.tolist() == expected.ties.tolist()
    assert ranks["full"].ties.max() > 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_are_refused(value: float) -> None:
    table = torch.zeros(3, 4)
    table[2, 1] = value
    with pytest.raises(ValueError, match="given: cases 2 … 2 have scores that are not finite"):
        baseline_ranks(Given(table), cases_of([[0]] * 3, [1] * 3), None, chunk=2)


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"given: scores of shape \(2, 4\) for 3 cases"):
        baseline_ranks(Given(torch.zeros(2, 4)), cases_of([[0]] * 3, [1] * 3), None)


def test_validation_chooses_and_the_choice_stays_in_force() -> None:
    dataset = dataset_of([[0, 1, 2], [0, 1, 2]], 4)
    split = leave_one_out(dataset)
    given = Given(torch.zeros(2, 4))
    tables = {"worst": [0.0, 0, 1, 1], "best": [0.0, 1, 0, 0], "middle": [0.0, 1, 1, 0]}

    def apply(settings: dict[str, Any]) -> None:
        given.table = torch.tensor([tables[settings["table"]]] * 2)

    candidates = [{"table": name} for name in tables]
    notes = choose(given, candidates, apply, dataset, split, "full_ndcg@10", Progress())
    assert notes["settings"] == {"table": "best"}
    assert notes["best"] == 1.0
    # Third place; first; first or second, as it is tied with one other.
    figures = [1 / np.log2(4), 1.0, (1 + 1 / np.log2(3)) / 2]
    assert [entry["validation"] for entry in notes["tried"]] == pytest.approx(figures)
    assert given.table[0].tolist() == tables["best"]


def test_every_baseline_goes_by_its_name() -> None:
    assert [make().name for make in BASELINES.values()] == list(BASELINES)
    assert {"popularity", "item-knn", "text-nn", "fm", "gru4rec", "caser", "sasrec", "bert4rec", "hgn"} <= set(
        BASELINES
    )
