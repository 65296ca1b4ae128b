"""The real data: counts, order, speed, and a published figure that comes out again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from training.baselines import baseline_ranks
from training.baselines.popularity import Popularity
from training.datasets import load_dataset, write_dataset
from training.evaluate.metrics import summary
from training.evaluate.negatives import evaluation_negatives
from training.evaluate.splits import cold_holdout, leave_one_out
from training.fit.progress import Progress

RealData = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "users", "items", "interactions", "without_text"),
    [
        ("beauty", 22_363, 12_101, 198_502, 0),
        ("toys", 19_412, 11_924, 167_597, 7),
        ("sports", 35_598, 18_357, 296_337, 0),
    ],
)
def test_counts(real_data: RealData, name: str, users: int, items: int, interactions: int, without_text: int) -> None:
    dataset = load_dataset(real_data(name))
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (users, items, interactions)
    report = dataset.report
    assert report.items_without_text == without_text
    assert (report.users_below_core, report.items_below_core, report.cold_items, report.unlisted_items) == (0,) * 4
    assert report.min_length == 5
    assert not report.problems
    assert not any(report.dropped.values())
    assert report.equal_timestamps == pytest.approx(0.46, abs=0.03)
    # The published files are 5-core already, so the filter has nothing to do.
    assert load_dataset(real_data(name), core=5).fingerprint() == dataset.fingerprint()


def test_both_forms_of_beauty_are_the_same(real_data: RealData, tmp_path: Path) -> None:
    tabular = load_dataset(real_data("beauty"))
    s3rec = load_dataset(real_data("beauty") / "s3rec")
    assert [item.to_text() for item in s3rec.items] == [item.to_text() for item in tabular.items]
    assert all(np.array_equal(a, b) for a, b in zip(s3rec.sequences, tabular.sequences, strict=True))
    assert s3rec.timestamps is None
    write_dataset(tabular, tmp_path)
    assert load_dataset(tmp_path).fingerprint() == tabular.fingerprint()


def test_splits_of_beauty(real_data: RealData) -> None:
    dataset = load_dataset(real_data("beauty"))
    split = leave_one_out(dataset)
    assert len(split.test) == 22_363
    assert sum(len(row) for row in split.train) == 198_502 - 2 * 22_363
    hold = cold_holdout(dataset, seed=0)
    assert len(hold.held_out) == round(0.05 * len(np.unique(split.test.targets)))
    assert len(hold.cases) + len(hold.warm_cases) == 22_362  # one is left with fewer than three items
    assert hold.train.n_items == 12_101 - len(hold.held_out)


def test_beauty_loads_in_seconds(real_data: RealData) -> None:
    start = time.process_time()
    load_dataset(real_data("beauty"))
    assert time.process_time() - start < 4  # 1.2 s measured on two slow cores


def test_the_published_popularity_counts_the_test_targets(real_data: Callable[[str], Path]) -> None:
    """.3386 / .1803 (sampled-99, Beauty) come out where every interaction is counted; one standard error is .003."""
    dataset = load_dataset(real_data("beauty"))
    cases = leave_one_out(dataset).test
    baseline = Popularity()
    baseline.fit(dataset, leave_one_out(dataset), 0, Progress())
    baseline._counts = torch.from_numpy(dataset.popularity()).float()
    figures = summary(baseline_ranks(baseline, cases, evaluation_negatives(dataset, cases))["sampled"])
    assert figures["hit@10"] == pytest.approx(0.3386, abs=0.006)
    assert figures["ndcg@10"] == pytest.approx(0.1803, abs=0.004)
