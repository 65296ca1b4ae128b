"""The sequence recommender: a history of hybrid embeddings → one query vector; score = query · item embedding.

Self-attention after SASRec (arXiv 1808.09781) in the form S3-Rec gave it: post-norm blocks, GELU, a four-fold feed
forward layer. Histories are padded on the right: with causal attention no valid position ever sees padding, so no
padding mask is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import RecommenderConfig


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each with dropout, a residual path and LayerNorm behind it."""

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.attention_norm = nn.LayerNorm(config.dim, eps=1e-12)
        self.widen = nn.Linear(config.dim, 4 * config.dim)
        self.narrow = nn.Linear(4 * config.dim, config.dim)
        self.feed_forward_norm = nn.LayerNorm(config.dim, eps=1e-12)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [batch, length, dim] → [batch, length, dim]."""
        batch, length, dim = hidden.shape
        rate = self.dropout if self.training else 0.0
        query, key, value = self.qkv(hidden).view(batch, length, 3, self.heads, dim // self.heads).unbind(2)
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), dropout_p=rate, is_causal=True
        )
        mixed = self.out(mixed.transpose(1, 2).reshape(batch, length, dim))
        hidden = self.attention_norm(hidden + F.dropout(mixed, rate, self.training))
        wide = self.narrow(F.gelu(self.widen(hidden)))
        normed: Tensor = self.feed_forward_norm(hidden + F.dropout(wide, rate, self.training))
        return normed


class SequenceRecommender(nn.Module):
    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__()
        self.config = config
        # Position 0 is the first item that is read, so a prefix of a longer history looks to the model exactly as a
        # history of that length: every position of a training sequence is a training sample.
        self.positions = nn.Embedding(config.max_length, config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=1e-12)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.apply(_initialise)

    def forward(self, history: Tensor) -> Tensor:
        """Hidden states [batch, length, dim] of histories [batch, length, dim], padded on the right.

        State t has read items 0 … t. Raises ValueError for a length above `max_length`.
        """
        length = history.shape[1]
        if length > self.config.max_length:
            raise ValueError(f"history: {length} items, at most {self.config.max_length} are read; keep the latest")
        hidden: Tensor = self.norm(history + self.positions.weight[:length])
        hidden = F.dropout(hidden, self.config.dropout, self.training)
        for block in self.blocks:
            hidden = block(hidden)
        return hidden

    def query(self, history: Tensor, lengths: Tensor) -> Tensor:
        """Query vectors [batch, dim] of histories [batch, length, dim]; the first `lengths` [batch] items are real."""
        hidden = self(history)
        last: Tensor = hidden[torch.arange(hidden.shape[0], device=hidden.device), lengths - 1]
        return last


def _initialise(module: nn.Module) -> None:
    """Normal(0, 0.02) weights and zero biases, as SASRec's and BERT's published code."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
