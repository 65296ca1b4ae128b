"""Artifacts with a whole card, as training leaves it; those of `service_support` have none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from model.artifact import Artifact
from model.config import TokenType
from tests.support.service import make_artifact
from training.evaluate.health import token_parameters, tokenizer_health

METRICS = {
    "valid/full": {"hit@10": 0.1234, "ndcg@10": 0.0567, "mrr": 0.0432, "hit@5": 0.08},
    "test/full": {"hit@10": 0.0812, "ndcg@10": 0.0443, "mrr": 0.0391, "hit@5": 0.05},
}
TRAINING = {
    "epochs": 12,
    "best_epoch": 9,
    "seconds_per_epoch": 3.25,
    "machine": "x86_64, 2 threads",
    "device": "cpu",
}


def make_carded(
    root: Path, version: str = "v1", tokens: TokenType = "hybrid", made: dict[str, Any] | None = None, **changes: Any
) -> Artifact:
    """Write an artifact below `root` whose manifest tells all, but for `changes`. made: for `make_artifact`."""
    plain = make_artifact(root, f"{version}-plain", tokens=tokens, **(made or {}))
    config = plain.manifest.tokenizer
    told: dict[str, Any] = {
        "version": version,
        "recipe": {"name": "default", "text_model": "/home/somebody/secret-model"},
        "seed": 3,
        "metrics": METRICS,
        "tokens": {
            **tokenizer_health(plain.items.codes, config),
            "parameters": token_parameters(config, len(plain.items)),
        },
        "training": TRAINING,
        "libraries": {"torch": "2.9.1"},
    }
    carded = replace(plain, manifest=plain.manifest.model_copy(update=told | changes))
    carded.save(root, "# Random weights, for tests\n")
    return Artifact.load(root)
