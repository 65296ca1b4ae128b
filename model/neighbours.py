"""Neighbours of items: the sparse, exact memory beside the embeddings.

An embedding of a hundred numbers generalises, and blurs: which item follows which, or that two texts are almost the
same, is lost in it. So the score of an item j after a history is

    query · embedding_j + Σ_kind weight · log(1 + evidence_j / floor),    evidence_j = Σ_i decay^age(i) · w(i, j)

over the items i of the history, age 0 the latest. Two kinds: `together`, items that follow each other in training
(item-based collaborative filtering, Sarwar et al., WWW 2001, with order), a part of what identity knows; and `alike`,
items with near texts by cosine, a part of what semantics knows, which a cold item has from its first minute. The
logarithm makes each kind an expert beside the softmax over dot products: their probabilities multiply.

Without a neighbour an item's boost is zero, so a search stays exact: what is not among the best by dot product and has
no neighbour in the history cannot be among the best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.config import NeighbourConfig, NeighbourKind

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


class Lists(NamedTuple):
    """Neighbours of n items, one list behind another.

    offsets [n + 1] int64: the list of item i lies from offsets[i] to offsets[i + 1]. items [m] int32, weights [m]
    float32, above zero.
    """

    offsets: Integers
    items: NDArray[np.int32]
    weights: Floats

    def gather(self, rows: Integers, factors: Doubles) -> tuple[Integers, Integers, Doubles]:
        """The lists of `rows` [r] one behind another, their weights times factors [r]: (place in rows, items, weights),
        each [m'].
        """
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        ends = lengths.cumsum()
        of = np.repeat(np.arange(len(rows)), lengths)
        places = np.arange(ends[-1] if len(ends) else 0) + (starts - ends + lengths)[of]
        return of, self.items[places].astype(np.int64), self.weights[places] * factors[of]


class Near(NamedTuple):
    """The items nearest to a text. items [m] int64, weights [m] float32, above zero."""

    items: Integers
    weights: Floats


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Kinds of neighbours of one catalogue of `n_items`; none at all is allowed.

    texts [n_items, T] float32: text embeddings of length 1 (or 0), for `near`; [0, 0] without the kind `alike`.
    """

    n_items: int
    configs: Mapping[NeighbourKind, NeighbourConfig] = field(default_factory=dict)
    lists: Mapping[NeighbourKind, Lists] = field(default_factory=dict)
    texts: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def __bool__(self) -> bool:
        return bool(self.configs)

    def boosts(self, histories: Sequence[NDArray[np.integer]]) -> Floats:
        """What neighbours add to every score, [histories, n_items], for histories of item indices, oldest first."""
        out = np.zeros((len(histories), self.n_items), np.float32)
        flat = out.reshape(-1)
        rows = np.concatenate([np.empty(0, np.int64), *histories]).astype(np.int64)
        lengths = np.array([len(history) for history in histories], np.int64)
        base = np.repeat(np.arange(len(histories)) * self.n_items, lengths)
        for kind, config in self.configs.items():
            factors = np.concatenate([np.empty(0), *(decays(config, length) for length in lengths)])
            of, items, weights = self.lists[kind].gather(rows, factors)
            cells, evidence = add_up(base[of] + items, weights)
            flat[cells] += strength(config, evidence).astype(np.float32)
        return out

    def near(self, texts: Floats) -> list[Near]:
        """For each text embedding [n, T] the catalogue's items with the nearest texts, at most `alike.count`."""
        config = self.configs.get("alike")
        if config is None or not len(texts):
            return [Near(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in texts]
        return nearest(unit(texts), self.texts, config.count)

    def extended(self, near: Sequence[Near]) -> Neighbours:
        """With new items behind the catalogue's, each known by the items `near` to it alone.

        A new item's list holds the items near to it, and theirs hold it; new items are not held against each other.
        """
        lists = {}
        for kind, own in self.lists.items():
            pairs = list(pairwise(own.offsets.tolist()))
            items = [own.items[a:b] for a, b in pairs]
            weights = [own.weights[a:b] for a, b in pairs]
            if kind == "alike":
                for new, (close, worth) in enumerate(near, start=self.n_items):
                    for item, value in zip(close.tolist(), worth, strict=True):
                        items[item] = np.append(items[item], np.int32(new))
                        weights[item] = np.append(weights[item], value)
            more = near if kind == "alike" else [Near(np.empty(0, np.int64), np.empty(0, np.float32))] * len(near)
            lists[kind] = make_lists([*items, *(n.items for n in more)], [*weights, *(n.weights for n in more)])
        return Neighbours(self.n_items + len(near), self.configs, lists)


def decays(config: NeighbourConfig, length: int) -> Doubles:
    """What the evidence of each item of a history is worth, oldest first, [length]."""
    factors: Doubles = np.power(config.decay, np.arange(length - 1, -1, -1, dtype=np.float64))
    return factors


def add_up(keys: Integers, amounts: Doubles) -> tuple[Integers, Doubles]:
    """Distinct keys, ascending, and the sum of the amounts of each."""
    distinct, place = np.unique(keys, return_inverse=True)
    return distinct, np.bincount(place, amounts, minlength=len(distinct)).astype(np.float64, copy=False)


def strength(config: NeighbourConfig, evidence: NDArray[Any]) -> Doubles:
    """What evidence [m] adds to a score."""
    return np.asarray(config.weight * np.log1p(evidence / config.floor), np.float64)


def make_lists(items: Sequence[NDArray[np.integer]], weights: Sequence[NDArray[np.floating]]) -> Lists:
    """Lists of each item's neighbours and their weights."""
    lengths = np.array([0, *(len(each) for each in items)], np.int64)
    return Lists(
        lengths.cumsum(),
        np.concatenate([np.empty(0, np.int32), *items]).astype(np.int32),
        np.concatenate([np.empty(0, np.float32), *weights]).astype(np.float32),
    )


def unit(vectors: Floats) -> Floats:
    """Rows scaled to length 1; zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled


def kept(texts: Floats) -> Floats:
    """Text embeddings [n, T] as an artifact keeps them: of length 1, in half precision."""
    return unit(unit(texts).astype(np.float16).astype(np.float32))


def nearest(queries: Floats, texts: Floats, count: int, chunk: int = 512) -> list[Near]:
    """The `count` rows of texts [n, T] with the largest cosine to each query [q, T], those above zero, best first.

    All vectors have length 1, or 0.
    """
    out = []
    for start in range(0, len(queries), chunk):
        cosines = queries[start : start + chunk] @ texts.T
        kept = min(count, cosines.shape[1])
        best = np.argpartition(-cosines, kept - 1, axis=1)[:, :kept]
        for row, places in zip(cosines, best, strict=True):
            places = places[row[places] > 0]
            places = places[np.lexsort((places, -row[places]))]
            out.append(Near(places.astype(np.int64), row[places]))
    return out
