"""The result of one run: one method with one set of settings and one seed, trained and measured once."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.evaluate.metrics import CUTOFFS, Ranks, hit, ndcg, reciprocal_rank, summary
from training.report.intervals import bootstrap

Figures = dict[str, dict[str, float]]
"""protocol → metric → value"""

METRICS = (*(f"hit@{k}" for k in CUTOFFS), *(f"ndcg@{k}" for k in CUTOFFS[1:]), "mrr")

HEADLINE = ("hit@10", "ndcg@10")
"""The two metrics that most tables compare methods by."""

# Part of every key. Raise it when a code change alters the figures of a run; the report then makes all runs again.
CODE_VERSION = 1


class RunResult(BaseModel):
    """The figures of one run, JSON-ready.

    figures: {"valid" and "test": {"full" and "sampled": {metric: value}}}; "sampled" is missing if the catalogue is too
    small to draw negatives. intervals: {"test": {protocol: {metric: [low, high]}}}, 95 % over users. seconds: training
    alone for our models; all fitting since the last resumption for a baseline. curve: losses and monitored metric by
    epoch. notes: further results of a method, JSON-ready.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    method: str
    label: str
    settings: dict[str, Any]
    seed: int
    data: str
    fingerprint: str
    users: int
    items: int
    figures: dict[str, Figures]
    intervals: dict[str, dict[str, dict[str, tuple[float, float]]]]
    token_parameters: dict[str, float] | None = None
    epochs: int | None = None
    seconds: float
    machine: str
    date: str
    command: str
    codebooks: dict[str, Any] | None = None
    curve: list[dict[str, float]] = []
    notes: dict[str, Any] = {}

    def test(self, protocol: str, metric: str) -> float | None:
        """A figure on the test split; None if this data set is too small for the protocol."""
        return self.figures["test"].get(protocol, {}).get(metric)


def run_key(fingerprint: str, method: str, settings: Mapping[str, Any], seed: int) -> str:
    """Name of a run: 16 hexadecimal digits, a hash of everything that decides its figures."""
    content = {
        "data": fingerprint,
        "method": method,
        "settings": settings,
        "seed": seed,
        "version": CODE_VERSION,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def per_user(ranks: Ranks) -> NDArray[np.float64]:
    """Every metric of every user, [users, metrics] in the order of `METRICS`."""
    columns = [hit(ranks, k) for k in CUTOFFS] + [ndcg(ranks, k) for k in CUTOFFS[1:]] + [reciprocal_rank(ranks)]
    return np.stack(columns, axis=1)


def figures_of(ranks: Mapping[str, Ranks]) -> Figures:
    return {protocol: summary(found) for protocol, found in ranks.items()}


def intervals_of(ranks: Mapping[str, Ranks]) -> dict[str, dict[str, tuple[float, float]]]:
    """95 % bootstrap intervals over users, of every protocol and metric; the same resamples for all protocols."""
    if not ranks:
        return {}
    bounds = bootstrap(np.concatenate([per_user(found) for found in ranks.values()], axis=1))
    pairs = [(float(low), float(high)) for low, high in bounds]
    names = [(protocol, metric) for protocol in ranks for metric in METRICS]
    out: dict[str, dict[str, tuple[float, float]]] = {protocol: {} for protocol in ranks}
    for (protocol, metric), pair in zip(names, pairs, strict=True):
        out[protocol][metric] = pair
    return out


def machine() -> str:
    """The machine of this run in words, without a host name."""
    accelerator = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
        f"{accelerator}, Python {platform.python_version()}, torch {torch.__version__}"
    )
