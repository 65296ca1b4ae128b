"""ID embeddings that say as much as training knows: drawn to the cold vector where an item was met but a few times.

An item that was a target twice is a negative a thousand times, and its ID embedding learns little else; in the sampled
protocol such items fared worse than items training never saw. Shrunk by n / (n + κ), the estimate of a mean from n
observations with a prior worth κ of them, it starts as a cold item and earns its own embedding.

A matter of training alone: the shrunk embeddings are what is exported.
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
        # In a tuple, so that it is not registered here too: it is the tokenizer's, and a checkpoint holds it once.
        self._cold = (cold,)

    def forward(self, own: Tensor) -> Tensor:
        cold = self._cold[0]
        return own * self.share if cold is None else torch.lerp(cold.expand_as(own), own, self.share.expand_as(own))


def shrink(tokenizer: HybridTokenizer, popularity: Tensor, strength: float) -> None:
    """Shrink the ID embeddings of items with `popularity` [n_items] training interactions by κ = `strength` > 0."""
    cold = tokenizer.cold_vector if "cold_vector" in tokenizer._parameters else None
    parametrize.register_parametrization(tokenizer.id_embeddings, "weight", Shrunk(popularity, strength, cold))


def make_permanent(tokenizer: HybridTokenizer) -> None:
    """Make the shrunk ID embeddings the tokenizer's own; nothing happens where none are shrunk."""
    if tokenizer.config.has_id and parametrize.is_parametrized(tokenizer.id_embeddings, "weight"):
        parametrize.remove_parametrizations(tokenizer.id_embeddings, "weight", leave_parametrized=True)
