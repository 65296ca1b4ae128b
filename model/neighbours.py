"""Neighbours of items: a sparse, exact memory beside the embeddings.

An embedding of a hundred numbers generalises and blurs. It forgets which item follows which, and that two texts are
almost the same. So the score of an item j after a history is

    query · embedding_j + Σ_kind weight · log(1 + evidence_j / floor),    evidence_j = Σ_i decay^age(i) · w(i, j)

over the items i of the history; the latest item has age 0. There are two kinds of neighbours:

- Co-occurrence: items that follow each other in training (item-based collaborative filtering, Sarwar et al., WWW 2001,
  with order). It belongs to what an item's identity knows.
- Text similarity: items whose texts share distinctive words (`model.words`). It belongs to what semantics knows, so a
  cold item has it from its first minute.

A cold item has no co-occurrence of its own. It borrows that of the items with the nearest texts.
The logarithm makes each kind an expert beside the softmax over dot products: their probabilities multiply.

An item without a neighbour in the history gets no boost. A search stays exact: an item that is neither among the best
by dot product nor a neighbour of the history cannot be among the best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from model.chunks import row_chunks
from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourConfig, NeighbourKind
from model.postings import NO_POSTINGS, Doubles, Floats, PostingList, PostingLists, posting_lists, sum_by_key
from model.words import EMPTY, NO_WORDS, Bag, Bags, Words, bag_at, stack

_DONORS = 5
"""Items whose co-occurrence a cold item borrows; their weights are averaged, by how near their texts are."""
_DONOR_FACTOR = 4.0
"""Multiplies that average. It leaves four fifths of the donors' sum, since donors repeat each other. See
docs/results/tried.md.
"""
_CELLS = 8_000_000  # cosines computed at once, to bound memory
_DONOR_CANDIDATES = 128  # nearest texts among which donors are looked for


class TextNeighbours(NamedTuple):
    """The neighbours that an item's text alone implies.

    bag: the words of the text. similar: the items with the nearest texts. followers: the items that probably follow
    this one. predecessors: the items that this one probably follows.
    """

    bag: Bag
    similar: PostingList
    followers: PostingList
    predecessors: PostingList


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The neighbours of a catalogue of `n_items`, by kind; a catalogue may have no kind at all.

    bags [n_items, words]: the items' texts as bags over `words`. `of_texts` and the places reserved for cold items
    (`model.exposure`) need them. Both are empty without the kind TEXT_SIMILARITY.
    """

    n_items: int
    configs: Mapping[NeighbourKind, NeighbourConfig] = field(default_factory=dict)
    lists: Mapping[NeighbourKind, PostingLists] = field(default_factory=dict)
    words: Words = NO_WORDS
    bags: Bags = field(default_factory=lambda: stack([], 0))

    def __bool__(self) -> bool:
        return bool(self.configs)

    def only(self, kind: NeighbourKind) -> Neighbours:
        """These neighbours with the lists of one kind alone, or with none where that kind is missing."""
        configs = {kind: self.configs[kind]} if kind in self.configs else {}
        return replace(self, configs=configs, lists={each: self.lists[each] for each in configs})

    def boosts(self, histories: Sequence[NDArray[np.integer]]) -> Floats:
        """The sum that neighbours add to every score, [histories, n_items].

        histories: item indices, oldest first.
        """
        out = np.zeros((len(histories), self.n_items), np.float32)
        flat = out.reshape(-1)
        rows = np.concatenate([np.empty(0, np.int64), *histories]).astype(np.int64)
        lengths = np.array([len(history) for history in histories], np.int64)
        base = np.repeat(np.arange(len(histories)) * self.n_items, lengths)
        for kind, config in self.configs.items():
            factors = np.concatenate([np.empty(0), *(decays(config, length) for length in lengths)])
            of, items, weights = self.lists[kind].gather(rows, factors)
            cells, evidence = sum_by_key(base[of] + items, weights)
            flat[cells] += strength(config, evidence).astype(np.float32)
        return out

    def of_texts(self, texts: Sequence[str]) -> list[TextNeighbours]:
        """The neighbours that each text implies, at most `count` of a kind; none without TEXT_SIMILARITY."""
        similarity, co_occurrence = self.configs.get(TEXT_SIMILARITY), self.configs.get(CO_OCCURRENCE)
        if similarity is None or not len(texts):
            return [TextNeighbours(EMPTY, NO_POSTINGS, NO_POSTINGS, NO_POSTINGS) for _ in texts]
        out = []
        bags = self.words.bags(texts)
        candidates = nearest(bags, self._items_by_word, max(similarity.count, _DONOR_CANDIDATES))
        for at, near in enumerate(candidates):
            followers = predecessors = NO_POSTINGS
            if co_occurrence is not None:
                known = np.flatnonzero(self._has_co_occurrence[near.items])[:_DONORS]
                donors = near.items[known]
                shares = _DONOR_FACTOR * near.weights[known].astype(np.float64) / _DONORS
                followers = self.lists[CO_OCCURRENCE].heaviest(donors, shares, co_occurrence.count)
                predecessors = self._predecessors.heaviest(donors, shares, co_occurrence.count)
            out.append(TextNeighbours(bag_at(bags, at), near.first(similarity.count), followers, predecessors))
        return out

    def extended(self, new: Sequence[TextNeighbours]) -> Neighbours:
        """These neighbours with new items behind the catalogue's.

        A new item and its catalogue neighbours enter each other's lists. Two new items share no list.
        """
        n_items = self.n_items + len(new)
        grown = self.lists_with(range(self.n_items, n_items), new, n_items)
        bags = self.bags
        if TEXT_SIMILARITY in self.configs:
            bags = sparse.vstack([bags, stack([each.bag for each in new], len(self.words))], format="csr")
        return Neighbours(n_items, self.configs, grown, self.words, bags)

    def lists_with(
        self, indices: Sequence[int], new: Sequence[TextNeighbours], n_items: int
    ) -> dict[NeighbourKind, PostingLists]:
        """The lists of `n_items` items once the items at `indices`, which had no list, have those of `new`."""
        out: dict[NeighbourKind, PostingLists] = {}
        for kind, own in self.lists.items():
            parts = {item: [own.of(item)] for item in range(self.n_items)}
            for index, each in zip(indices, new, strict=True):
                similar = each.similar, each.similar
                outward, inward = similar if kind == TEXT_SIMILARITY else (each.followers, each.predecessors)
                parts.setdefault(index, []).append(outward)
                for item, weight in zip(inward.items.tolist(), inward.weights, strict=True):
                    parts[item].append(PostingList(np.array([index]), np.array([weight], np.float32)))
            merged = [parts.get(item, [NO_POSTINGS]) for item in range(n_items)]
            out[kind] = posting_lists(
                [np.concatenate([part.items for part in each]) for each in merged],
                [np.concatenate([part.weights for part in each]) for each in merged],
            )
        return out

    @cached_property
    def _items_by_word(self) -> Bags:
        return inverted_index(self.bags)

    @cached_property
    def _has_co_occurrence(self) -> NDArray[np.bool_]:
        return np.diff(self.lists[CO_OCCURRENCE].offsets) > 0

    @cached_property
    def _predecessors(self) -> PostingLists:
        return self.lists[CO_OCCURRENCE].transposed()


def decays(config: NeighbourConfig, length: int) -> Doubles:
    """The factor on the evidence of each item of a history, oldest first, [length]."""
    factors: Doubles = np.power(config.decay, np.arange(length - 1, -1, -1, dtype=np.float64))
    return factors


def strength(config: NeighbourConfig, evidence: NDArray[Any]) -> Doubles:
    """The boost that evidence [m] gives a score, [m]."""
    return np.asarray(config.weight * np.log1p(evidence / config.floor), np.float64)


def inverted_index(bags: Bags) -> Bags:
    """From bags [n, words] to [words, n]: the items that have each word."""
    return bags.T.tocsr()


def nearest(bags: Bags, index: Bags, count: int) -> list[PostingList]:
    """For each of the bags [q, words], the `count` items with the nearest texts, best first, ties by item index.

    The weight is the squared cosine; items that share no word are left out. index [words, n]: see `inverted_index`.
    """
    out = []
    for part in row_chunks(bags.shape[0], index.shape[1], _CELLS):
        cosines = bags[part] @ index
        for low, high in pairwise(cosines.indptr.tolist()):
            items, weights = cosines.indices[low:high].astype(np.int64), np.square(cosines.data[low:high])
            if len(items) > count:
                kept = np.argpartition(-weights, count - 1)[:count]
                items, weights = items[kept], weights[kept]
            order = np.lexsort((items, -weights))
            out.append(PostingList(items[order], weights[order]))
    return out
