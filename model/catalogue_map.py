"""The map of a catalogue: a position in two dimensions for every item.

Nearness is all that the map shows; directions and distances mean nothing. `training.export.catalogue_map` makes it.
This module reads and writes its file in an artifact, and gives new items a position.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.chunks import row_chunks
from model.store import ArtifactError

_NEAREST = 5
_CELLS = 8_000_000  # cosines computed at once, to bound memory
_POSITIONS = "positions"

Floats = NDArray[np.float32]


def interpolate(vectors: Floats, known: Floats, positions: Floats) -> Floats:
    """Positions [m, 2] of new `vectors` [m, D]: the mean position of each one's five nearest by cosine.

    known [n, D]: the vectors at positions [n, 2]; at least one. A vector of zeros is near nothing and gets the mean of
    all positions.
    """
    out = np.empty((len(vectors), 2), np.float32)
    count = min(_NEAREST, len(known))
    # Divide by the lengths afterwards, so as not to copy a large catalogue. The lengths of `vectors` change no order.
    lengths = np.sqrt(np.einsum("nd,nd->n", known, known))
    lengths[lengths == 0] = 1
    for part in row_chunks(len(vectors), len(known), _CELLS):
        cosines = vectors[part] @ known.T
        cosines /= lengths
        nearest = np.argpartition(cosines, -count, axis=1)[:, -count:]
        out[part] = positions[nearest].mean(axis=1)
    out[~vectors.any(axis=1)] = positions.mean(axis=0)
    return out


def write_map(positions: Floats) -> bytes:
    """The content of the map's file for positions [n_items, 2]."""
    return safetensors.numpy.save({_POSITIONS: np.ascontiguousarray(positions, np.float32)})


def read_map(tensors: Mapping[str, Tensor], n_items: int, where: Path) -> Floats:
    """Positions [n_items, 2] from the tensors of the file `where`. Raises ArtifactError that names a wrong tensor."""
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
