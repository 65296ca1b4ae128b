"""Bootstrap intervals over users: how much a figure would vary with other users of the same kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
BOOTSTRAP_SEED = 0
_CHUNK_CELLS = 4_000_000


def bootstrap(
    values: NDArray[np.float64], seed: int = BOOTSTRAP_SEED, resamples: int = RESAMPLES, level: float = LEVEL
) -> NDArray[np.float64]:
    """Percentile intervals of the means of per-user values [users, metrics]; returns [metrics, 2], low and high.

    All metrics share the resampled users, so the intervals of one run are comparable. Source: Efron and
    Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Raises ValueError without users.
    """
    means = resampled_means(values, seed, resamples)
    tail = (1.0 - level) / 2.0
    out: NDArray[np.float64] = np.quantile(means, [tail, 1.0 - tail], axis=0).T
    return out


def resampled_means(values: NDArray[np.float64], seed: int, resamples: int) -> NDArray[np.float64]:
    """Means [resamples, metrics] over users drawn with replacement from values [users, metrics]."""
    if values.ndim != 2 or not len(values):
        raise ValueError(f"bootstrap: expected values of at least one user, [users, metrics], got {values.shape}")
    users = len(values)
    rng = np.random.default_rng(seed)
    out = np.empty((resamples, values.shape[1]))
    chunk = max(1, _CHUNK_CELLS // users)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        # Count how often we draw each user: a resample is then one row of a matrix product.
        drawn = rng.integers(0, users, size=(rows, users)) + users * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users)
        out[start : start + rows] = counts @ values / users
    return out
