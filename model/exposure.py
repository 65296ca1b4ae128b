"""Places reserved for cold items, and the order of cold items among themselves.

A cold item competes by its text and mostly loses to items that really followed histories like this one. An operator who
wants new items seen reserves a share of the places for them: the exposure ε of TIGER (arXiv 2305.05065, section 4.4).
Trained items get the other places.

Among themselves, cold items are ranked by

    semantic half of the inner product + 12 · Σ_i decay^age(i) · cos(words_i, words_j)² + co-occurrence boost

over the items i of the history; the latest item has age 0. The ID embedding that cold items borrow sets them apart from
trained items, not from each other, so it is left out. Text similarity counts for more than in a score. An artifact
without texts ranks cold items by their scores. docs/results/tried.md compares the alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourConfig
from model.neighbours import Neighbours, decays
from model.postings import Floats
from model.words import Bags

_WEIGHT = 12.0


def reserved_places(share: float, k: int) -> int:
    """The places of k to keep for cold items, by their share 0 … 1; never more than the share."""
    return math.floor(share * k + 1e-9)  # .3 · 10 is a little less than 3


def text_boosts(history: Bags, items: Bags, config: NeighbourConfig) -> Floats:
    """The text term of the formula above for cold items, [n].

    history [length, words]: its bags, oldest first. items [n, words]. config: of the kind TEXT_SIMILARITY.
    """
    near = (items @ history.T).power(2)
    added: Floats = near @ (_WEIGHT * decays(config, history.shape[0])).astype(np.float32)
    return added


def cold_boosts(neighbours: Neighbours, histories: Sequence[NDArray[np.integer]], items: NDArray[np.integer]) -> Floats:
    """Both boosts of the formula above, [histories, n], for histories of item indices and the cold `items` [n].

    Raises KeyError for neighbours without TEXT_SIMILARITY.
    """
    bags = neighbours.bags[items]
    near = [text_boosts(neighbours.bags[history], bags, neighbours.configs[TEXT_SIMILARITY]) for history in histories]
    added: Floats = np.stack(near) + neighbours.only(CO_OCCURRENCE).boosts(histories)[:, items]
    return added
