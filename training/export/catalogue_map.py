"""The map of the catalogue, by t-SNE (van der Maaten and Hinton, JMLR 2008): items near in embedding lie near on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from model.catalogue_map import interpolate

FITTED = 3000
"""Items that t-SNE places itself, at some 3 ms each on one core; the others find their places among them."""
_PERPLEXITY = 30
_FEWEST = 5  # items, for a perplexity that means anything
_STEPS = 500  # at most: a few items stand after fewer, of which the first 250 draw clusters together
_BLOCK = 50_000  # items placed at once, to bound memory
_SAME = 1e-6  # between unit vectors that rounding alone tells apart


def catalogue_map(embeddings: NDArray[np.float32], seed: int = 0, fitted: int = FITTED) -> NDArray[np.float32]:
    """Places [n, 2] in [-1, 1] of embeddings [n, D], by their cosines: the same for the same seed.

    Of more than `fitted` items so many are drawn and placed by t-SNE, and every other lies in the middle of its five
    nearest of those. The map fills the square as far as one scale for both axes allows.
    """
    n_items = len(embeddings)
    drawn = np.arange(n_items)
    if n_items > fitted:
        drawn = np.sort(np.random.default_rng(seed).choice(n_items, fitted, replace=False))
    known = _unit(embeddings[drawn])
    # One thread: sums of several come in any order, and the map is not the same every time.
    with threadpool_limits(1):
        placed = _scaled(_embedded(known, seed))
    positions = np.empty((n_items, 2), np.float32)
    positions[drawn] = placed
    others = np.setdiff1d(np.arange(n_items), drawn, assume_unique=True)
    for start in range(0, len(others), _BLOCK):
        block = others[start : start + _BLOCK]
        positions[block] = interpolate(embeddings[block], known, placed)
    return positions


def _unit(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; of zeros where there is no direction."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.where(lengths > 0, lengths, 1), np.float32)


def _embedded(unit: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Places [n, 2] of unit vectors [n, D], in a scale of t-SNE's own.

    Of fewer than five items the two principal directions, which keep the distances of three and most of those of four;
    vectors that are all the same are in one place, as they are.
    """
    n_items = len(unit)
    if n_items == 0 or np.ptp(unit, axis=0).max(initial=0) < _SAME:
        return np.zeros((n_items, 2), np.float32)
    # The start of t-SNE, and its like for a few, needs two directions to exist.
    wide = np.pad(unit, ((0, 0), (0, max(0, 2 - unit.shape[1]))))
    if n_items < _FEWEST:
        found, lengths, _ = np.linalg.svd(wide - wide.mean(axis=0), full_matrices=False)
        return np.asarray(found[:, :2] * lengths[:2], np.float32)
    tsne = TSNE(
        init="pca",
        perplexity=min(_PERPLEXITY, (n_items - 1) / 3),
        max_iter=min(_STEPS, 250 + n_items),
        n_jobs=1,
        random_state=seed,
    )
    return np.asarray(tsne.fit_transform(wide), np.float32)


def _scaled(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places [n, 2] moved into the middle of [-1, 1] and stretched to fill it, both axes alike."""
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    reach = float((high - low).max()) / 2
    centred = places - (low + high) / 2
    return np.asarray(np.clip(centred / reach if reach > 0 else centred, -1, 1), np.float32)
