"""One history through the recommender in NumPy: what a request of the service needs.

For a single short history torch spends its time on finding its kernels, not in them; NumPy takes less than half of it.
The arithmetic is `model.recommender`'s, and a test holds the two together.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from model.recommender import Block, SequenceRecommender

Floats = NDArray[np.float32]

_P = np.float32(0.3275911 * math.sqrt(0.5))
_A = tuple(map(np.float32, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))


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
    causal: Floats  # [max_length, max_length], −inf above the diagonal

    def __call__(self, hidden: Floats, last: bool) -> Floats:
        """hidden [length, dim] → [length, dim], or [1, dim] for the last token alone."""
        reading = hidden[-1:] if last else hidden
        length, dim = hidden.shape
        query = self.query(reading).reshape(len(reading), self.heads, -1).transpose(1, 0, 2)
        key, value = self.key_value(hidden).reshape(length, 2, self.heads, -1).transpose(1, 2, 0, 3)
        weights = query @ key.transpose(0, 2, 1)  # [heads, reading, length]
        weights *= np.float32(1 / math.sqrt(dim // self.heads))
        if not last:
            weights += self.causal[:length, :length]
        # The ufuncs themselves: `max` and `sum` are Python around them.
        weights = np.exp(weights - np.maximum.reduce(weights, axis=-1, keepdims=True))
        weights /= np.add.reduce(weights, axis=-1, keepdims=True)
        mixed = (weights @ value).transpose(1, 0, 2).reshape(len(reading), dim)
        hidden = self.attention_norm(reading + self.out(mixed))
        return self.feed_forward_norm(hidden + self.narrow(_gelu(self.widen(hidden))))


class SingleQuery:
    """The query vector of one history; weights are copied, so that the recommender may go on changing."""

    def __init__(self, recommender: SequenceRecommender) -> None:
        self._positions = _array(recommender.positions)
        self._norm = _norm(recommender.norm)
        longest = recommender.config.max_length
        causal = np.triu(np.full((longest, longest), -np.inf, np.float32), 1)
        self._blocks = [_block(cast(Block, block), causal) for block in recommender.blocks]

    def __call__(self, history: Floats) -> Floats:
        """Query vector [D] of a history of hybrid embeddings [length, D], no longer than the recommender reads."""
        hidden = self._norm(history + self._positions[: len(history)])
        for place, block in enumerate(self._blocks, start=1):
            hidden = block(hidden, last=place == len(self._blocks))
        query: Floats = hidden[-1]
        return query


def _gelu(value: Floats) -> Floats:
    """x · Φ(x), to single precision.

    1 − erf by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26 (off by 1.5e-7 at most): NumPy has no
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


def _array(module: nn.Embedding) -> Floats:
    return np.array(module.weight.detach().numpy())


def _linear(module: nn.Linear) -> _Linear:
    return _Linear(np.array(module.weight.detach().numpy().T, order="C"), np.array(module.bias.detach().numpy()))


def _norm(module: nn.LayerNorm) -> _Norm:
    return _Norm(np.array(module.weight.detach().numpy()), np.array(module.bias.detach().numpy()), module.eps)


def _block(block: Block, causal: Floats) -> _Block:
    return _Block(
        block.heads,
        _linear(block.query),
        _linear(block.key_value),
        _linear(block.out),
        _norm(block.attention_norm),
        _linear(block.widen),
        _linear(block.narrow),
        _norm(block.feed_forward_norm),
        causal,
    )
