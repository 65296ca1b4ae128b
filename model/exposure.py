"""Places reserved for cold items, and which of them get these.

A cold item competes by its text, and most often loses to items that really followed histories like this one. Who wants
new items seen reserves a share of the places for them: the exposure ε of TIGER (arXiv 2305.05065, section 4.4). The
other places go to trained items.

Among themselves, cold items are ranked by

    semantic half of the inner product + 8 · Σ_i decay^age(i) · max(0, cos(text_i, text_j))²

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

_WEIGHT = 8.0


def reserved_places(share: float, k: int) -> int:
    """How many of k places are kept for cold items at most, by their share 0 … 1: never more than the share."""
    return math.floor(share * k + 1e-9)  # .3 · 10 is a little less than 3


def by_text(history: Floats, items: Floats, config: NeighbourConfig) -> Floats:
    """What the texts of a history add to the semantic halves of inner products with cold items, [n].

    history: text embeddings [length, T], oldest first; items: [n, T]; all of length 1, or 0. config: of the kind
    `alike`.
    """
    near = np.maximum(history @ items.T, 0)
    added: Floats = (_WEIGHT * decays(config, len(history)).astype(np.float32)) @ np.square(near)
    return added


def by_texts(neighbours: Neighbours, histories: Sequence[NDArray[np.integer]], items: NDArray[np.integer]) -> Floats:
    """`by_text` for histories of item indices, each with the cold `items` [n]: [histories, n]. Zero without texts."""
    config = neighbours.configs.get("alike")
    if config is None:
        return np.zeros((len(histories), len(items)), np.float32)
    texts = neighbours.texts[items]
    return np.stack([by_text(neighbours.texts[history], texts, config) for history in histories])
