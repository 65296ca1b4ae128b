"""The figures of a data set's report that follow from the data set itself."""

from __future__ import annotations

import numpy as np

from training.datasets.base import Dataset
from training.datasets.report import REFERENCE_CORE


def measure(dataset: Dataset) -> None:
    """Fill in every figure of `dataset.report` that can be counted in the data set."""
    report = dataset.report
    lengths = np.array([len(sequence) for sequence in dataset.sequences], dtype=np.int64)
    popularity = dataset.popularity()
    report.n_users = dataset.n_users
    report.n_items = dataset.n_items
    report.n_interactions = dataset.n_interactions
    if len(lengths):
        report.min_length, report.max_length = int(lengths.min()), int(lengths.max())
        report.median_length, report.mean_length = float(np.median(lengths)), float(lengths.mean())
    cells = report.n_users * report.n_items
    report.density = report.n_interactions / cells if cells else 0.0
    report.reference_core = report.core or REFERENCE_CORE
    report.users_below_core = int((lengths < report.reference_core).sum())
    report.items_below_core = int(((popularity > 0) & (popularity < report.reference_core)).sum())
    report.training_only_users = int((lengths < 3).sum())
    distinct = sum(len(set(sequence.tolist())) for sequence in dataset.sequences)
    report.repeated_interactions = report.n_interactions - distinct
    report.cold_items = int((popularity == 0).sum())
    report.items_without_text = sum(not item.to_text() for item in dataset.items)
    if dataset.timestamps is not None:
        users = np.repeat(np.arange(len(lengths)), lengths)
        times = np.concatenate(dataset.timestamps)
        gaps = np.diff(times)[users[1:] == users[:-1]]
        report.equal_timestamps = float((gaps == 0).mean()) if len(gaps) else 0.0
        report.first_date, report.last_date = _date(times.min()), _date(times.max())


def _date(seconds: np.int64) -> str:
    """The UTC day of a time in seconds since 1970."""
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))
