"""Neighbour lists from training sequences and from texts, which `model.neighbours` scores with.

We chose the constants on Beauty's validation split (2026-11-21, seed 0); docs/results/tried.md has the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourConfig, NeighbourKind
from model.neighbours import Neighbours, inverted_index, nearest
from model.postings import NO_POSTINGS, PostingLists, posting_lists
from model.words import NO_WORDS, Bags, Words, stack
from training.config import Recipe
from training.datasets.base import Indices

GAP = 0.7
"""Factor on the weight of a pair for every item between the two."""
BACKWARD = 0.3
"""Weight of an item that came before, relative to one that came after."""
SHRINKAGE = 5.0
"""Added to an item's interactions before we divide weights by their root, because rare items are weak evidence."""
DECAYS: dict[NeighbourKind, float] = {CO_OCCURRENCE: 0.7, TEXT_SIMILARITY: 0.8}
FLOORS: dict[NeighbourKind, float] = {CO_OCCURRENCE: 0.01, TEXT_SIMILARITY: 0.03}

_FARTHEST = 20  # GAP to this power is a thousandth
_USERS = 20_000  # counted at once, to bound memory


def count_neighbours(sequences: Sequence[Indices], texts: Sequence[str], recipe: Recipe) -> Neighbours:
    """The recipe's neighbours of a catalogue: from training sequences of item indices and the items' texts.

    It compares every pair of texts, so its time grows with the square of their number: seconds for 10,000 items,
    minutes for 100,000.
    """
    # Each half of a token brings one kind of neighbours; a recipe without a half has no neighbours of that kind.
    weights: dict[NeighbourKind, float] = {
        CO_OCCURRENCE: recipe.together_weight if recipe.tokens != "semantic" else 0.0,
        TEXT_SIMILARITY: recipe.alike_weight if recipe.tokens != "id" else 0.0,
    }
    configs = {
        kind: NeighbourConfig(weight=weight, floor=FLOORS[kind], decay=DECAYS[kind], count=recipe.neighbours)
        for kind, weight in weights.items()
        if weight
    }
    lists: dict[NeighbourKind, PostingLists] = {}
    words, bags = NO_WORDS, stack([], 0)
    if CO_OCCURRENCE in configs:
        lists[CO_OCCURRENCE] = co_occurrence(sequences, len(texts), recipe.neighbours)
    if TEXT_SIMILARITY in configs:
        words = Words.fit(texts)
        bags = words.bags(texts)
        lists[TEXT_SIMILARITY] = text_similarity(bags, recipe.neighbours)
    counted = Neighbours(len(texts), configs, lists, words, bags)
    if len(configs) < 2:
        return counted
    # An item without training interactions borrows co-occurrence from similar texts, as a registered item does.
    met = np.zeros(len(texts), np.bool_)
    met[np.concatenate(sequences)] = True
    never = np.flatnonzero(~met)
    joining = [
        each._replace(similar=NO_POSTINGS) for each in counted.of_texts([texts[item] for item in never.tolist()])
    ]
    return replace(counted, lists=counted.lists_with(never.tolist(), joining, len(texts)))


def co_occurrence(sequences: Sequence[Indices], n_items: int, count: int) -> PostingLists:
    """For each item at most `count` items that came after it in a sequence, or with less weight before it.

    w(i, j) = Σ over pairs of GAP^(items between) · (1 if j came after i, else BACKWARD) / √((n_i + s)(n_j + s)), where
    n is an item's number of interactions and s the SHRINKAGE.
    """
    pairs = sparse.csr_matrix((n_items, n_items))
    for start in range(0, len(sequences), _USERS):
        pairs = pairs + _pairs(sequences[start : start + _USERS], n_items)
    popularity = np.bincount(np.concatenate(sequences), minlength=n_items)
    scale = sparse.diags(1 / np.sqrt(popularity + SHRINKAGE))
    weights = (scale @ pairs @ scale).tocsr()
    weights.setdiag(0)
    weights.eliminate_zeros()
    weights.sort_indices()
    kept = [_heaviest(weights, item, count) for item in range(n_items)]
    return posting_lists([items for items, _ in kept], [values for _, values in kept])


def text_similarity(bags: Bags, count: int) -> PostingLists:
    """For each item those with the nearest texts, by their bags [n, words]; never itself, at most `count`."""
    near = nearest(bags, inverted_index(bags), count + 1)
    others = [each.items != item for item, each in enumerate(near)]
    return posting_lists(
        [each.items[other][:count] for each, other in zip(near, others, strict=True)],
        [each.weights[other][:count] for each, other in zip(near, others, strict=True)],
    )


def _pairs(sequences: Sequence[Indices], n_items: int) -> sparse.csr_matrix:
    """Σ of the worth of all pairs, [n_items, n_items]; row: the item that is read, column: the one it speaks for."""
    flat = np.concatenate(sequences).astype(np.int64)
    owner = np.repeat(np.arange(len(sequences)), [len(sequence) for sequence in sequences])
    first, second, worth = (np.concatenate(column) for column in zip(*_by_gap(flat, owner), strict=True))
    both = np.concatenate([worth, BACKWARD * worth])
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    return sparse.coo_matrix((both, (rows, columns)), shape=(n_items, n_items)).tocsr()


def _by_gap(
    flat: NDArray[np.int64], owner: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Pairs of one sequence by how far apart they are: (earlier item, later item, worth)."""
    for distance in range(1, _FARTHEST + 1):
        same = owner[:-distance] == owner[distance:]
        earlier, later = flat[:-distance][same], flat[distance:][same]
        yield earlier, later, np.full(len(earlier), GAP ** (distance - 1))


def _heaviest(weights: sparse.csr_matrix, item: int, count: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The `count` heaviest entries of a row, equal ones by index."""
    row = slice(weights.indptr[item], weights.indptr[item + 1])
    items, values = weights.indices[row], weights.data[row]
    best = np.argsort(-values, kind="stable")[:count]
    return items[best], values[best]
