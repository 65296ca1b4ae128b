"""The neighbour file of an artifact: read back whole, refused when damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from model.artifact import Artifact, ArtifactError
from model.manifest import NEIGHBOURS
from tests.support.artifacts import copy_of, edit_manifest, rewrite
from tests.support.service import make_artifact


def test_an_artifact_gives_back_what_it_was_given(root: Path, tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path, seed=3)  # comes back through the file
    again = Artifact.load(tmp_path)
    history = [np.array([1, 5, 9])]
    assert artifact.neighbours.boosts(history).any()
    np.testing.assert_array_equal(again.neighbours.boosts(history), artifact.neighbours.boosts(history))
    own = again.encode_new([artifact.items.items[7]]).neighbours[0].similar
    assert own.items[0] == 7
    assert own.weights[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("together.items", None, "'together.items' is missing"),
        ("bags.words", None, "'bags.words' is missing"),
        ("together.items", lambda t: t.astype(np.int64), "'together.items' is int64"),
        ("together.weights", lambda t: t[:-1], "'together.weights' is float32"),
        ("together.items", lambda t: t + 10_000, "beyond the catalogue"),
        ("alike.items", lambda t: -t - 1, "beyond the catalogue"),
        ("alike.weights", lambda t: t * np.float32("nan"), "not positive numbers"),
        ("together.weights", lambda t: t - t, "not positive numbers"),
        ("alike.offsets", lambda t: t[::-1].copy(), "does not rise from 0"),
        ("alike.offsets", lambda t: t + 1, "does not rise from 0"),
        ("bags.weights", lambda t: t * np.float32("inf"), "not positive numbers"),
        ("bags.weights", lambda t: t * 2, "not of length 1"),
        ("bags.words", lambda t: t + 10_000, "names words beyond"),
        ("bags.offsets", lambda t: t[1:].copy(), "'bags.offsets' is int64"),
        ("words.vocabulary", None, "'words.vocabulary' is missing"),
        ("words.vocabulary", lambda t: t | np.uint8(0x80), "is not UTF-8"),
        ("words.vocabulary", lambda t: np.full_like(t, ord("\n")), "names a word twice"),
        ("words.vocabulary", lambda t: t.reshape(1, -1), "'words.vocabulary' is uint8"),
        ("words.weights", lambda t: t[1:].copy(), "'words.weights' is float64"),
        ("words.weights", lambda t: -t, "not positive numbers"),
        ("strange", lambda t: np.zeros(3), "'strange' is unexpected"),
    ],
)
def test_tensors_that_do_not_fit_are_named(root: Path, tmp_path: Path, name: str, damage: Any, message: str) -> None:
    folder = copy_of(root, tmp_path / "copy")
    tensors = safetensors.numpy.load((folder / NEIGHBOURS).read_bytes())
    if damage is None:
        del tensors[name]
    else:
        tensors[name] = damage(tensors.get(name))
    rewrite(folder, NEIGHBOURS, safetensors.numpy.save(tensors))
    with pytest.raises(ArtifactError, match=message) as caught:
        Artifact.load(folder)
    assert NEIGHBOURS in str(caught.value)


def test_a_file_that_is_no_safetensors_is_refused(root: Path, tmp_path: Path) -> None:
    folder = copy_of(root, tmp_path / "copy")
    rewrite(folder, NEIGHBOURS, b"nothing")
    with pytest.raises(ArtifactError, match="is not a safetensors file"):
        Artifact.load(folder)


def test_a_type_that_numpy_lacks_is_named(root: Path, tmp_path: Path) -> None:
    folder = copy_of(root, tmp_path / "copy")
    rewrite(folder, NEIGHBOURS, safetensors.torch.save({"alike.weights": torch.zeros(3, dtype=torch.bfloat16)}))
    with pytest.raises(ArtifactError, match="a tensor is of the type BF16"):
        Artifact.load(folder)


@pytest.mark.parametrize(
    ("field", "value"), [("weight", 0), ("weight", -1), ("floor", 0), ("decay", 1.5), ("decay", 0), ("count", 0)]
)
def test_a_configuration_that_cannot_be_is_refused(root: Path, tmp_path: Path, field: str, value: float) -> None:
    folder = copy_of(root, tmp_path / "copy")
    edit_manifest(folder, lambda manifest: manifest["neighbours"]["alike"].__setitem__(field, value))
    with pytest.raises(ArtifactError, match=f"neighbours.alike.{field}"):
        Artifact.load(folder)
