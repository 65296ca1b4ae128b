"""Histories through the recommender in NumPy, those that wait together as one: what requests of the service need.

For the few short histories of one moment torch spends its time on finding its kernels, not in them. The arithmetic is
`model.recommender`'s, and a test holds the two together; one history alone is left to `model.single`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from model.recommender import Block, SequenceRecommender
from model.single import Floats, SingleQuery, _array, _gelu, _Linear, _linear, _Norm, _norm

# Histories are padded to the longest of a panel, which is at most this much longer than its shortest.
_STRETCH = 1.5
_SLACK = 2


class _Block(NamedTuple):
    heads: int
    query: _Linear  # its products with keys are scaled already
    key_value: _Linear
    all: _Linear  # query and key_value in one
    out: _Linear
    attention_norm: _Norm
    widen: _Linear
    narrow: _Linear
    feed_forward_norm: _Norm

    def __call__(self, hidden: Floats, histories: int, mask: Floats) -> Floats:
        """hidden [histories · length, dim] → the same shape. mask [length, length]: what a token may read."""
        dim = hidden.shape[-1]
        parts = self.all(hidden).reshape(histories, -1, 3, self.heads, dim // self.heads)
        query, key, value = parts.transpose(2, 0, 3, 1, 4)
        return self._rest(hidden, _mix(query, key, value, mask))

    def last(self, hidden: Floats, lengths: NDArray[np.int64], mask: Floats) -> Floats:
        """hidden [histories · length, dim] → [histories, dim]: for the last token of each history alone.

        mask [histories, 1, 1, length]: what of its padded history it may read.
        """
        histories, dim = len(lengths), hidden.shape[-1]
        reading = hidden.reshape(histories, -1, dim)[np.arange(histories), lengths - 1]
        query = self.query(reading).reshape(histories, self.heads, 1, -1)
        parts = self.key_value(hidden).reshape(histories, -1, 2, self.heads, dim // self.heads)
        key, value = parts.transpose(2, 0, 3, 1, 4)
        return self._rest(reading, _mix(query, key, value, mask))

    def _rest(self, reading: Floats, read: Floats) -> Floats:
        hidden = self.attention_norm(reading + self.out(read))
        return self.feed_forward_norm(hidden + self.narrow(_gelu(self.widen(hidden))))


class Queries:
    """Query vectors of histories; weights are copied, so that the recommender may go on changing."""

    def __init__(self, recommender: SequenceRecommender) -> None:
        self._single = SingleQuery(recommender)
        self._positions = _array(recommender.positions)
        self._norm = _norm(recommender.norm)
        self._blocks = [_block(cast(Block, block)) for block in recommender.blocks]
        longest = recommender.config.max_length
        self._causal = np.triu(np.full((longest, longest), -np.inf, np.float32), 1)
        places = np.arange(longest)
        self._ending = np.where(places < places[:, None] + 1, np.float32(0), np.float32(-np.inf))

    def __call__(self, vectors: Floats, histories: Sequence[Sequence[int]]) -> Floats:
        """Query vectors [b, D] of histories of rows of `vectors` [n, D], oldest first, none empty; of long ones the
        latest items are read.
        """
        longest = len(self._positions)
        out = np.empty((len(histories), vectors.shape[1]), np.float32)
        for panel in _panels([min(len(history), longest) for history in histories]):
            out[panel] = self._panel(vectors, [histories[at][-longest:] for at in panel])
        return out

    def _panel(self, vectors: Floats, histories: Sequence[Sequence[int]]) -> Floats:
        if len(histories) == 1:
            return self._single(vectors[histories[0]])[None]
        lengths = np.array([len(history) for history in histories])
        length = int(lengths.max())
        rows = np.zeros((len(histories), length), np.int64)
        for place, history in enumerate(histories):
            rows[place, : len(history)] = history
        hidden: Floats = (vectors[rows] + self._positions[:length]).reshape(-1, vectors.shape[1])
        hidden = self._norm(hidden)
        causal = self._causal[:length, :length]
        for block in self._blocks[:-1]:
            hidden = block(hidden, len(histories), causal)
        ending = self._ending[lengths - 1, None, None, :length]
        return self._blocks[-1].last(hidden, lengths, ending)


def _panels(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Which histories are computed together, by their lengths. Raises ValueError for an empty one."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    if order and lengths[order[0]] < 1:
        raise ValueError("histories: an empty history has no query vector")
    begin = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or lengths[order[end]] > _STRETCH * lengths[order[begin]] + _SLACK:
            yield order[begin:end]
            begin = end


def _mix(query: Floats, key: Floats, value: Floats, mask: Floats) -> Floats:
    """Attention of query [b, heads, q, d] to key and value [b, heads, length, d]: [b · q, heads · d]."""
    weights: Floats = query @ key.transpose(0, 1, 3, 2)
    weights += mask
    weights -= np.maximum.reduce(weights, axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= np.add.reduce(weights, axis=-1, keepdims=True)
    mixed: Floats = np.matmul(weights, value).transpose(0, 2, 1, 3)
    return mixed.reshape(-1, mixed.shape[2] * mixed.shape[3])


def _joined(first: _Linear, second: _Linear) -> _Linear:
    """Two linear maps of the same input side by side."""
    weight = np.concatenate([first.weight, second.weight], axis=1)
    return _Linear(weight, np.concatenate([first.bias, second.bias]))


def _block(block: Block) -> _Block:
    dim = block.query.in_features
    scale = np.float32(1 / math.sqrt(dim // block.heads))
    query, key_value = _linear(block.query), _linear(block.key_value)
    query = _Linear(query.weight * scale, query.bias * scale)
    return _Block(
        block.heads,
        query,
        key_value,
        _joined(query, key_value),
        _linear(block.out),
        _norm(block.attention_norm),
        _linear(block.widen),
        _linear(block.narrow),
        _norm(block.feed_forward_norm),
    )
