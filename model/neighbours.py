"""Neighbours of items: the sparse, exact memory beside the embeddings.

An embedding of a hundred numbers generalises, and blurs: which item follows which, or that two texts are almost the
same, is lost in it. So the score of an item j after a history is

    query · embedding_j + Σ_kind weight · log(1 + evidence_j / floor),    evidence_j = Σ_i decay^age(i) · w(i, j)

over the items i of the history, age 0 the latest. Two kinds: `together`, items that follow each other in training
(item-based collaborative filtering, Sarwar et al., WWW 2001, with order), a part of what identity knows; and `alike`,
items whose texts share telling words (`model.words`), a part of what semantics knows, which a cold item has from its
first minute. Nobody has had a cold item beside another, so it joins the company of the items with the nearest texts.
The logarithm makes each kind an expert beside the softmax over dot products: their probabilities multiply.

Without a neighbour an item's boost is zero, so a search stays exact: what is not among the best by dot product and has
no neighbour in the history cannot be among the best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from model.config import NeighbourConfig, NeighbourKind
from model.words import EMPTY, NO_WORDS, Bag, Bags, Words, row, stack

_LENDERS = 5
"""Items whose company a cold item joins; their weights are averaged, by how near they are."""
_LENT = 4.0
"""What that average is multiplied by: a few lenders know less than their number says. See docs/results/tried.md."""
_CELLS = 8_000_000  # cosines computed at once, to bound memory
_LOOKED_THROUGH = 128  # nearest texts among which lenders are looked for

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
        of, places = spread(self.offsets, rows)
        return of, self.items[places].astype(np.int64), self.weights[places] * factors[of]


class Near(NamedTuple):
    """Items and how near they are. items [m] int64, weights [m] float32, above zero."""

    items: Integers
    weights: Floats

    def first(self, count: int) -> Near:
        return Near(self.items[:count], self.weights[:count])


class Joining(NamedTuple):
    """How an item with nothing but a text joins a catalogue.

    bag: its words. alike: the items with the nearest texts. after: those that follow it, as far as can be told, and
    before: those that it follows.
    """

    bag: Bag
    alike: Near
    after: Near
    before: Near


NOTHING = Near(np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Kinds of neighbours of one catalogue of `n_items`; none at all is allowed.

    bags [n_items, words]: of the items' texts over `words`, for `join` and for places reserved for cold items
    (`model.exposure`); both empty without the kind `alike`.
    """

    n_items: int
    configs: Mapping[NeighbourKind, NeighbourConfig] = field(default_factory=dict)
    lists: Mapping[NeighbourKind, Lists] = field(default_factory=dict)
    words: Words = NO_WORDS
    bags: Bags = field(default_factory=lambda: stack([], 0))

    def __bool__(self) -> bool:
        return bool(self.configs)

    def only(self, kind: NeighbourKind) -> Neighbours:
        """With that kind's lists alone, if it is there."""
        configs = {kind: self.configs[kind]} if kind in self.configs else {}
        return replace(self, configs=configs, lists={each: self.lists[each] for each in configs})

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

    def join(self, texts: Sequence[str]) -> list[Joining]:
        """How items with these texts join; lists of at most `count` neighbours."""
        like, company = self.configs.get("alike"), self.configs.get("together")
        if like is None or not len(texts):
            return [Joining(EMPTY, NOTHING, NOTHING, NOTHING) for _ in texts]
        joining = []
        bags = self.words.bags(texts)
        for at, near in enumerate(nearest(bags, self._holding, max(like.count, _LOOKED_THROUGH))):
            alike = near.first(like.count)
            after = before = NOTHING
            if company is not None:
                known = np.flatnonzero(self._has_company[near.items])[:_LENDERS]
                lenders, shares = near.items[known], _LENT * near.weights[known].astype(np.float64) / _LENDERS
                after = _heaviest(self.lists["together"].gather(lenders, shares), company.count)
                before = _heaviest(self._followed.gather(lenders, shares), company.count)
            joining.append(Joining(row(bags, at), alike, after, before))
        return joining

    def extended(self, joining: Sequence[Joining]) -> Neighbours:
        """With new items behind the catalogue's. A new item's lists hold what it joins, and theirs hold it; new items
        are not held against each other.
        """
        places = range(self.n_items, self.n_items + len(joining))
        grown = self.with_lists(places, joining, self.n_items + len(joining))
        bags = self.bags
        if "alike" in self.configs:
            bags = sparse.vstack([bags, stack([each.bag for each in joining], len(self.words))], format="csr")
        return Neighbours(self.n_items + len(joining), self.configs, grown, self.words, bags)

    def with_lists(self, places: Sequence[int], joining: Sequence[Joining], n_items: int) -> dict[NeighbourKind, Lists]:
        """The lists of `n_items` items when those at `places`, which had none, join."""
        lists: dict[NeighbourKind, Lists] = {}
        for kind, own in self.lists.items():
            rows = {row: [Near(own.items[a:b].astype(np.int64), own.weights[a:b])] for row, (a, b) in _ranges(own)}
            for place, each in zip(places, joining, strict=True):
                outward, inward = (each.alike, each.alike) if kind == "alike" else (each.after, each.before)
                rows.setdefault(place, []).append(outward)
                for item, weight in zip(inward.items.tolist(), inward.weights, strict=True):
                    rows[item].append(Near(np.array([place]), np.array([weight], np.float32)))
            merged = [rows.get(row, [NOTHING]) for row in range(n_items)]
            lists[kind] = make_lists(
                [np.concatenate([part.items for part in parts]) for parts in merged],
                [np.concatenate([part.weights for part in parts]) for parts in merged],
            )
        return lists

    @cached_property
    def _holding(self) -> Bags:
        return holding(self.bags)

    @cached_property
    def _has_company(self) -> NDArray[np.bool_]:
        return np.diff(self.lists["together"].offsets) > 0

    @cached_property
    def _followed(self) -> Lists:
        """The lists of `together` the other way round: for each item those whose lists hold it."""
        lists = self.lists["together"]
        owners = np.repeat(np.arange(self.n_items), np.diff(lists.offsets))
        order = np.argsort(lists.items, kind="stable")
        offsets = np.searchsorted(lists.items[order], np.arange(self.n_items + 1))
        return Lists(offsets.astype(np.int64), owners[order].astype(np.int32), lists.weights[order])


def _ranges(lists: Lists) -> Iterator[tuple[int, tuple[int, int]]]:
    return enumerate(pairwise(lists.offsets.tolist()))


def _heaviest(gathered: tuple[Integers, Integers, Doubles], count: int) -> Near:
    """Of gathered lists the `count` items with the largest sums of weights."""
    items, weights = add_up(gathered[1], gathered[2])
    best = np.argsort(-weights, kind="stable")[:count]
    return Near(items[best], weights[best].astype(np.float32))


def spread(offsets: Integers, rows: Integers) -> tuple[Integers, Integers]:
    """Where the lists of `rows` [r] lie, one behind another: (place in rows, place in the lists), each [m]."""
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    of = np.repeat(np.arange(len(rows)), lengths)
    return of, np.arange(len(of)) + (starts - lengths.cumsum() + lengths)[of]


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


def holding(bags: Bags) -> Bags:
    """Bags [n, words] by word, [words, n]: which items have it."""
    return bags.T.tocsr()


def nearest(bags: Bags, holding: Bags, count: int) -> list[Near]:
    """For each of the bags [q, words] the `count` items with the nearest texts, best first, equal ones by index.

    How near they are is the squared cosine, and above zero. holding [words, n]: see `holding`.
    """
    out = []
    chunk = max(1, _CELLS // max(1, holding.shape[1]))
    for start in range(0, bags.shape[0], chunk):
        cosines = bags[start : start + chunk] @ holding
        for low, high in pairwise(cosines.indptr.tolist()):
            items, weights = cosines.indices[low:high].astype(np.int64), np.square(cosines.data[low:high])
            if len(items) > count:
                kept = np.argpartition(-weights, count - 1)[:count]
                items, weights = items[kept], weights[kept]
            order = np.lexsort((items, -weights))
            out.append(Near(items[order], weights[order]))
    return out
