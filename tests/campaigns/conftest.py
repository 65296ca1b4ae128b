"""Fixtures of the campaigns: the real data sets, an artifact trained on one of them, and a browser."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tests.support.console import browser
from tests.support.paths import REPOSITORY
from training.config import RECIPES
from training.datasets import load_dataset
from training.evaluate.splits import ColdHoldout, cold_holdout
from training.export.export import export
from training.fit.trainer import Trainer

__all__ = ["browser"]


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Folder of a real data set by name ("beauty", "toys", "sports").

    Found in KINDRED_DATA, or in shared/data beside the checkout. Where it is missing the test is skipped, in CI it
    fails.
    """
    root = Path(os.environ.get("KINDRED_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(name: str) -> Path:
        folder = root / name
        if not folder.is_dir():
            message = f"real data {name!r} is not at {root}; set KINDRED_DATA"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        return folder

    return find


class Trained(NamedTuple):
    """An artifact root whose artifact knows nothing of the hold-out's items."""

    root: Path
    holdout: ColdHoldout


@pytest.fixture(scope="session")
def beauty(real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Beauty without 5 % of its test targets, trained for three epochs. Read only."""
    holdout = cold_holdout(load_dataset(real_data("beauty")), fraction=0.05, seed=0)
    trainer = Trainer(holdout.train, RECIPES["default"].override({"epochs": 3}), seed=0, device=torch.device("cpu"))
    trainer.fit()
    root = tmp_path_factory.mktemp("beauty")
    export(trainer, root)
    return Trained(root, holdout)
