"""Progress of a training run: a report per epoch, and the callbacks that receive it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochReport:
    """One epoch: mean losses by name, the monitored metric, and how many codewords were replaced."""

    epoch: int
    seconds: float
    validation_seconds: float
    losses: dict[str, float]
    monitored: float
    best: bool
    replaced_codewords: int


@dataclass(frozen=True)
class Progress:
    """Callbacks of a run: `step(done, total, loss)` after each batch, `epoch(report)` after each epoch."""

    step: Callable[[int, int, float], None] = lambda done, total, loss: None
    epoch: Callable[[EpochReport], None] = lambda report: None
    message: Callable[[str], None] = lambda text: None
