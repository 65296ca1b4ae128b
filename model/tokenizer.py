"""The hybrid item tokenizer: text embedding → latent → semantic ID → hybrid embedding [semantic ‖ ID]."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.chunks import row_chunks
from model.config import TokenizerConfig
from model.quantizer import Quantized, ResidualQuantizer

COLD = -1
"""The item index of an item that training never saw; it has no ID embedding."""

_CELLS = 2**24  # cosines of cold with trained items in memory at once: 64 MiB


class Tokens(NamedTuple):
    """codes [n, levels] int64: the semantic IDs. error [n]: quantization error, squared distance latent to ẑ."""

    codes: Tensor
    error: Tensor


class TrainedItems(NamedTuple):
    """items [m] int64: the items with a trained ID embedding. directions [m, D2]: their ẑ, scaled to length 1."""

    items: Tensor
    directions: Tensor


class HybridTokenizer(nn.Module):
    """Turns item texts into semantic IDs, and items into hybrid embeddings.

    `n_items` is the number of items with an ID embedding of their own (item_index 0 … n_items − 1).
    """

    def __init__(self, config: TokenizerConfig, n_items: int) -> None:
        super().__init__()
        self.config = config
        self.n_items = n_items
        if config.has_semantic:
            widths = (config.text_dim, *config.hidden, config.semantic_dim)
            self.encoder = _mlp(widths)
            # torch's default for a linear layer shrinks the signal threefold. With latents that small, the codewords of
            # the later levels are smaller than the optimiser's step, and they die. The decoder starts small on purpose:
            # large reconstruction errors at the start would tear the new codebooks apart.
            for layer in self.encoder:
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight)
                    nn.init.zeros_(layer.bias)
            self.decoder = _mlp(widths[::-1])
            self.quantizer = ResidualQuantizer(config.metrics, config.codebook_size, config.semantic_dim)
        if config.has_id:
            self.id_embeddings = nn.Embedding(n_items, config.id_dim)
            nn.init.normal_(self.id_embeddings.weight, std=0.02)
            if config.cold_policy in ("learned", "neighbour"):
                self.cold_vector = nn.Parameter(torch.zeros(config.id_dim))
            elif config.cold_policy == "predicted" and config.has_semantic:
                self.cold_predictor = nn.Linear(config.semantic_dim, config.id_dim)

    @property
    def dim(self) -> int:
        return self.config.dim

    def encode(self, text_embeddings: Tensor) -> Tensor:
        """Latents [n, D2] of text embeddings [n, T]."""
        latent: Tensor = self.encoder(text_embeddings)
        return latent

    def decode(self, semantic: Tensor) -> Tensor:
        """Reconstructed text embeddings [n, T] of semantic embeddings [n, D2]."""
        text: Tensor = self.decoder(semantic)
        return text

    def quantize(self, text_embeddings: Tensor) -> Quantized:
        """Encode and quantize text embeddings [n, T] with gradients and losses, for training."""
        quantized: Quantized = self.quantizer(self.encode(text_embeddings))
        return quantized

    @torch.no_grad()
    def tokenize(self, text_embeddings: Tensor) -> Tokens:
        """Semantic IDs of text embeddings [n, T], for export and serving, of warm and cold items."""
        return Tokens(*self.quantizer.encode(self.encode(text_embeddings)))

    def semantic_embeddings(self, codes: Tensor) -> Tensor:
        """Semantic embeddings ẑ [..., D2] of semantic IDs [..., levels]."""
        return self.quantizer.lookup(codes)

    def embed_items(self, semantic: Tensor | None, item_index: Tensor) -> Tensor:
        """Hybrid embeddings [..., D] of items: only this function joins the two halves.

        semantic: [..., D2], or None for the token type "id". item_index: [...] int64, `COLD` for an item without an
        ID embedding. Training and serving use it for histories and candidates. Raises ValueError where `semantic` is
        missing.
        """
        halves: list[Tensor] = []
        if self.config.has_semantic:
            if semantic is None:
                raise ValueError(f"semantic: needed for the token type {self.config.tokens!r}")
            halves.append(semantic)
        if self.config.has_id:
            halves.append(self._id_half(semantic, item_index))
        return torch.cat(halves, dim=-1)

    def borrow(self, semantic: Tensor | None, item_index: Tensor, trained: TrainedItems | None) -> Tensor:
        """Item indices [n] in which the trained item nearest by cosine of ẑ [n, D2] replaces COLD.

        Under the policy "neighbour" a cold item gets that item's ID embedding beside its own semantic half. Under any
        other policy, or without a trained item, the indices are returned unchanged. An average over more neighbours was
        worse (Beauty and demo hold-outs): it shrinks the ID half to the part that all items share.
        """
        cold = item_index == COLD
        if self.config.cold_policy != "neighbour" or semantic is None or trained is None or not self.config.has_id:
            return item_index
        if not cold.any() or not len(trained.items):
            return item_index
        directions = F.normalize(semantic[cold], dim=-1)
        chunks = row_chunks(len(directions), len(trained.items), _CELLS)
        nearest = torch.cat([(directions[rows] @ trained.directions.T).argmax(dim=-1) for rows in chunks])
        out = item_index.clone()
        out[cold] = trained.items[nearest]
        return out

    def trained_items(self, semantic: Tensor, trained: Tensor) -> TrainedItems:
        """The items that `borrow` chooses from. semantic [n_items, D2]: a catalogue's ẑ. trained: [n_items] bool."""
        index = trained.nonzero().squeeze(-1)
        return TrainedItems(index, F.normalize(semantic[index], dim=-1))

    def _id_half(self, semantic: Tensor | None, item_index: Tensor) -> Tensor:
        own = F.embedding(item_index.clamp_min(0), self.id_embeddings.weight)
        cold = item_index == COLD
        if not cold.any():
            return own
        return torch.where(cold.unsqueeze(-1), self._cold_half(semantic), own)

    def _cold_half(self, semantic: Tensor | None) -> Tensor:
        """The stand-in for the ID embedding of a cold item, [D1] or [..., D1], by the configured policy."""
        policy = self.config.cold_policy
        if policy in ("learned", "neighbour"):
            # "neighbour" learns this vector too. Training masks items with it, and a catalogue without trained items
            # needs it. Otherwise `borrow` has replaced COLD by a trained item.
            return self.cold_vector
        if policy == "mean":
            return self.id_embeddings.weight.mean(dim=0)
        if policy == "predicted" and semantic is not None:
            # From ẑ, not from the latent: the artifact keeps nothing of an item's text but its semantic ID.
            predicted: Tensor = self.cold_predictor(semantic)
            return predicted
        return self.id_embeddings.weight.new_zeros(self.config.id_dim)


def _mlp(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for index, (width_in, width_out) in enumerate(pairwise(widths)):
        if index:
            layers.append(nn.ReLU())
        layers.append(nn.Linear(width_in, width_out))
    return nn.Sequential(*layers)
