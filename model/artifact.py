"""The artifact: everything that training hands to the service, in one immutable folder. `model/store.py` has the files.

Evaluation and service load the same artifact and embed items by the same `embed_items`. So the service answers with
the model that was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from model.catalogue_map import read_map, write_map
from model.item_table import ItemTable
from model.items import Item
from model.manifest import (
    CARD,
    EVALUATION,
    GOLDEN,
    ITEMS,
    MANIFEST,
    MAP,
    NEIGHBOURS,
    RECOMMENDER,
    TEXT_ENCODER,
    TOKENIZER,
    Manifest,
)
from model.neighbour_file import neighbour_tensors, read_neighbours
from model.neighbours import Neighbours, TextNeighbours
from model.numpy_recommender import NumpyRecommender
from model.packing import pack
from model.recommender import SequenceRecommender
from model.store import ArtifactError, current_name, read_version, resolve_current, set_current, write_version
from model.text import TextEncoder, build_text_encoder
from model.tokenizer import COLD, HybridTokenizer, TrainedItems

__all__ = ["Artifact", "ArtifactError", "NewItems", "current_name", "resolve_current", "set_current"]

_ERROR_QUANTILES = "error_quantiles"


@dataclass(frozen=True, eq=False)
class NewItems:
    """Items tokenized from their text. codes [n, levels] int64, embeddings [n, D] float32, error [n] float32.

    neighbours: of each item, by its text; empty where the artifact has none.
    """

    codes: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    error: NDArray[np.float32]
    neighbours: list[TextNeighbours]


@dataclass(eq=False)
class Artifact:
    """A loaded artifact.

    error_quantiles [101] float32: percentiles of the quantization error over the training items. golden, evaluation:
    the content of these files. positions [n_items, 2] float32: the map of the catalogue, None for an artifact without
    one. path: the folder of the version.
    """

    manifest: Manifest
    tokenizer: HybridTokenizer
    recommender: SequenceRecommender
    text_encoder: TextEncoder
    neighbours: Neighbours
    items: ItemTable
    error_quantiles: NDArray[np.float32]
    golden: bytes
    evaluation: bytes | None = None
    path: Path | None = None
    positions: NDArray[np.float32] | None = None

    @property
    def version(self) -> str:
        return self.manifest.version

    @torch.inference_mode()
    def catalogue_embeddings(self) -> NDArray[np.float32]:
        """Hybrid embeddings of the catalogue in index order, [n_items, D]; items that training never saw are cold."""
        index = np.where(self.items.cold, COLD, np.arange(len(self.items)))
        return self._embed(self.items.codes, index)

    @torch.inference_mode()
    def encode_new(self, items: Sequence[Item], item_index: Sequence[int] | None = None) -> NewItems:
        """Tokenize and embed items from their text.

        item_index: for each item its index in the catalogue, or COLD; COLD for all by default. An item with an index
        keeps its ID embedding under the new text, if that was trained.
        """
        index = np.full(len(items), COLD) if item_index is None else np.array(item_index, dtype=np.int64)
        # A catalogue item whose ID embedding was never trained is as cold as a new item.
        known = index != COLD
        index[known] = np.where(self.items.cold[index[known]], COLD, index[known])
        config = self.manifest.tokenizer
        codes = np.zeros((len(items), config.levels if config.has_semantic else 0), dtype=np.int64)
        error = np.zeros(len(items), dtype=np.float32)
        texts = [item.to_text() for item in items]
        if config.has_semantic and items:
            tokens = self.tokenizer.tokenize(torch.from_numpy(self.text_encoder.encode(texts)))
            codes, error = tokens.codes.numpy(), tokens.error.numpy()
        return NewItems(codes, self._embed(codes, index), error, self.neighbours.of_texts(texts))

    @torch.inference_mode()
    def query(self, histories: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Query vectors [n, D] of histories of hybrid embeddings [length, D], oldest first.

        The recommender reads the latest items of a history that is too long for it. Raises ValueError for an empty one.
        """
        kept = [history[-self.recommender.config.max_length :] for history in histories]
        if len(kept) == 1 and len(kept[0]):
            return self._numpy_recommender.query(kept[0])[None]
        order, runs = pack([len(history) for history in kept])
        tokens = np.concatenate([kept[at] for at in order])
        out = np.empty((len(kept), tokens.shape[1]), np.float32)
        out[order] = self.recommender.query(torch.from_numpy(tokens), runs).numpy()
        return out

    def error_percentile(self, error: NDArray[np.float32]) -> NDArray[np.float32]:
        """The percentage of training items with a smaller quantization error, 0 … 100, for each of `error` [n].

        It is 0 for an artifact without semantic IDs, which quantizes nothing.
        """
        if not self.manifest.tokenizer.has_semantic:
            return np.zeros(len(error), np.float32)
        percent = np.arange(len(self.error_quantiles), dtype=np.float32)
        return np.interp(error, self.error_quantiles, percent).astype(np.float32)

    @cached_property
    def _numpy_recommender(self) -> NumpyRecommender:
        return NumpyRecommender(self.recommender)

    @cached_property
    def _trained(self) -> TrainedItems | None:
        """The catalogue's trained items, from which cold items may borrow an ID embedding."""
        if not self.manifest.tokenizer.has_semantic:
            return None
        semantic = self.tokenizer.semantic_embeddings(torch.from_numpy(self.items.codes))
        return self.tokenizer.trained_items(semantic, torch.from_numpy(~self.items.cold))

    def _embed(self, codes: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.float32]:
        semantic, items = None, torch.from_numpy(index)
        if self.manifest.tokenizer.has_semantic:
            semantic = self.tokenizer.semantic_embeddings(torch.from_numpy(codes))
            items = self.tokenizer.borrow(semantic, items, self._trained)
        return self.tokenizer.embed_items(semantic, items).numpy()

    def save(self, root: Path, card: str) -> Path:
        """Write a new version below `root`, make it current and return its folder. card: the text of its README."""
        tokenizer = _tensors(self.tokenizer) | {_ERROR_QUANTILES: torch.from_numpy(self.error_quantiles)}
        files = {
            TOKENIZER: safetensors.torch.save(tokenizer),
            RECOMMENDER: safetensors.torch.save(_tensors(self.recommender)),
            TEXT_ENCODER: safetensors.torch.save(self.text_encoder.state()),
            NEIGHBOURS: safetensors.numpy.save(neighbour_tensors(self.neighbours)),
            ITEMS: self.items.to_parquet(),
            GOLDEN: self.golden,
            CARD: card.encode(),
        }
        if self.evaluation is not None:
            files[EVALUATION] = self.evaluation
        if self.positions is not None:
            files[MAP] = write_map(self.positions)
        return write_version(root, self.manifest, files)

    @classmethod
    def load(cls, path: Path) -> Artifact:
        """Load and verify the version folder `path`, or the current version of the root `path`.

        Raises ArtifactError that names the file, tensor or field at fault. Every check comes before any use.
        """
        folder = resolve_current(path)
        manifest, files = read_version(folder)
        config = manifest.tokenizer
        if manifest.recommender.dim != config.dim:
            raise ArtifactError(
                f"{folder}: the recommender reads {manifest.recommender.dim} dimensions, "
                f"the tokenizer gives {config.dim}"
            )
        tokenizer, recommender = _without_weights(manifest, folder)
        weights = _read_tensors(folder / TOKENIZER, files[TOKENIZER])
        quantiles = weights.pop(_ERROR_QUANTILES, torch.empty(0))
        if quantiles.shape != (101,) or quantiles.dtype != torch.float32:
            raise ArtifactError(f"{folder / TOKENIZER}: tensor {_ERROR_QUANTILES!r} is missing or not float32 [101]")
        if not torch.isfinite(quantiles).all():
            raise ArtifactError(f"{folder / TOKENIZER}: tensor {_ERROR_QUANTILES!r} holds NaN or infinity")
        _load_strictly(tokenizer, weights, folder / TOKENIZER)
        _load_strictly(recommender, _read_tensors(folder / RECOMMENDER, files[RECOMMENDER]), folder / RECOMMENDER)
        return cls(
            manifest=manifest,
            tokenizer=tokenizer,
            recommender=recommender,
            text_encoder=_load_text_encoder(
                manifest, _read_tensors(folder / TEXT_ENCODER, files[TEXT_ENCODER]), folder
            ),
            neighbours=read_neighbours(files[NEIGHBOURS], manifest, folder / NEIGHBOURS),
            items=ItemTable.from_parquet(
                files[ITEMS],
                where=str(folder / ITEMS),
                n_items=manifest.n_items,
                levels=config.levels if config.has_semantic else 0,
                codebook_size=config.codebook_size,
            ),
            error_quantiles=quantiles.numpy(),
            golden=files[GOLDEN],
            evaluation=files.get(EVALUATION),
            path=folder,
            positions=_read_positions(files, manifest, folder / MAP),
        )


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def _read_tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{path}: is not a safetensors file: {error}") from error


def _read_positions(files: Mapping[str, bytes], manifest: Manifest, path: Path) -> NDArray[np.float32] | None:
    return read_map(_read_tensors(path, files[MAP]), manifest.n_items, path) if MAP in files else None


class _NoInitialisation(TorchFunctionMode):
    """Leaves new parameters uninitialised. On the meta device, random numbers have no use, but drawing them imports
    torch's compiler: two seconds of a service's start.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__ or func in (Tensor.normal_, Tensor.uniform_):
            return None  # no caller uses the result
        return func(*args, **(kwargs or {}))


def _without_weights(manifest: Manifest, folder: Path) -> tuple[HybridTokenizer, SequenceRecommender]:
    """The modules without values, on torch's meta device: to refuse a manifest with absurd sizes takes no memory."""
    try:
        with torch.device("meta"), _NoInitialisation():
            return HybridTokenizer(manifest.tokenizer, manifest.n_items), SequenceRecommender(manifest.recommender)
    except (RuntimeError, TypeError) as error:
        raise ArtifactError(f"{folder / MANIFEST}: sizes that no tensor can have: {error}") from error


def _load_strictly(module: nn.Module, found: Mapping[str, Tensor], path: Path) -> None:
    expected = module.state_dict()
    if missing := sorted(set(expected) - set(found)):
        raise ArtifactError(f"{path}: tensor {missing[0]!r} is missing")
    if unknown := sorted(set(found) - set(expected)):
        raise ArtifactError(f"{path}: tensor {unknown[0]!r} is unexpected")
    for name, tensor in sorted(found.items()):
        want = expected[name]
        if tensor.shape != want.shape or tensor.dtype != want.dtype:
            raise ArtifactError(
                f"{path}: tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, "
                f"expected {want.dtype} {list(want.shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise ArtifactError(f"{path}: tensor {name!r} holds NaN or infinity")
    module.load_state_dict(found, assign=True)
    module.eval()
    module.requires_grad_(False)


def _load_text_encoder(manifest: Manifest, state: Mapping[str, Tensor], folder: Path) -> TextEncoder:
    entry = manifest.text_encoder
    try:
        encoder = build_text_encoder(entry.spec, state)
    except (ValueError, KeyError, ImportError, OSError) as error:
        raise ArtifactError(f"{folder / TEXT_ENCODER}: {error}") from error
    if encoder.dim != entry.dim or entry.dim != manifest.tokenizer.text_dim:
        raise ArtifactError(
            f"{folder / TEXT_ENCODER}: gives {encoder.dim} dimensions, "
            f"the tokenizer reads {manifest.tokenizer.text_dim}"
        )
    if encoder.fingerprint != entry.fingerprint:
        raise ArtifactError(f"{folder / TEXT_ENCODER}: is not the text encoder that the artifact was trained with")
    return encoder
