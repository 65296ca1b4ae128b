"""Boosts: looked up for a few cells, and added to them."""

from __future__ import annotations

import numpy as np
import pytest

from service.index.boosts import Boosts


@pytest.mark.parametrize("seed", range(5))
def test_what_few_cells_are_given_is_the_same_both_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mine = rng.permutation(200)[:80].astype(np.int64)
    boosts = Boosts(100, mine, rng.random(80), rng.random(80))
    kept = rng.random(80) < 0.5
    for few in (np.sort(rng.permutation(220)[:30]).astype(np.int64), mine[kept][:1], np.empty(0, np.int64)):
        semantic, own = rng.random(len(few)), rng.random(len(few))
        more = boosts.only(kept).of(few)
        expected = semantic + more[0], own + more[1]
        boosts.add_to(few, semantic, own, kept)
        assert (semantic.tolist(), own.tolist()) == (expected[0].tolist(), expected[1].tolist())
