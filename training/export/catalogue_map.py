"""The map of the catalogue by t-SNE (van der Maaten and Hinton, JMLR 2008): similar items lie close together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from model.catalogue_map import interpolate

FITTED = 3000
"""Items that t-SNE places, at about 3 ms each on one core; the others follow their nearest placed items."""
_PERPLEXITY = 30
_FEWEST = 5  # items; with fewer, perplexity has no meaning
_STEPS = 500  # at most; few items need fewer. The first 250 steps pull clusters together
_BLOCK = 50_000  # items to place at a time, to bound memory
_SAME = 1e-6  # greatest difference of unit vectors that differ by rounding only


def catalogue_map(embeddings: NDArray[np.float32], seed: int = 0, fitted: int = FITTED) -> NDArray[np.float32]:
    """Positions [n, 2] in [-1, 1] of embeddings [n, D], by their cosines; the same for the same seed.

    If there are more than `fitted` items, t-SNE places a random sample of that size, and every other item lies in the
    middle of its five nearest sampled items. Both axes have one scale, and the map fills the square.
    """
    n_items = len(embeddings)
    drawn = np.arange(n_items)
    if n_items > fitted:
        drawn = np.sort(np.random.default_rng(seed).choice(n_items, fitted, replace=False))
    known = _unit(embeddings[drawn])
    # One thread: several add up in any order, and the map would differ every time.
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
    """Rows scaled to length 1; zero rows stay zero."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.where(lengths > 0, lengths, 1), np.float32)


def _embedded(unit: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Positions [n, 2] of unit vectors [n, D] in t-SNE's own scale.

    Fewer than five items get their two principal directions, which keep the distances of three items and most of those
    of four. Identical vectors get one position.
    """
    n_items = len(unit)
    if n_items == 0 or np.ptp(unit, axis=0).max(initial=0) < _SAME:
        return np.zeros((n_items, 2), np.float32)
    # t-SNE starts from two principal directions, so there must be two dimensions.
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
    """Positions [n, 2] centred in [-1, 1] and stretched to fill it, with one scale for both axes."""
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    reach = float((high - low).max()) / 2
    centred = places - (low + high) / 2
    return np.asarray(np.clip(centred / reach if reach > 0 else centred, -1, 1), np.float32)
