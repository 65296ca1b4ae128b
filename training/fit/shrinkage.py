"""Shrinkage of ID embeddings: an item with few training interactions stays near the cold vector.

An item that is a target twice is a negative a thousand times, and its ID embedding learns little else. In the sampled
protocol such items scored worse than items that training never saw. Shrinking by n / (n + κ), the estimate of a mean
from n observations and a prior worth κ of them, lets an item start cold and earn its own embedding.

Only training knows of this: we export the shrunk embeddings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from model.tokenizer import HybridTokenizer


class Shrunk(nn.Module):
    """Parametrization of ID embeddings [n_items, D1]: share · own + (1 − share) · cold vector, or zero for None."""

    share: Tensor

    def __init__(self, popularity: Tensor, strength: float, cold: nn.Parameter | None) -> None:
        super().__init__()
        known = popularity.float()
        self.register_buffer("share", (known / (known + strength)).unsqueeze(-1), persistent=False)
        # A tuple keeps the module from registering the tokenizer's vector a second time; a checkpoint holds it once.
        self._cold = (cold,)

    def forward(self, own: Tensor) -> Tensor:
        cold = self._cold[0]
        return own * self.share if cold is None else torch.lerp(cold.expand_as(own), own, self.share.expand_as(own))


def shrink(tokenizer: HybridTokenizer, popularity: Tensor, strength: float) -> None:
    """Shrink the ID embeddings of items with `popularity` [n_items] training interactions by κ = `strength` > 0."""
    cold = tokenizer.cold_vector if "cold_vector" in tokenizer._parameters else None
    parametrize.register_parametrization(tokenizer.id_embeddings, "weight", Shrunk(popularity, strength, cold))


def make_permanent(tokenizer: HybridTokenizer) -> None:
    """Make the shrunk ID embeddings the tokenizer's own parameters; does nothing if none are shrunk."""
    if tokenizer.config.has_id and parametrize.is_parametrized(tokenizer.id_embeddings, "weight"):
        parametrize.remove_parametrizations(tokenizer.id_embeddings, "weight", leave_parametrized=True)
