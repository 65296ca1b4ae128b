"""Full ranking and sampled-99 of a trained tokenizer and recommender.

Full ranking scores every item of the catalogue, except the items of the history; the target always stays. Sampled-99,
the protocol of the paper, scores the target against 99 random items that the user never interacted with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.chunks import row_chunks
from model.neighbours import Neighbours
from model.packing import pack
from model.recommender import SequenceRecommender
from training.datasets.base import Indices
from training.evaluate.metrics import Ranks

CELLS = 2**26
"""Scores (users times items) in memory at a time: 256 MiB."""

Boosts: TypeAlias = Callable[[slice], Tensor]
"""Maps a slice of users to the scores that neighbours add, [users, items]."""


def boosts_of(neighbours: Neighbours, histories: Sequence[Indices], latest: int) -> Boosts | None:
    """Boosts by the `latest` items of each history; None if the model has no neighbours."""
    if not neighbours:
        return None
    return lambda users: torch.from_numpy(neighbours.boosts([history[-latest:] for history in histories[users]]))


@torch.no_grad()
def queries(
    recommender: SequenceRecommender, catalogue: Tensor, histories: Sequence[Indices], chunk: int = 256
) -> Tensor:
    """Query vectors [users, D] of histories of item indices, each with at least one; reads only the latest items."""
    recommender.eval()
    kept = [history[-recommender.config.max_length :] for history in histories]
    order, _ = pack([len(history) for history in kept])
    out = catalogue.new_empty(len(kept), catalogue.shape[1])
    for start in range(0, len(order), chunk):
        members = order[start : start + chunk]
        _, runs = pack([len(kept[member]) for member in members])
        tokens = torch.from_numpy(np.concatenate([kept[member] for member in members]).astype(np.int64))
        out[members] = recommender.query(catalogue[tokens.to(catalogue.device)], runs)
    return out


@torch.no_grad()
def full_ranks(
    query: Tensor,
    catalogue: Tensor,
    targets: NDArray[np.int64],
    histories: Sequence[Indices],
    boosts: Boosts | None = None,
    chunk: int = 512,
) -> Ranks:
    """Rank of each target among all items, without the user's history. query [users, D], catalogue [items, D].

    chunk: users to score at a time; fewer if the catalogue is large.
    """
    parts = []
    for part in row_chunks(len(query), len(catalogue), CELLS, chunk):
        scores = query[part] @ catalogue.T
        if boosts is not None:
            scores += boosts(part).to(scores.device)
        parts.append(catalogue_ranks(scores, targets[part], histories[part]))
    return join_ranks(parts)


@torch.no_grad()
def sampled_ranks(
    query: Tensor,
    catalogue: Tensor,
    targets: NDArray[np.int64],
    negatives: NDArray[np.int64],
    boosts: Boosts | None = None,
    chunk: int = 512,
) -> Ranks:
    """Rank of each target among itself and its negatives [users, 99]."""
    parts = []
    candidates = torch.from_numpy(np.concatenate([targets[:, None], negatives], axis=1)).to(query.device)
    # Boosts come as whole rows of the catalogue.
    columns = len(catalogue) if boosts is not None else candidates.shape[1]
    for part in row_chunks(len(query), columns, CELLS, chunk):
        scores = torch.bmm(catalogue[candidates[part]], query[part].unsqueeze(-1)).squeeze(-1)
        if boosts is not None:
            scores += boosts(part).to(scores.device).gather(1, candidates[part])
        parts.append(candidate_ranks(scores))
    return join_ranks(parts)


def catalogue_ranks(scores: Tensor, targets: NDArray[np.int64], histories: Sequence[Indices]) -> Ranks:
    """Rank of each target by scores [users, items]. Masks the histories in `scores` itself, but never a target."""
    aim = torch.from_numpy(targets).to(scores.device).unsqueeze(-1)
    target_scores = scores.gather(1, aim)
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    scores[torch.from_numpy(rows), torch.from_numpy(np.concatenate(histories).astype(np.int64))] = float("-inf")
    scores.scatter_(1, aim, target_scores)
    greater = (scores > target_scores).sum(1)
    ties = (scores == target_scores).sum(1) - 1
    return Ranks(greater.cpu().numpy(), ties.cpu().numpy())


def candidate_ranks(scores: Tensor) -> Ranks:
    """Rank of the first candidate by scores [users, candidates]."""
    greater = (scores[:, 1:] > scores[:, :1]).sum(1)
    ties = (scores[:, 1:] == scores[:, :1]).sum(1)
    return Ranks(greater.cpu().numpy(), ties.cpu().numpy())


def join_ranks(parts: Sequence[Ranks]) -> Ranks:
    """Join the ranks of consecutive chunks of users."""
    return Ranks(np.concatenate([part.greater for part in parts]), np.concatenate([part.ties for part in parts]))
