"""Places reserved for cold items, and which of them get these.

A cold item competes by its text, and most often loses to items that really followed histories like this one. Who wants
new items seen reserves a share of the places for them: the exposure ε of TIGER (arXiv 2305.05065, section 4.4). The
other places go to trained items.

Among themselves, cold items are ranked by

    semantic half of the inner product + 12 · Σ_i decay^age(i) · cos(words_i, words_j)² + what `together` adds

over the items i of the history, age 0 the latest. The ID embedding that they borrow tells them from trained items and
not from each other, so it is left out, and nearness of texts counts for more than in a score. An artifact without texts
ranks them by their scores. docs/results/tried.md has what was compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.config import NeighbourConfig
from model.neighbours import Floats, Neighbours, decays
from model.words import Bags

_WEIGHT = 12.0


def reserved_places(share: float, k: int) -> int:
    """How many of k places are kept for cold items at most, by their share 0 … 1: never more than the share."""
    return math.floor(share * k + 1e-9)  # .3 · 10 is a little less than 3


def by_text(history: Bags, items: Bags, config: NeighbourConfig) -> Floats:
    """What the texts of a history add to the semantic halves of inner products with cold items, [n].

    history [length, words]: its bags, oldest first; items [n, words]. config: of the kind `alike`.
    """
    near = (items @ history.T).power(2)
    added: Floats = near @ (_WEIGHT * decays(config, history.shape[0])).astype(np.float32)
    return added


def among_cold(neighbours: Neighbours, histories: Sequence[NDArray[np.integer]], items: NDArray[np.integer]) -> Floats:
    """What neighbours add to the semantic halves for histories of item indices, each with the cold `items` [n], to
    rank these among themselves: [histories, n]. Raises KeyError for neighbours without `alike`.
    """
    bags = neighbours.bags[items]
    near = [by_text(neighbours.bags[history], bags, neighbours.configs["alike"]) for history in histories]
    added: Floats = np.stack(near) + neighbours.only("together").boosts(histories)[:, items]
    return added
