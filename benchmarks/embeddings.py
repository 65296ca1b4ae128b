"""Embeddings for a large catalogue that lie as an artifact's own do, and real query vectors for them.

Approximate indexes rely on clusters, so recall on evenly spread embeddings would say nothing. The first rows are the
artifact's own. Each further one lies at a random place between one of these and one of its eight nearest (as SMOTE
makes them, Chawla et al. 2002), moved in a random direction by up to half of the distance between the two. So the cloud
is denser than the artifact's and keeps its shape. All draws are seeded.
"""

from __future__ import annotations

import faiss
import numpy as np

from model.artifact import Artifact
from model.numpy_recommender import NumpyRecommender
from service.index.scan import Floats, Rows
from training.evaluate.artifact_evaluation import artifact_sequences

_NEAR = 8
_CHUNK = 100_000  # rows made at once, to bound memory


def catalogue_of(artifact: Artifact, count: int) -> Floats:
    """Return embeddings [count, D]: the artifact's own, cut at `count` or filled up with made-up ones."""
    own = artifact.catalogue_embeddings()
    out = np.empty((count, own.shape[1]), np.float32)
    out[: len(own)] = own[:count]
    if count > len(own):
        near = _nearest(own)
        rng = np.random.default_rng(0)
        for start in range(len(own), count, _CHUNK):
            part = out[start : start + _CHUNK]
            part[:] = _between(own, near, len(part), rng)
    return out


def more_of(vectors: Floats, count: int) -> Floats:
    """Return embeddings [count, D] like those of `vectors`, for items registered later."""
    rng = np.random.default_rng(1)
    sample = vectors[np.sort(rng.choice(len(vectors), min(len(vectors), 10_000), replace=False))]
    return _between(sample, _nearest(sample), count, rng)


def queries_of(artifact: Artifact, count: int) -> Floats:
    """Return query vectors [count, D] of the artifact's evaluation users, or of random histories if it carries none."""
    rng = np.random.default_rng(2)
    if artifact.evaluation is None:
        histories = rng.choice(len(artifact.items), (count, 5)).tolist()
    else:
        sequences = artifact_sequences(artifact)
        histories = [sequences[user][:-1].tolist() for user in rng.choice(len(sequences), count)]
    return NumpyRecommender(artifact.recommender).queries(artifact.catalogue_embeddings(), histories)


def _nearest(vectors: Floats) -> Rows:
    """Return the rows nearest to each of vectors [n, D] by Euclidean distance, without itself: [n, up to 8]."""
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    _, rows = index.search(vectors, min(_NEAR + 1, len(vectors)))
    return np.asarray(rows[:, 1:])


def _between(vectors: Floats, near: Rows, count: int, rng: np.random.Generator) -> Floats:
    one = rng.integers(len(vectors), size=count)
    other = near[one, rng.integers(near.shape[1], size=count)]
    way = vectors[other] - vectors[one]
    aside = rng.standard_normal(way.shape, np.float32)
    aside *= np.linalg.norm(way, axis=1, keepdims=True) / np.linalg.norm(aside, axis=1, keepdims=True)
    out: Floats = vectors[one] + rng.random((count, 1), np.float32) * way
    out += rng.random((count, 1), np.float32) / 2 * aside
    return out
