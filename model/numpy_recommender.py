"""The recommender's forward pass in NumPy: query vectors of the few short histories that a service has at a moment.

For these torch spends its time on finding its kernels, not in them; NumPy takes less than half of it. The arithmetic is
`model.recommender`'s, and tests hold the two together. One history is computed by itself; several of similar length are
padded to one panel (`model.packing`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from model.packing import by_length, panel_slices
from model.recommender import Block, SequenceRecommender

Floats = NDArray[np.float32]

_P = np.float32(0.3275911 * math.sqrt(0.5))
_A = tuple(map(np.float32, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))


class NumpyRecommender:
    """A copy of a recommender's weights; the recommender may change afterwards."""

    def __init__(self, recommender: SequenceRecommender) -> None:
        longest = recommender.config.max_length
        self._positions = np.array(recommender.positions.weight.detach().numpy())
        self._norm = _norm(recommender.norm)
        self._blocks = [_block(cast(Block, block)) for block in recommender.blocks]
        self._causal = np.triu(np.full((longest, longest), -np.inf, np.float32), 1)  # added to attention weights

    def query(self, history: Floats) -> Floats:
        """The query vector [D] of one history of hybrid embeddings [length, D], oldest first.

        The history is not empty, and no longer than the recommender reads.
        """
        states = self._last_states(history, 1, slice(-1, None), None)
        return states.reshape(-1)

    def queries(self, vectors: Floats, histories: Sequence[Sequence[int]]) -> Floats:
        """Query vectors [b, D] of histories of rows of `vectors` [n, D], oldest first.

        Of a long history the latest items are read. Raises ValueError for an empty one.
        """
        longest = len(self._positions)
        latest = [history[-longest:] for history in histories]
        lengths = [len(history) for history in latest]
        order = by_length(lengths)
        out = np.empty((len(histories), vectors.shape[1]), np.float32)
        for part in panel_slices([lengths[at] for at in order]):
            members = order[part]
            out[members] = self._panel(vectors, [latest[at] for at in members])
        return out

    def _panel(self, vectors: Floats, histories: Sequence[Sequence[int]]) -> Floats:
        """Query vectors [b, D] of histories of similar length, the longest last."""
        if len(histories) == 1:
            return self.query(vectors[histories[0]])[None]
        lengths = np.array([len(history) for history in histories])
        length = len(histories[-1])
        rows = np.zeros((len(histories), length), np.int64)  # padded at the end with row 0, which nothing reads
        for at, history in enumerate(histories):
            rows[at, : len(history)] = history
        last = np.arange(len(histories)) * length + lengths - 1
        return self._last_states(vectors[rows], len(histories), last, self._causal[lengths - 1, None, None, :length])

    def _last_states(
        self, tokens: Floats, histories: int, last: slice | NDArray[np.int64], readable: Floats | None
    ) -> Floats:
        """States [histories, D] of the last tokens of histories padded to one length, [..., length, D].

        last: where these tokens lie among all tokens. readable [histories, 1, 1, length]: 0 for the tokens of a
        history, −inf for padding; None without padding.
        """
        length = tokens.shape[-2]
        hidden = self._norm((tokens + self._positions[:length]).reshape(-1, tokens.shape[-1]))
        causal = self._causal[:length, :length]
        for block in self._blocks[:-1]:
            hidden = block(hidden, histories, causal)
        return self._blocks[-1].last(hidden, histories, last, readable)


class _Linear(NamedTuple):
    weight: Floats  # [in, out]
    bias: Floats

    def __call__(self, value: Floats) -> Floats:
        out: Floats = value @ self.weight
        out += self.bias
        return out


class _Norm(NamedTuple):
    weight: Floats
    bias: Floats
    eps: float

    def __call__(self, value: Floats) -> Floats:
        share = np.float32(1 / value.shape[-1])  # `mean` is Python, and takes longer than the sum
        centred = value - np.add.reduce(value, axis=-1, keepdims=True) * share
        variance = np.add.reduce(np.square(centred), axis=-1, keepdims=True) * share
        centred /= np.sqrt(variance + np.float32(self.eps))
        centred *= self.weight
        centred += self.bias
        return np.asarray(centred)


class _Block(NamedTuple):
    heads: int
    query: _Linear
    key_value: _Linear
    out: _Linear
    attention_norm: _Norm
    widen: _Linear
    narrow: _Linear
    feed_forward_norm: _Norm

    def __call__(self, hidden: Floats, histories: int, causal: Floats) -> Floats:
        """hidden [histories · length, D] → the same shape. causal [length, length]: −inf above the diagonal."""
        return self._read(hidden, hidden, histories, causal)

    def last(self, hidden: Floats, histories: int, last: slice | NDArray[np.int64], readable: Floats | None) -> Floats:
        """hidden [histories · length, D] → [histories, D]: `__call__` for the last tokens alone; see `_last_states`."""
        return self._read(hidden[last], hidden, histories, readable)

    def _read(self, reading: Floats, hidden: Floats, histories: int, mask: Floats | None) -> Floats:
        """The states of the tokens `reading` [histories · q, D] after they read `hidden` [histories · length, D]."""
        query = self.query(reading).reshape(histories, -1, self.heads, reading.shape[-1] // self.heads)
        key_value = self.key_value(hidden).reshape(histories, -1, 2, self.heads, query.shape[-1])
        key, value = key_value.transpose(2, 0, 3, 1, 4)
        read = _attention(query.transpose(0, 2, 1, 3), key, value, mask)
        state = self.attention_norm(reading + self.out(read))
        return self.feed_forward_norm(state + self.narrow(_gelu(self.widen(state))))


def _attention(query: Floats, key: Floats, value: Floats, mask: Floats | None) -> Floats:
    """Attention of query [b, heads, q, d] to key and value [b, heads, length, d]: [b · q, heads · d]."""
    weights: Floats = query @ key.transpose(0, 1, 3, 2)
    weights *= np.float32(1 / math.sqrt(query.shape[-1]))
    if mask is not None:
        weights += mask
    # The ufuncs themselves: `max` and `sum` are Python around them.
    weights -= np.maximum.reduce(weights, axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= np.add.reduce(weights, axis=-1, keepdims=True)
    mixed: Floats = np.matmul(weights, value).transpose(0, 2, 1, 3)
    return mixed.reshape(-1, mixed.shape[2] * mixed.shape[3])


def _gelu(value: Floats) -> Floats:
    """x · Φ(x), to single precision.

    1 − erf by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26 (off by 1.5e-7 at most). NumPy has no
    error function, Python's takes as long as a block for ten tokens, and torch's twice as long as this.
    """
    size = np.abs(value)
    t = np.reciprocal(size * _P + np.float32(1))
    rest: Floats = t * _A[0]
    for coefficient in _A[1:]:
        rest += coefficient
        rest *= t
    rest *= np.exp(np.square(size) * np.float32(-0.5))
    out: Floats = np.maximum(value, 0) - np.float32(0.5) * size * rest
    return out


def _linear(module: nn.Linear) -> _Linear:
    return _Linear(np.array(module.weight.detach().numpy().T, order="C"), np.array(module.bias.detach().numpy()))


def _norm(module: nn.LayerNorm) -> _Norm:
    return _Norm(np.array(module.weight.detach().numpy()), np.array(module.bias.detach().numpy()), module.eps)


def _block(block: Block) -> _Block:
    return _Block(
        block.heads,
        _linear(block.query),
        _linear(block.key_value),
        _linear(block.out),
        _norm(block.attention_norm),
        _linear(block.widen),
        _linear(block.narrow),
        _norm(block.feed_forward_norm),
    )
