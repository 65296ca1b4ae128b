"""The sequence recommender: a history of hybrid embeddings → one query vector; score = query · item embedding.

Self-attention after SASRec (arXiv 1808.09781) in the form of S3-Rec: post-norm blocks with GELU. Histories come packed
(`model.packing`), with hardly any padding and with no mask but the causal one.
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
    """Causal self-attention and a feed-forward layer, each followed by dropout, a residual path and LayerNorm."""

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

        The other tokens only give keys and values.
        """
        reading = _last_tokens(hidden, runs)
        return self._rest(reading, self._attend_last(self.query(reading), self.key_value(hidden), runs))

    def _rest(self, reading: Tensor, read: Tensor) -> Tensor:
        """The block behind its attention: `read` is the attention of the tokens `reading`, both [n, dim]."""
        hidden = self.attention_norm(reading + self._drop(self.out(read)))
        wide = self.narrow(F.gelu(self.widen(hidden)))
        normed: Tensor = self.feed_forward_norm(hidden + self._drop(wide))
        return normed

    def _attend(self, query: Tensor, key_value: Tensor, panels: Sequence[Panel]) -> Tensor:
        """The attention of each token to its own history up to itself, [tokens, dim]."""
        sizes = [panel.tokens for panel in panels]
        out = []
        for asked, read, panel in zip(torch.split(query, sizes), torch.split(key_value, sizes), panels, strict=True):
            if panel.pad_index is not None:
                # index_select, since its gradient is summed in parallel, unlike that of [ ].
                asked, read = asked.index_select(0, panel.pad_index), read.index_select(0, panel.pad_index)
            mixed = self._mix(asked, read, panel.histories, causal=True)
            out.append(mixed if panel.unpad_index is None else mixed.index_select(0, panel.unpad_index))
        return _join(out)

    def _attend_last(self, query: Tensor, key_value: Tensor, runs: Runs) -> Tensor:
        """The attention of one query for each history to all its tokens, [histories, dim]."""
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
    """Transformer over a history of hybrid embeddings; its last state is the query vector."""

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__()
        self.config = config
        # Position 0 is the first item that the recommender reads. So a prefix of a history looks exactly like a shorter
        # history, and every position of a training sequence is a training sample.
        self.positions = nn.Embedding(config.max_length, config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=1e-12)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.apply(_initialise)

    def forward(self, history: Tensor, runs: Runs) -> Tensor:
        """Hidden states [tokens, dim] of packed histories [tokens, dim]; state t has read items 0 … t of its history.

        Raises ValueError for a history longer than `max_length`.
        """
        return self._states(history, runs, last=False)

    def query(self, history: Tensor, runs: Runs) -> Tensor:
        """Query vectors [histories, dim] of packed histories [tokens, dim]: `forward` at the last token of each."""
        return self._states(history, runs, last=True)

    def _positions_of(self, run: Run) -> Tensor:
        """Position embeddings of a run, [tokens, dim]."""
        first = self.positions.weight[: run.length]
        return first if run.histories == 1 else first.repeat(run.histories, 1)

    def _states(self, history: Tensor, runs: Runs, last: bool) -> Tensor:
        longest = max(run.length for run in runs)
        if longest > self.config.max_length:
            raise ValueError(f"history: {longest} items, at most {self.config.max_length} are read; keep the latest")
        hidden: Tensor = self.norm(history + _join([self._positions_of(run) for run in runs]))
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
    # A history alone is one run; to copy it takes as long as the addition that follows.
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _initialise(module: nn.Module) -> None:
    """Normal(0, 0.02) weights and zero biases, as in the published code of SASRec and BERT."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
