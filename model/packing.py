"""Packed histories: one behind another without padding, the shortest first, so that equal lengths lie together.

Histories of one length are a *run*, and a run is a plain dense tensor. The recommender works token by token; attention
alone needs histories of one length. Most histories are short and a few are very long. Padding a batch to its longest
history would waste half of the work. A computation for each run would spend most of the time on starting computations.
So attention reads a few *panels*: runs of similar length, padded to the longest of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

# A panel takes lengths up to _STRETCH · its shortest + _SLACK. Measured on training steps (Beauty): stretches of 1.25
# to 2 take the same time, no limit half as much again, and a panel for each run twice as much.
_STRETCH = 1.5
_SLACK = 2


class Run(NamedTuple):
    """`histories` of `length` items each."""

    histories: int
    length: int

    @property
    def tokens(self) -> int:
        return self.histories * self.length


Runs = tuple[Run, ...]


class Packing(NamedTuple):
    """order: the histories' numbers, see `by_length`. runs: the runs of that order."""

    order: list[int]
    runs: Runs


def by_length(lengths: Sequence[int]) -> list[int]:
    """The numbers of histories of these lengths, shortest first, equal lengths as given.

    Raises ValueError for an empty history: it has no token.
    """
    # Plain Python: for the one history of a request, sorting with NumPy takes longer than a layer of the recommender.
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    if order and lengths[order[0]] < 1:
        raise ValueError("histories: an empty history has no query vector")
    return order


def pack(lengths: Sequence[int]) -> Packing:
    """How to pack histories of these lengths. Raises ValueError for an empty one."""
    order = by_length(lengths)
    equal = groupby(order, key=lengths.__getitem__)
    return Packing(order, tuple(Run(sum(1 for _ in members), length) for length, members in equal))


def panel_slices(lengths: Sequence[int]) -> Iterator[slice]:
    """The parts of ascending `lengths` that form one panel each, in order."""
    begin = 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or lengths[end] > _STRETCH * lengths[begin] + _SLACK:
            yield slice(begin, end)
            begin = end


class Panel(NamedTuple):
    """Runs of similar length, each history padded at its end to `length`.

    tokens: the number of real ones. pad_index [histories · length] int64: the token for each padded position; behind
    the end of a history its last token, which a causal reader never sees. unpad_index [tokens] int64: the padded
    positions of the real tokens. Both are None where nothing is padded.
    """

    histories: int
    length: int
    tokens: int
    pad_index: Tensor | None
    unpad_index: Tensor | None


def panels_of(runs: Runs, device: torch.device) -> list[Panel]:
    """The panels that runs form, shortest first."""
    return [_panel(runs[part], device) for part in panel_slices([run.length for run in runs])]


def _panel(runs: Runs, device: torch.device) -> Panel:
    histories, tokens, length = sum(run.histories for run in runs), sum(run.tokens for run in runs), runs[-1].length
    if len(runs) == 1:
        return Panel(histories, length, tokens, None, None)
    lengths = torch.cat([torch.full((run.histories, 1), run.length) for run in runs])
    first = lengths.cumsum(0) - lengths
    position = torch.arange(length)
    pad_index = (first + position.minimum(lengths - 1)).flatten()
    unpad_index = (position < lengths).flatten().nonzero().squeeze(-1)
    return Panel(histories, length, tokens, pad_index.to(device), unpad_index.to(device))
