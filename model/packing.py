"""Packed histories: one behind another without padding, the shortest first, so that equal lengths lie together.

Histories of one length are a *run*, and a run is a plain dense tensor. All else in the recommender works token by
token; attention alone needs histories of one length. Most histories are short and a few very long: with padding to the
longest of a batch, half of the work would be on nothing, and with a computation for each run, most of the time would go
on starting computations. So attention reads a few *panels*: runs of similar length, padded to the longest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

# A panel takes runs on while they are at most this much longer than its first. Measured on training steps (Beauty):
# from 1.25 to 2 all the same, without a limit half as long again, a run each twice as long.
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
    """order: which history comes where, by length, equal lengths as given. runs: what they form."""

    order: list[int]
    runs: Runs


def pack(lengths: Sequence[int]) -> Packing:
    """How histories of these lengths are packed. Raises ValueError for an empty one: it has no token."""
    # Plain Python: for the one history of a request, NumPy's sorting would take longer than a layer of the recommender.
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    if order and lengths[order[0]] < 1:
        raise ValueError("histories: an empty history has no query vector")
    kinds = groupby(order, key=lengths.__getitem__)
    return Packing(order, tuple(Run(sum(1 for _ in members), length) for length, members in kinds))


class Panel(NamedTuple):
    """Runs of similar length, each history padded at its end to `length`.

    tokens: real ones. spread: [histories · length] int64, which token lies at each place; at a place behind the end of
    a history its last one, which a causal reader never sees. kept: [tokens] int64, the places of the real ones. Both
    are None where nothing is padded.
    """

    histories: int
    length: int
    tokens: int
    spread: Tensor | None
    kept: Tensor | None


def panels_of(runs: Runs, device: torch.device) -> list[Panel]:
    """The panels that runs form, shortest first."""
    groups: list[list[Run]] = []
    for run in runs:
        if groups and run.length <= _STRETCH * groups[-1][0].length + _SLACK:
            groups[-1].append(run)
        else:
            groups.append([run])
    return [_panel(group, device) for group in groups]


def _panel(runs: list[Run], device: torch.device) -> Panel:
    histories, tokens, length = sum(run.histories for run in runs), sum(run.tokens for run in runs), runs[-1].length
    if len(runs) == 1:
        return Panel(histories, length, tokens, None, None)
    lengths = torch.cat([torch.full((run.histories, 1), run.length) for run in runs])
    first = lengths.cumsum(0) - lengths
    place = torch.arange(length)
    spread = (first + place.minimum(lengths - 1)).flatten()
    kept = (place < lengths).flatten().nonzero().squeeze(-1)
    return Panel(histories, length, tokens, spread.to(device), kept.to(device))
