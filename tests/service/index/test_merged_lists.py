"""Merged lists: both kinds of neighbours of an item in one list."""

from __future__ import annotations

import numpy as np
import pytest

from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourConfig, NeighbourKind
from model.neighbours import Neighbours
from model.postings import PostingLists
from service.index.merged_lists import KINDS, merge_lists

CONFIG = NeighbourConfig(weight=1, floor=1, decay=0.5, count=9)


def random_lists(n: int, seed: int) -> PostingLists:
    rng = np.random.default_rng(seed)
    lists = [np.sort(rng.choice(n, rng.integers(0, n), replace=False)) for _ in range(n)]
    offsets = np.cumsum([0, *map(len, lists)])
    return PostingLists(offsets, np.concatenate(lists).astype(np.int32), rng.random(offsets[-1], np.float32) + 1)


@pytest.mark.parametrize("kinds", [KINDS, KINDS[:1], KINDS[1:], ()])
def test_each_item_has_its_weights_of_both_kinds(kinds: tuple[NeighbourKind, ...]) -> None:
    lists = {TEXT_SIMILARITY: random_lists(12, 0), CO_OCCURRENCE: random_lists(12, 1)}
    neighbours = Neighbours(12, dict.fromkeys(kinds, CONFIG), {kind: lists[kind] for kind in kinds})
    merged = merge_lists(neighbours)
    starts, counts = merged.extents(np.arange(12))
    for item in range(12):
        part = slice(starts[item], starts[item] + counts[item])
        found = dict(zip(merged.items[part].tolist(), merged.weights[part].tolist(), strict=True))
        expected: dict[int, list[float]] = {}
        for kind in kinds:
            own = lists[kind].of(item)
            for other, weight in zip(own.items.tolist(), own.weights.tolist(), strict=True):
                expected.setdefault(other, [0.0, 0.0])[KINDS.index(kind)] = weight
        assert found == expected
