"""The benchmark of the index kinds, in its short form, and the embeddings that it makes up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import index_kinds
from benchmarks.embeddings import catalogue_of, more_of, queries_of
from tests.support.service import make_artifact


def test_each_kind_is_measured_in_a_process_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    output = tmp_path / "figures.json"
    options = ["--artifacts", str(tmp_path / "a"), "--items", "2000,4000", "--queries", "100", "--seconds", "0.5"]
    code = index_kinds.main([*options, "--json", str(output)])
    figures = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert code == 0
    kinds = figures["kinds"]
    sizes = {(2000, "flat"), (2000, "hnsw"), (2000, "ivfpq"), (4000, "flat"), (4000, "hnsw"), (4000, "ivfpq")}
    assert {(one["items"], one["kind"]) for one in kinds} == sizes
    for one in kinds:
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["peak_mib"] > 0
        assert one["writes_per_second"] > 0
        assert one["rows_added"] > 0
        assert one["recall"] == 1.0 if one["kind"] == "flat" else 0.2 < one["recall"] <= 1.0


def test_a_kind_that_fails_or_takes_too_long_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    options = ["--artifacts", str(tmp_path / "a"), "--queries", "10", "--seconds", "0.1"]
    assert index_kinds.main([*options, "--items", "500", "--kinds", "ivfpq,flat"]) == 1  # too few for ivfpq
    failed, fine = json.loads(capsys.readouterr().out.splitlines()[-1])["kinds"]
    assert failed["failed"] == "exit code 1"
    assert fine["recall"] == 1.0
    assert index_kinds.main([*options, "--items", "500", "--kinds", "flat", "--limit", "0.01"]) == 1
    (late,) = json.loads(capsys.readouterr().out.splitlines()[-1])["kinds"]
    assert late["failed"] == "not finished after 0.01 s"


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        index_kinds.main(["--artifacts", "a", "--kinds", "flat,tree"])
    assert "tree: expected flat, hnsw, ivfpq" in capsys.readouterr().err


def test_made_up_embeddings_lie_among_the_artifacts_own(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "a")
    own = artifact.catalogue_embeddings()
    many = catalogue_of(artifact, 3000)
    assert np.array_equal(many[: len(own)], own)
    assert np.array_equal(many, catalogue_of(artifact, 3000))
    assert np.array_equal(catalogue_of(artifact, 100), own[:100])

    def to_nearest(vectors: np.ndarray) -> float:
        """Median distance to the artifact's nearest embedding, beside what a random direction would give."""
        distances = np.linalg.norm(vectors[:, None] - own[None], axis=2)
        return float(np.median(distances.min(axis=1)))

    spread = np.random.default_rng(0).standard_normal((500, own.shape[1])) * own.std(axis=0) + own.mean(axis=0)
    assert to_nearest(many[len(own) :][:500]) < 0.5 * to_nearest(spread)
    assert to_nearest(more_of(many, 500)) < 0.5 * to_nearest(spread)
    assert len(np.unique(more_of(many, 500), axis=0)) == 500
    assert queries_of(artifact, 7).shape == (7, own.shape[1])
