"""The map of the catalogue: who is alike lies together, and whatever the embeddings are, every place is a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from numpy.typing import NDArray

from model.artifact import Artifact
from model.catalogue_map import interpolate, read_map, write_map
from tests.support.tiny_training import TINY, checkerboard, train_tiny
from training.export.catalogue_map import catalogue_map

Floats = NDArray[np.float32]


def clusters(
    per_cluster: int, n_clusters: int = 8, seed: int = 0, spread: float = 0.15
) -> tuple[Floats, NDArray[np.int64]]:
    """Vectors [n, 16] of any length about directions of their own, shuffled, and the cluster [n] of each."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.standard_normal((16, 16)))[0][:n_clusters]
    of = rng.permutation(np.repeat(np.arange(n_clusters), per_cluster))
    vectors = centres[of] + spread * rng.standard_normal((len(of), 16))
    return (vectors * rng.uniform(0.1, 10, (len(of), 1))).astype(np.float32), of


def share_of_own(positions: Floats, of: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
    """How many of the five nearest of `rows` on the map are of their own cluster, as a share."""
    distances = np.square(positions[rows, None] - positions[None]).sum(-1)
    distances[np.arange(len(rows)), rows] = np.inf
    nearest = np.argsort(distances, axis=1)[:, :5]
    return float((of[nearest] == of[rows, None]).mean())


@pytest.mark.parametrize("fitted", [240, 80])
def test_a_cluster_stays_together(fitted: int) -> None:
    vectors, of = clusters(30)
    positions = catalogue_map(vectors, fitted=fitted)
    assert positions.dtype == np.float32
    assert share_of_own(positions, of, np.arange(240)) > 0.95
    # As large as the square allows, in its middle, and t-SNE leaves no axis empty.
    low, high = positions.min(0), positions.max(0)
    np.testing.assert_allclose((high - low).max(), 2, rtol=0.05 if fitted < 240 else 1e-6)
    assert np.abs(positions).max() <= 1
    assert (high - low).min() > 0.5


def test_a_large_catalogue_is_placed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = clusters(12)
    whole = catalogue_map(vectors, fitted=40)
    monkeypatch.setattr("training.export.catalogue_map._BLOCK", 9)  # 56 others: seven parts, the last of two
    np.testing.assert_allclose(catalogue_map(vectors, fitted=40), whole, atol=1e-6)


def test_the_length_of_a_vector_does_not_matter_and_the_seed_decides() -> None:
    vectors, _ = clusters(12)
    doubled = vectors * np.float32(2) ** np.arange(len(vectors))[:, None].clip(max=20).astype(np.float32)
    for fitted in (96, 40):
        first = catalogue_map(vectors, seed=3, fitted=fitted)
        np.testing.assert_array_equal(catalogue_map(vectors, seed=3, fitted=fitted), first)
        np.testing.assert_array_equal(catalogue_map(doubled, seed=3, fitted=fitted), first)
    assert not np.array_equal(catalogue_map(vectors, seed=4, fitted=40), first)


def degenerate() -> dict[str, Floats]:
    rng = np.random.default_rng(0)
    one, few = rng.standard_normal((1, 6)), rng.standard_normal((3, 6))
    cases = {
        **{f"{n} items": rng.standard_normal((n, 6)) for n in range(7)},
        "all the same": np.repeat(one, 40, 0),
        "all in one direction": one * rng.uniform(0.1, 10, (40, 1)),
        "all zero": np.zeros((40, 6)),
        "three times twenty": np.repeat(few, 20, 0),
        "all the same but one": np.vstack([np.repeat(one, 39, 0), few[:1]]),
        "half of them zero": np.vstack([np.zeros((20, 6)), rng.standard_normal((20, 6))]),
        "one that is not zero": np.vstack([np.zeros((39, 6)), one]),
        "one dimension": rng.standard_normal((40, 1)),
        "two items of one dimension": np.array([[1.0], [-1.0]]),
        "very large": rng.standard_normal((40, 6)) * 1e15,
        "very small": rng.standard_normal((40, 6)) * 1e-15,
    }
    return {name: vectors.astype(np.float32) for name, vectors in cases.items()}


@pytest.mark.parametrize("name", degenerate())
@pytest.mark.parametrize("fitted", [1, 10, 1000])
def test_every_catalogue_has_a_map(name: str, fitted: int) -> None:
    vectors = degenerate()[name]
    positions = catalogue_map(vectors, fitted=fitted)
    assert positions.shape == (len(vectors), 2)
    assert positions.dtype == np.float32
    assert np.isfinite(positions).all()
    assert np.abs(positions).max(initial=0) <= 1


def test_what_is_all_the_same_is_in_one_place_and_a_few_items_keep_their_distances() -> None:
    cases = degenerate()
    for name in ("all the same", "all in one direction", "all zero", "1 items"):
        assert not catalogue_map(cases[name]).any(), name
    vectors = cases["3 items"]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found, wanted = (
        np.array([np.linalg.norm(rows[i] - rows[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
        for rows in (catalogue_map(vectors), unit)
    )
    np.testing.assert_allclose(found / found.max(), wanted / wanted.max(), rtol=1e-5)


def test_a_new_vector_lies_in_the_middle_of_its_five_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    known, vectors = (rng.standard_normal((n, 8)).astype(np.float32) * 3 for n in (50, 33))
    known[7] = 0
    positions = rng.uniform(-1, 1, (50, 2)).astype(np.float32)
    cosines = vectors @ known.T / np.maximum(np.linalg.norm(known, axis=1), 1e-9)
    wanted = positions[np.argsort(-cosines, axis=1)[:, :5]].mean(1)
    np.testing.assert_allclose(interpolate(vectors, known, positions), wanted, rtol=1e-5, atol=1e-7)
    monkeypatch.setattr("model.catalogue_map._CELLS", 4 * 50)  # in nine blocks, the last of one
    np.testing.assert_allclose(interpolate(vectors, known, positions), wanted, rtol=1e-5, atol=1e-7)


def test_where_less_than_five_are_known_and_where_nothing_is_said() -> None:
    known, positions = np.eye(3, dtype=np.float32), np.array([[0, 0], [1, 0], [0.5, 1]], np.float32)
    vectors = np.array([[1, 0, 0], [0, 0, 0]], np.float32)
    middle = positions.mean(0)
    np.testing.assert_allclose(interpolate(vectors, known, positions), [middle, middle], rtol=1e-6)
    many = np.vstack([np.eye(8, 3), np.repeat([[0, 0, 1]], 4, 0)]).astype(np.float32)
    at = np.arange(24, dtype=np.float32).reshape(12, 2)
    # Rows 2 and 8 to 11 are its five nearest.
    np.testing.assert_allclose(
        interpolate(np.array([[0, 0, 2], [0, 0, 0]], np.float32), many, at), [at[[2, 8, 9, 10, 11]].mean(0), at.mean(0)]
    )
    assert interpolate(np.empty((0, 3), np.float32), known, positions).shape == (0, 2)


def test_a_map_comes_back_from_its_file() -> None:
    positions = np.random.default_rng(0).uniform(-1, 1, (9, 2)).astype(np.float32)
    for order in ("C", "F"):
        again = read_map(safetensors.torch.load(write_map(np.asarray(positions, order=order))), 9, Path("map"))
        np.testing.assert_array_equal(again, positions)


def test_an_artifact_is_exported_with_the_map_of_what_its_items_mean(tiny_artifact: Artifact) -> None:
    semantic = tiny_artifact.catalogue_embeddings()[:, : tiny_artifact.manifest.tokenizer.semantic_dim]
    assert tiny_artifact.positions is not None
    np.testing.assert_array_equal(tiny_artifact.positions, catalogue_map(semantic, seed=tiny_artifact.manifest.seed))
    colours = np.arange(len(semantic)) % 4
    assert share_of_own(tiny_artifact.positions, colours, np.arange(len(semantic))) > 0.8


def test_an_artifact_without_codes_has_the_map_of_its_ids(tmp_path: Path) -> None:
    recipe = TINY.override({"tokens": "id", "epochs": 1})
    artifact = train_tiny(tmp_path, dataset=checkerboard(n_items=40, n_users=40), recipe=recipe)
    np.testing.assert_array_equal(artifact.positions, catalogue_map(artifact.catalogue_embeddings()))
