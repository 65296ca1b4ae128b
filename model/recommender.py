"""The sequence recommender: a history of hybrid embeddings → one query vector; score = query · item embedding.

Self-attention after SASRec (arXiv 1808.09781) in the form S3-Rec gave it: post-norm blocks with GELU. Histories come
packed (`model.packing`): hardly any padding, and no mask but the causal one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import RecommenderConfig
from model.dropout import dropout
from model.packing import Panel, Run, Runs, panels_of


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each with dropout, a residual path and LayerNorm behind it."""

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.query = nn.Linear(config.dim, config.dim)
        self.key_value = nn.Linear(config.dim, 2 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.attention_norm = nn.LayerNorm(config.dim, eps=1e-12)
        self.widen = nn.Linear(config.dim, config.feed_forward * config.dim)
        self.narrow = nn.Linear(config.feed_forward * config.dim, config.dim)
        self.feed_forward_norm = nn.LayerNorm(config.dim, eps=1e-12)

    def forward(self, hidden: Tensor, panels: Sequence[Panel]) -> Tensor:
        """hidden [tokens, dim] → [tokens, dim]; a token reads itself and those before it in its history."""
        return self._rest(hidden, self._attend(self.query(hidden), self.key_value(hidden), panels))

    def last(self, hidden: Tensor, runs: Runs) -> Tensor:
        """hidden [tokens, dim] → [histories, dim]: `forward` for the last token of each history alone.

        Of the other tokens, keys and values are all that is needed.
        """
        reading = _last_tokens(hidden, runs)
        return self._rest(reading, self._attend_last(self.query(reading), self.key_value(hidden), runs))

    def _rest(self, reading: Tensor, read: Tensor) -> Tensor:
        """What follows attention: `read` is what the tokens `reading` found, both [n, dim]."""
        hidden = self.attention_norm(reading + self._drop(self.out(read)))
        wide = self.narrow(F.gelu(self.widen(hidden)))
        normed: Tensor = self.feed_forward_norm(hidden + self._drop(wide))
        return normed

    def _attend(self, query: Tensor, key_value: Tensor, panels: Sequence[Panel]) -> Tensor:
        """What each token reads of its own history up to itself, [tokens, dim]."""
        sizes = [panel.tokens for panel in panels]
        out = []
        for asked, read, panel in zip(torch.split(query, sizes), torch.split(key_value, sizes), panels, strict=True):
            if panel.pad_index is not None:
                # index_select rather than [ ]: its gradient adds up in parallel.
                asked, read = asked.index_select(0, panel.pad_index), read.index_select(0, panel.pad_index)
            mixed = self._mix(asked, read, panel.histories, causal=True)
            out.append(mixed if panel.unpad_index is None else mixed.index_select(0, panel.unpad_index))
        return _join(out)

    def _attend_last(self, query: Tensor, key_value: Tensor, runs: Runs) -> Tensor:
        """What one query a history, [histories, dim], reads of all its tokens."""
        asked = torch.split(query, [run.histories for run in runs])
        memories = torch.split(key_value, [run.tokens for run in runs])
        pairs = zip(asked, memories, runs, strict=True)
        return _join([self._mix(one, read, run.histories, causal=False) for one, read, run in pairs])

    def _mix(self, asked: Tensor, read: Tensor, histories: int, causal: bool) -> Tensor:
        """Attention of `asked` [histories · queries, dim] to `read` [histories · length, 2 · dim], like `asked`."""
        query = asked.view(histories, -1, self.heads, asked.shape[-1] // self.heads).transpose(1, 2)
        key, value = read.view(histories, -1, 2, self.heads, query.shape[-1]).permute(2, 0, 3, 1, 4).unbind(0)
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate, is_causal=causal)
        return mixed.transpose(1, 2).reshape(asked.shape)

    def _drop(self, value: Tensor) -> Tensor:
        return dropout(value, self.dropout) if self.training else value


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

    def forward(self, history: Tensor, runs: Runs) -> Tensor:
        """Hidden states [tokens, dim] of packed histories [tokens, dim]; state t has read the items 0 … t of its own.

        Raises ValueError for a history longer than `max_length`.
        """
        return self._states(history, runs, last=False)

    def query(self, history: Tensor, runs: Runs) -> Tensor:
        """Query vectors [histories, dim] of packed histories [tokens, dim]: `forward` at the last token of each."""
        return self._states(history, runs, last=True)

    def _places(self, run: Run) -> Tensor:
        """Position embeddings of a run, [tokens, dim]."""
        first = self.positions.weight[: run.length]
        return first if run.histories == 1 else first.repeat(run.histories, 1)

    def _states(self, history: Tensor, runs: Runs, last: bool) -> Tensor:
        longest = max(run.length for run in runs)
        if longest > self.config.max_length:
            raise ValueError(f"history: {longest} items, at most {self.config.max_length} are read; keep the latest")
        hidden: Tensor = self.norm(history + _join([self._places(run) for run in runs]))
        if self.training:
            hidden = dropout(hidden, self.config.dropout)
        early = self.blocks[: -1 if last else None]
        panels = panels_of(runs, hidden.device) if len(early) else []
        for block in early:
            hidden = block(hidden, panels)
        return cast(Block, self.blocks[-1]).last(hidden, runs) if last else hidden


def _last_tokens(tokens: Tensor, runs: Runs) -> Tensor:
    """The last token of each history, [histories, dim], of tokens [tokens, dim]."""
    parts = torch.split(tokens, [run.tokens for run in runs])
    return _join([part.view(run.histories, run.length, -1)[:, -1] for part, run in zip(parts, runs, strict=True)])


def _join(parts: list[Tensor]) -> Tensor:
    # A request of the service is one run, and a copy of it would take as long as the addition that follows.
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _initialise(module: nn.Module) -> None:
    """Normal(0, 0.02) weights and zero biases, as SASRec's and BERT's published code."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
