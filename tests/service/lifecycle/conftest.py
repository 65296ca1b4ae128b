"""A service on a root with two versions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.artifact import set_current
from service.settings import Settings
from tests.support.service import Client, make_artifact, make_items, make_settings, serving


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with v1 and v2, whose answers differ, and which have not all items in common."""
    folder = tmp_path_factory.mktemp("artifacts")
    make_artifact(folder, "v1")
    make_artifact(folder, "v2", seed=1, items=make_items(260)[20:])
    return folder


@pytest.fixture
def root(both: Path, tmp_path: Path) -> Path:
    """A copy of its own, v1 in use."""
    shutil.copytree(both, tmp_path / "a")
    set_current(tmp_path / "a", "v1")
    return tmp_path / "a"


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> Settings:
    return make_settings(root, tmp_path, watch=0.02)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with serving(settings) as client:
        yield client
