"""Bootstrap intervals: a case that can be counted by hand, the known width of a mean's interval, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest

from training.report import intervals
from training.report.intervals import bootstrap, resampled_means


def test_two_users_have_three_possible_means() -> None:
    means = resampled_means(np.array([[0.0, 5.0], [1.0, 5.0]]), seed=0, resamples=4000)
    values, counts = np.unique(means[:, 0], return_counts=True)
    assert values.tolist() == [0.0, 0.5, 1.0]
    # A quarter, a half, a quarter; three standard errors are .024.
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.024)
    assert (means[:, 1] == 5.0).all()
    assert bootstrap(np.array([[0.0, 5.0], [1.0, 5.0]])).tolist() == [[0.0, 1.0], [5.0, 5.0]]


def test_the_width_is_that_of_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=(2000, 1))
    low, high = bootstrap(values)[0]
    error = values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    samples = rng.binomial(1, 0.3, size=(200, 500)).astype(np.float64)  # 500 studies of 200 users, a hit in 3 of 10
    # The same users are drawn for every column, which is fair here: the columns are independent.
    bounds = bootstrap(samples, seed=3)
    covered = ((bounds[:, 0] <= 0.3) & (bounds[:, 1] >= 0.3)).mean()
    print(f"95 % intervals covered the truth in {covered:.1%} of 500 studies")
    assert 0.92 <= covered <= 0.975


def test_the_seed_decides_and_the_chunks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).random((50, 2))
    whole = resampled_means(values, seed=7, resamples=100)
    assert np.array_equal(whole, resampled_means(values, seed=7, resamples=100))
    assert not np.array_equal(whole, resampled_means(values, seed=8, resamples=100))
    monkeypatch.setattr(intervals, "_CHUNK_CELLS", 350)
    assert resampled_means(values, seed=7, resamples=100) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (5,)])
def test_values_without_users_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected values of at least one user"):
        bootstrap(np.zeros(shape))
