"""Made-up histories for requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.artifact import Artifact


def histories(artifacts: Path, count: int, length: int) -> list[list[str]]:
    """Draw seeded histories of distinct items; popular items come more often."""
    table = Artifact.load(artifacts).items
    rng = np.random.default_rng(0)
    weight = table.popularity + 1.0
    chosen = (rng.choice(len(table), length, replace=False, p=weight / weight.sum()) for _ in range(count))
    return [[table.item_ids[index] for index in indices] for indices in chosen]
