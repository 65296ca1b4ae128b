"""Random negatives, the losses over pairs, and histories of one length as dense tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.packing import pack
from training.datasets.base import Indices
from training.evaluate.splits import Split, training_popularity
from training.fit.objective import draw_others


class Negatives(nn.Module):
    """Draws items of the training sequences uniformly. Other items would only learn to be unwanted.

    candidates: [n] item indices.
    """

    candidates: Tensor

    def __init__(self, split: Split, n_items: int) -> None:
        super().__init__()
        trained = np.flatnonzero(training_popularity(split, n_items))
        if len(trained) < 2:
            raise ValueError("data: training has one item only, so there is no negative to draw")
        self.register_buffer("candidates", torch.from_numpy(trained), persistent=False)

    def draw(self, targets: Tensor, count: int) -> Tensor:
        """Negatives [*, count] for targets [*]; none equals its own target."""
        return draw_others(self.candidates, targets, count)


def bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of targets [*] against the average of their negatives [*, count]; [*]."""
    return F.softplus(-positive) + F.softplus(negative).mean(-1)


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking (arXiv 1205.2618): −log σ(positive − negative), averaged over negatives; [*]."""
    return F.softplus(negative - positive.unsqueeze(-1)).mean(-1)


def by_length(histories: Sequence[Indices], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Group histories by length: yields (their positions [n], their items [n, length]), the shortest first."""
    order, runs = pack([len(history) for history in histories])
    start = 0
    for run in runs:
        members = order[start : start + run.histories]
        start += run.histories
        items = np.stack([histories[member] for member in members]).astype(np.int64)
        yield torch.tensor(members, device=device), torch.from_numpy(items).to(device)
