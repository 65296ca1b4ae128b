"""The sampled protocol's negatives: 99 random items per user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.datasets.base import Dataset, Indices
from training.evaluate.splits import EvaluationCases

SAMPLED_NEGATIVES = 99
NEGATIVES_SEED = 0
NOT_SAMPLED = "some user has fewer than 99 items left to draw, so validation uses full_ndcg@10 instead of sampled_mrr"


def evaluation_negatives(dataset: Dataset, cases: EvaluationCases) -> NDArray[np.int64] | None:
    """Negatives [cases, 99], the same for every method, drawn for the users' whole sequences.

    None if some user has too few items left to draw.
    """
    sequences = [dataset.sequences[user] for user in cases.users]
    if not can_sample(sequences, dataset.n_items):
        return None
    return draw_negatives(sequences, dataset.n_items, NEGATIVES_SEED)


def can_sample(sequences: Sequence[Indices], n_items: int, count: int = SAMPLED_NEGATIVES) -> bool:
    """Whether every user has at least `count` of `n_items` items left to draw, as the sampled protocol needs."""
    # Compare the length first: it is cheap, and it settles all but the longest sequences.
    most = n_items - count
    return all(len(sequence) <= most or len(set(sequence.tolist())) <= most for sequence in sequences)


def draw_negatives(
    sequences: Sequence[Indices], n_items: int, seed: int, count: int = SAMPLED_NEGATIVES
) -> NDArray[np.int64]:
    """Draw `count` distinct items per user, none from the user's whole sequence; [users, count].

    Raises ValueError if a user has fewer than `count` items left to draw.
    """
    rng = np.random.default_rng(seed)
    out = np.empty((len(sequences), count), dtype=np.int64)
    for user, sequence in enumerate(sequences):
        touched = set(sequence.tolist())
        if n_items - len(touched) < count:
            raise ValueError(
                f"sampled protocol: user {user} touched {len(touched)} of {n_items} items, "
                f"fewer than {count} are left to draw; use full ranking instead (--protocol full)"
            )
        chosen: dict[int, None] = {}
        while len(chosen) < count:
            drawn = rng.integers(0, n_items, size=count + 16).tolist()
            chosen.update(dict.fromkeys(item for item in drawn if item not in touched))
        out[user] = list(chosen)[:count]
    return out
