"""Golden samples: what the artifact computed at export is what it must compute at start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.artifact import Artifact, ArtifactError
from model.golden import check_golden
from model.manifest import GOLDEN, TOKENIZER
from tests.support.artifacts import copy_of, edit_manifest, edit_tensors, rewrite


@pytest.fixture
def folder(tiny_root: Path, tmp_path: Path) -> Path:
    """A version folder to damage."""
    return copy_of(tiny_root, tmp_path / "root")


def test_golden_samples_hold_texts_and_histories(tiny_artifact: Artifact) -> None:
    samples = json.loads(tiny_artifact.golden)
    assert len(samples["texts"]) == len(samples["histories"]) == 8
    assert all(len(sample["items"]) == len(sample["scores"]) == 10 for sample in samples["histories"])
    for sample in samples["histories"]:
        assert sample["scores"] == sorted(sample["scores"], reverse=True)


def _golden(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Artifact:
    samples = json.loads((folder / GOLDEN).read_bytes())
    edit(samples)
    rewrite(folder, GOLDEN, json.dumps(samples).encode())
    return Artifact.load(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda samples: samples["texts"][3]["codes"].__setitem__(1, 99), "gives .* expected"),
        (lambda samples: samples["histories"][2]["scores"].__setitem__(0, 9.9), "gives the scores"),
        (lambda samples: samples["histories"][7]["scores"].__setitem__(9, -9.9), "gives the scores"),
        (lambda samples: samples["histories"][0]["history"].__setitem__(-1, "item-3"), "gives the scores"),
        (lambda samples: samples["histories"][0]["items"].reverse(), "gives the scores"),
        (lambda samples: samples["histories"][0]["history"].append("absent"), "does not fit .*absent"),
        (lambda samples: samples["histories"][0]["history"].clear(), "does not fit"),
        (lambda samples: samples["histories"][0]["items"].pop(), "does not fit"),
        (lambda samples: samples["texts"][0].update(text=5), "does not fit"),
        (lambda samples: samples.pop("texts"), "does not fit"),
    ],
)
def test_a_golden_sample_that_disagrees_is_found(
    folder: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    artifact = _golden(folder, edit)
    with pytest.raises(ArtifactError, match=f"golden.json: .*{message}"):
        check_golden(artifact)


def test_golden_samples_find_what_no_hash_can(folder: Path) -> None:
    """Another number of heads has the same tensors, and a small change of a weight the same shapes."""
    edit_manifest(folder, lambda manifest: manifest["recommender"].update(heads=1))
    with pytest.raises(ArtifactError, match="gives the scores"):
        check_golden(Artifact.load(folder))
    edit_manifest(folder, lambda manifest: manifest["recommender"].update(heads=2))
    check_golden(Artifact.load(folder))
    edit_tensors(
        folder, TOKENIZER, lambda tensors: tensors["quantizer.codebooks.0.codewords"].mul_(1.01 * torch.ones(8, 1))
    )
    with pytest.raises(ArtifactError, match=r"golden\.json"):
        check_golden(Artifact.load(folder))
