"""Fixtures that several test modules share: real data, and a throwaway artifact trained in seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from model.artifact import Artifact
from service.registry.registry import Registry
from tests.support.paths import REPOSITORY
from tests.support.postgres import Server, running_server
from tests.support.service import make_artifact, make_items
from tests.support.tiny_training import train_tiny
from training.config import RECIPES
from training.datasets import cold_holdout, load_dataset
from training.evaluate.splits import ColdHoldout
from training.export.export import export
from training.fit.trainer import Trainer

# Two BLAS pools on two cores fight; tests are small.
torch.set_num_threads(1)


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for all tests that leave it running; each makes a database of its own."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact root for tests of the service (`make_artifact`). Read only: a test that writes makes its own."""
    folder = tmp_path_factory.mktemp("root")
    make_artifact(folder)
    return folder


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 40 items, for tests that start many services."""
    folder = tmp_path_factory.mktemp("small")
    make_artifact(folder, items=make_items(40), untrained=2)
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registry that does not exist yet; a test that takes it runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sub/registry.db"
    server: Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def open_registry() -> Iterator[Callable[..., Registry]]:
    """Opens registries as `Registry` does, and closes them at the end."""
    opened: list[Registry] = []

    def open_(*arguments: Any, **options: Any) -> Registry:
        opened.append(Registry(*arguments, **options))
        return opened[-1]

    yield open_
    for registry in opened:
        registry.close()


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact root with one tiny artifact. Read only: tests that write train or copy their own."""
    root = tmp_path_factory.mktemp("artifacts")
    train_tiny(root)
    return root


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


@pytest.fixture(scope="session")
def tiny_artifact(tiny_root: Path) -> Artifact:
    return Artifact.load(tiny_root)
