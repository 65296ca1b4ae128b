"""The map of a catalogue: a place in two dimensions for every item, made at export, and for new items beside them.

Only who is near whom has a meaning. `training.export.catalogue_map` makes the map; this module
has its file in an artifact, and the rule that places a new item on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.store import ArtifactError

_NEAREST = 5
_CELLS = 8_000_000  # cosines computed at once, to bound memory
_POSITIONS = "positions"

Floats = NDArray[np.float32]


def place(vectors: Floats, known: Floats, positions: Floats) -> Floats:
    """Places [m, 2] of `vectors` [m, D]: each in the middle of the places of its five nearest by cosine.

    known [n, D] lie at positions [n, 2]; n is one at least. A vector of zeros is near nothing, so it lies in the middle
    of all.
    """
    out = np.empty((len(vectors), 2), np.float32)
    count = min(_NEAREST, len(known))
    # Lengths are divided by afterwards, so that a large catalogue is not copied; those of `vectors` order nothing.
    lengths = np.sqrt(np.einsum("nd,nd->n", known, known))
    lengths[lengths == 0] = 1
    block = max(1, _CELLS // len(known))
    for start in range(0, len(vectors), block):
        cosines = vectors[start : start + block] @ known.T
        cosines /= lengths
        nearest = np.argpartition(cosines, -count, axis=1)[:, -count:]
        out[start : start + block] = positions[nearest].mean(axis=1)
    out[~vectors.any(axis=1)] = positions.mean(axis=0)
    return out


def write_map(positions: Floats) -> bytes:
    """The file of positions [n_items, 2]."""
    return safetensors.numpy.save({_POSITIONS: np.ascontiguousarray(positions, np.float32)})


def read_map(tensors: Mapping[str, Tensor], n_items: int, where: Path) -> Floats:
    """Positions [n_items, 2] from the tensors of the file `where`; raises ArtifactError that names the one that does
    not fit.
    """
    if _POSITIONS not in tensors:
        raise ArtifactError(f"{where}: tensor {_POSITIONS!r} is missing")
    if unknown := sorted(set(tensors) - {_POSITIONS}):
        raise ArtifactError(f"{where}: tensor {unknown[0]!r} is unexpected")
    positions = tensors[_POSITIONS]
    if positions.dtype != torch.float32 or positions.shape != (n_items, 2):
        raise ArtifactError(
            f"{where}: tensor {_POSITIONS!r} is {positions.dtype} {list(positions.shape)}, "
            f"expected torch.float32 {[n_items, 2]}"
        )
    if not torch.isfinite(positions).all():
        raise ArtifactError(f"{where}: tensor {_POSITIONS!r} holds NaN or infinity")
    return positions.numpy()
