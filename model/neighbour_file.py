"""The neighbour file of an artifact: written from `Neighbours`, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import scipy.sparse as sparse
from numpy.typing import NDArray
from safetensors import SafetensorError

from model.config import TEXT_SIMILARITY
from model.manifest import Manifest
from model.neighbours import Neighbours
from model.postings import PostingLists
from model.store import ArtifactError
from model.words import NO_WORDS, Bags, Words, stack

_VOCABULARY = "words.vocabulary"
_WEIGHTS = "words.weights"
_BAGS = "bags"


def neighbour_tensors(neighbours: Neighbours) -> dict[str, NDArray[Any]]:
    """The tensors of an artifact's neighbour file, by name.

    `<kind>.offsets`, `.items` and `.weights` of each kind. With TEXT_SIMILARITY also the catalogue's words as UTF-8,
    one a line, their weights, and `bags.offsets`, `.words` and `.weights`.
    """
    out: dict[str, NDArray[Any]] = {}
    for kind, lists in neighbours.lists.items():
        out |= {f"{kind}.{name}": np.ascontiguousarray(value) for name, value in lists._asdict().items()}
    if TEXT_SIMILARITY in neighbours.configs:
        bags = neighbours.bags
        out[_VOCABULARY] = np.frombuffer("\n".join(neighbours.words.vocabulary).encode(), np.uint8)
        out[_WEIGHTS] = np.asarray(neighbours.words.weights, np.float64)
        out[f"{_BAGS}.offsets"] = bags.indptr.astype(np.int64)
        out[f"{_BAGS}.words"] = bags.indices.astype(np.int32)
        out[f"{_BAGS}.weights"] = bags.data.astype(np.float32)
    return out


def read_neighbours(data: bytes, manifest: Manifest, where: Path) -> Neighbours:
    """The neighbours that the manifest describes. Raises ArtifactError that names the tensor at fault."""
    try:
        found = safetensors.numpy.load(data)
    except KeyError as error:  # bfloat16 and the like, which NumPy lacks
        raise ArtifactError(f"{where}: a tensor is of the type {error.args[0]}, which no neighbour file has") from error
    except (SafetensorError, ValueError) as error:
        raise ArtifactError(f"{where}: is not a safetensors file: {error}") from error
    n_items = manifest.n_items
    lists = {kind: _lists(found, kind, "items", n_items, n_items, where) for kind in manifest.neighbours}
    words, bags = NO_WORDS, stack([], 0)
    if TEXT_SIMILARITY in manifest.neighbours:
        words = _words(found, where)
        bags = _bags(found, n_items, len(words), where)
    if found:
        raise ArtifactError(f"{where}: tensor {min(found)!r} is unexpected")
    return Neighbours(n_items, manifest.neighbours, lists, words, bags)


def _words(found: dict[str, NDArray[Any]], where: Path) -> Words:
    text = _tensor(found, _VOCABULARY, np.uint8, where, None)
    try:
        vocabulary = text.tobytes().decode().split("\n") if len(text) else []
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{where}: tensor {_VOCABULARY!r} is not UTF-8") from error
    if len(set(vocabulary)) < len(vocabulary):
        raise ArtifactError(f"{where}: tensor {_VOCABULARY!r} names a word twice")
    weights = _tensor(found, _WEIGHTS, np.float64, where, (len(vocabulary),))
    _check_positive(weights, _WEIGHTS, where)
    return Words(vocabulary, weights)


def _bags(found: dict[str, NDArray[Any]], n_items: int, n_words: int, where: Path) -> Bags:
    offsets, words, weights = _lists(found, _BAGS, "words", n_items, n_words, where)
    bags: Bags = sparse.csr_matrix((weights, words, offsets), shape=(n_items, n_words))
    lengths = np.sqrt(np.asarray(bags.power(2).sum(1)).ravel())
    if not np.isclose(lengths[np.diff(offsets) > 0], 1, atol=1e-3).all():
        raise ArtifactError(f"{where}: tensor '{_BAGS}.weights' holds rows that are not of length 1")
    return bags


def _lists(found: dict[str, NDArray[Any]], kind: str, name: str, n_rows: int, bound: int, where: Path) -> PostingLists:
    """The lists of `kind`, [n_rows] of them, of numbers below `bound`; the tensor `<kind>.<name>` has the numbers."""
    offsets = _tensor(found, f"{kind}.offsets", np.int64, where, (n_rows + 1,))
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ArtifactError(f"{where}: tensor '{kind}.offsets' does not rise from 0")
    listed = _tensor(found, f"{kind}.{name}", np.int32, where, (int(offsets[-1]),))
    if len(listed) and not (listed.min() >= 0 and listed.max() < bound):
        raise ArtifactError(f"{where}: tensor '{kind}.{name}' names {name} beyond the catalogue's {bound}")
    weights = _tensor(found, f"{kind}.weights", np.float32, where, (int(offsets[-1]),))
    _check_positive(weights, f"{kind}.weights", where)
    return PostingLists(offsets, listed, weights)


def _check_positive(values: NDArray[Any], name: str, where: Path) -> None:
    if not (np.isfinite(values) & (values > 0)).all():
        raise ArtifactError(f"{where}: tensor {name!r} holds values that are not positive numbers")


def _tensor(
    found: dict[str, NDArray[Any]], name: str, dtype: type[np.generic], where: Path, shape: tuple[int, ...] | None
) -> NDArray[Any]:
    """Take a tensor out of `found`, so that unexpected ones are left. shape: None for one dimension of any length."""
    if name not in found:
        raise ArtifactError(f"{where}: tensor {name!r} is missing")
    tensor = found.pop(name)
    expected = tensor.shape[:1] if shape is None else shape
    if tensor.dtype != dtype or tensor.shape != expected:
        raise ArtifactError(
            f"{where}: tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, "
            f"expected {np.dtype(dtype)} {list(expected)}"
        )
    return tensor
