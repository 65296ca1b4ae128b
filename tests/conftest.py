"""Fixtures that several test modules share: real data, and a throwaway artifact trained in seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from model.artifact import Artifact
from model.items import Item
from service.registry import Registry
from tests.postgres_support import Server, running_server
from tests.service_support import make_artifact, make_items
from training.config import DEFAULT, RECIPES, Recipe
from training.datasets import cold_holdout, load_dataset
from training.datasets.base import Dataset, DatasetReport
from training.datasets.splits import ColdHoldout
from training.export import export
from training.trainer import Trainer

REPOSITORY = Path(__file__).resolve().parent.parent

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


COLOURS = ("red", "green", "blue", "amber")
KINDS = ("kettle", "lamp", "scarf", "bicycle", "notebook")


def checkerboard(n_items: int = 120, n_users: int = 240, seed: int = 0) -> Dataset:
    """A data set whose answer is known: items come in four colours, and every user stays within one.

    Item i has the colour i % 4, and its text says so. Within a colour, items follow one another in a ring: i is
    followed by i + 4 three times out of four, so there is something for the ID half to learn too.
    """
    rng = np.random.default_rng(seed)
    items = [
        Item(
            item_id=f"item-{index}",
            title=f"{COLOURS[index % 4]} {KINDS[(index // 4) % 5]} number {index}",
            brand=f"brand {COLOURS[index % 4]}",
            categories=(COLOURS[index % 4], KINDS[(index // 4) % 5]),
            price=float(index),
            attributes={"colour": COLOURS[index % 4], "even": index % 2 == 0},
        )
        for index in range(n_items)
    ]
    sequences = []
    for user in range(n_users):
        at = int(rng.integers(n_items // 4)) * 4 + user % 4
        sequence = [at]
        for _ in range(int(rng.integers(4, 9))):
            step = 1 if rng.random() < 0.75 else int(rng.integers(2, n_items // 4))
            at = (at + 4 * step) % n_items
            sequence.append(at)
        sequences.append(np.array(sequence, dtype=np.int32))
    report = DatasetReport(format="test", recognised="checkerboard", files=[])
    dataset = Dataset("checkerboard", [f"user-{user}" for user in range(n_users)], items, sequences, None, report)
    report.measure(dataset)
    return dataset


TINY: Recipe = DEFAULT.override(
    {
        "name": "tiny",
        "codebook_size": 8,
        "semantic_dim": 16,
        "id_dim": 8,
        "id_shrinkage": 0,
        "blocks": 2,
        "hidden": (32,),
        "text_dim": 24,
        "cold_probability": 0.1,
        "max_length": 8,
        "loss": "softmax",
        "learning_rate": 5e-3,
        "dropout": 0.1,
        "batch_size": 32,
        "epochs": 8,
        "monitor": "full_ndcg@10",
    }
)


def train_tiny(root: Path, *, seed: int = 0, dataset: Dataset | None = None, recipe: Recipe = TINY) -> Artifact:
    """Train a throwaway artifact into `root` and load it from there."""
    trainer = Trainer(dataset or checkerboard(), recipe, seed=seed, device=torch.device("cpu"))
    trainer.fit()
    export(trainer, root)
    return Artifact.load(root)


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
