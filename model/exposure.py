"""Places reserved for cold items, and which of them get these.

A cold item competes by its text, and most often loses to items that really followed histories like this one. Who wants
new items seen reserves a share of the places for them: the exposure ε of TIGER (arXiv 2305.05065, section 4.4). The
other places go to trained items.

Among themselves, cold items are ranked by

    semantic half of the inner product + 12 · Σ_i decay^age(i) · cos(words_i, words_j)²

over the items i of the history, age 0 the latest: by what is their own. The whole score has too much of what they
borrow, an ID embedding and company, which tells them from trained items and not from each other. An artifact without
texts ranks them by their scores. docs/results/tried.md has what was compared.
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


def by_texts(neighbours: Neighbours, histories: Sequence[NDArray[np.integer]], items: NDArray[np.integer]) -> Floats:
    """`by_text` for histories of item indices, each with the cold `items` [n]: [histories, n]. Zero without texts."""
    config = neighbours.configs.get("alike")
    if config is None:
        return np.zeros((len(histories), len(items)), np.float32)
    bags = neighbours.bags[items]
    return np.stack([by_text(neighbours.bags[history], bags, config) for history in histories])
