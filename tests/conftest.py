"""Fixtures that several test modules share: databases, and throwaway artifacts made in seconds."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from model.artifact import Artifact
from service.registry.registry import Registry
from tests.support.postgres import Server, running_server
from tests.support.service import make_artifact, make_items
from tests.support.tiny_training import train_tiny

# Two BLAS pools on two cores fight; tests are small.
torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def everything_is_closed() -> Iterator[None]:
    """Fails a module that leaves a file, a socket or a transport open.

    Python warns of them when it collects them, and a warning is an error. Without this, it would collect them during
    some later module. The freeze spares the collector the imported packages.
    """
    gc.freeze()
    yield
    gc.collect()


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


@pytest.fixture(scope="session")
def tiny_artifact(tiny_root: Path) -> Artifact:
    return Artifact.load(tiny_root)
