"""Neighbours as tensors of an artifact, and back, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from model.config import NeighbourKind
from model.manifest import Manifest
from model.neighbours import Lists, Neighbours, unit
from model.store import ArtifactError

_TEXTS = "alike.texts"


def neighbour_tensors(neighbours: Neighbours) -> dict[str, NDArray[Any]]:
    """`<kind>.offsets`, `.items` and `.weights` of each kind; `alike.texts` in half precision, the largest by far."""
    out: dict[str, NDArray[Any]] = {}
    for kind, lists in neighbours.lists.items():
        out |= {f"{kind}.{name}": np.ascontiguousarray(value) for name, value in lists._asdict().items()}
    if "alike" in neighbours.configs:
        out[_TEXTS] = neighbours.texts.astype(np.float16)
    return out


def read_neighbours(data: bytes, manifest: Manifest, where: Path) -> Neighbours:
    """The neighbours that the manifest describes; raises ArtifactError that names the tensor that does not fit."""
    try:
        found = safetensors.numpy.load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(f"{where}: is not a safetensors file: {error}") from error
    n_items = manifest.n_items
    lists = {kind: _lists(found, kind, n_items, where) for kind in manifest.neighbours}
    texts = np.empty((0, 0), np.float32)
    if "alike" in manifest.neighbours:
        half = _tensor(found, _TEXTS, np.float16, where, (n_items, manifest.text_encoder.dim))
        if not np.isfinite(half).all():
            raise ArtifactError(f"{where}: tensor {_TEXTS!r} holds NaN or infinity")
        texts = unit(half.astype(np.float32))
    if found:
        raise ArtifactError(f"{where}: tensor {min(found)!r} is unexpected")
    return Neighbours(n_items, manifest.neighbours, lists, texts)


def _lists(found: dict[str, NDArray[Any]], kind: NeighbourKind, n_items: int, where: Path) -> Lists:
    offsets = _tensor(found, f"{kind}.offsets", np.int64, where, (n_items + 1,))
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ArtifactError(f"{where}: tensor '{kind}.offsets' does not rise from 0")
    items = _tensor(found, f"{kind}.items", np.int32, where, (int(offsets[-1]),))
    if len(items) and not (items.min() >= 0 and items.max() < n_items):
        raise ArtifactError(f"{where}: tensor '{kind}.items' names items beyond the catalogue's {n_items}")
    weights = _tensor(found, f"{kind}.weights", np.float32, where, (int(offsets[-1]),))
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ArtifactError(f"{where}: tensor '{kind}.weights' holds values that are not positive numbers")
    return Lists(offsets, items, weights)


def _tensor(
    found: dict[str, NDArray[Any]], name: str, dtype: type[np.generic], where: Path, shape: tuple[int, ...]
) -> NDArray[Any]:
    """Take a tensor out of `found`; what is left there in the end is unexpected."""
    if name not in found:
        raise ArtifactError(f"{where}: tensor {name!r} is missing")
    tensor = found.pop(name)
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ArtifactError(
            f"{where}: tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, expected {np.dtype(dtype)} {list(shape)}"
        )
    return tensor
