"""Golden samples: a few texts with their codes, and a few histories with their top items.

Export makes them, every start replays them. They catch what hashes cannot: a library, processor or setting that
computes something else from the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact import Artifact, ArtifactError

_SAMPLES = 8
_TOP = 10
# Scores are of order 1 to 10; another BLAS differs in the sixth digit. A wrong weight differs in the second.
_TOLERANCE = 1e-3


def make_golden(artifact: Artifact, histories: list[list[int]]) -> bytes:
    """The samples of an artifact as JSON, from the texts of its items and from `histories` of item indices.

    A text whose codes are near a tie is left out: rounding may decide it otherwise.
    """
    items = artifact.items
    embeddings = artifact.catalogue_embeddings()
    texts = []
    if artifact.manifest.tokenizer.has_semantic:
        evenly = np.linspace(0, len(items) - 1, num=min(len(items), 64), dtype=np.int64)
        steady = [int(index) for index in evenly if _margin(artifact, items.items[index].to_text()) > 1e-4]
        texts = [
            {"text": items.items[index].to_text(), "codes": _codes(artifact, items.items[index].to_text())}
            for index in steady[:_SAMPLES]
        ]
    samples: dict[str, Any] = {"texts": texts, "histories": []}
    for history in histories[:_SAMPLES]:
        scores = _scores(artifact, embeddings, history)
        top = np.argsort(-scores, kind="stable")[:_TOP]
        samples["histories"].append(
            {
                "history": [items.item_ids[index] for index in history],
                "items": [items.item_ids[index] for index in top],
                "scores": [round(float(scores[index]), 6) for index in top],
            }
        )
    return json.dumps(samples, indent=1, ensure_ascii=False).encode()


def check_golden(artifact: Artifact) -> None:
    """Replay the artifact's samples. Raises ArtifactError when a text gives other codes or an item another score."""
    try:
        samples = json.loads(artifact.golden)
        for sample in samples["texts"]:
            found = _codes(artifact, sample["text"])
            if found != sample["codes"]:
                raise ArtifactError(f"golden.json: {sample['text'][:60]!r} gives {found}, expected {sample['codes']}")
        embeddings = artifact.catalogue_embeddings()
        for sample in samples["histories"]:
            history = [artifact.items.index_of[item_id] for item_id in sample["history"]]
            scores = _scores(artifact, embeddings, history)
            wanted = [artifact.items.index_of[item_id] for item_id in sample["items"]]
            expected = np.array(sample["scores"])
            best = np.sort(scores)[::-1][: len(expected)]
            limit = _TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0)))
            for found_scores in (scores[wanted], best):
                if not np.allclose(found_scores, expected, rtol=0, atol=limit):
                    raise ArtifactError(
                        f"golden.json: the history {sample['history'][:3]}… gives the scores "
                        f"{found_scores[:3].round(4).tolist()}…, expected {expected[:3].round(4).tolist()}…"
                    )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArtifactError(f"golden.json: does not fit the artifact: {error!r}") from error


def _codes(artifact: Artifact, text: str) -> list[int]:
    embedding = torch.from_numpy(artifact.text_encoder.encode([text]))
    codes: list[int] = artifact.tokenizer.tokenize(embedding).codes[0].tolist()
    return codes


@torch.inference_mode()
def _margin(artifact: Artifact, text: str) -> float:
    """The lead of the nearest codeword over the second, at the level with the smallest lead."""
    residual = artifact.tokenizer.encode(torch.from_numpy(artifact.text_encoder.encode([text])))
    margins: list[float] = []
    for level in range(artifact.tokenizer.quantizer.levels):
        book = artifact.tokenizer.quantizer.level(level)
        best, second = book.scores(residual)[0].topk(2).values.tolist()
        margins.append(best - second)
        residual = residual - book.codewords[book.nearest(residual)]
    return min(margins)


def _scores(artifact: Artifact, embeddings: NDArray[np.float32], history: list[int]) -> NDArray[np.float32]:
    """Scores of the whole catalogue [n_items] for a history of item indices."""
    query = artifact.query([embeddings[history]])
    scores: NDArray[np.float32] = (query @ embeddings.T)[0]
    if artifact.neighbours:
        scores = scores + artifact.neighbours.boosts([np.array(history[-artifact.recommender.config.max_length :])])[0]
    return scores
