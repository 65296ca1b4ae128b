"""What the tests of artifacts share: copies to damage, and the manifest's hash put right after the damage."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from torch import Tensor

from model.artifact import Artifact
from model.manifest import MANIFEST
from model.store import SEAL, resolve_current, seal


def copy_of(root: Path, to: Path) -> Path:
    """A copy of the artifact root `root` at `to`; returns the folder of its current version."""
    shutil.copytree(root, to)
    return resolve_current(to)


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest in place, and the seal with it."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    edit(manifest)
    write_manifest(folder, json.dumps(manifest).encode())


def write_manifest(folder: Path, raw: bytes) -> None:
    """Replace the manifest, and seal it."""
    (folder / MANIFEST).write_bytes(raw)
    (folder / SEAL).write_bytes(seal(raw))


def rewrite(folder: Path, name: str, data: bytes) -> None:
    """Replace a file and state its new size and hash in the manifest: only the content can give it away now."""
    (folder / name).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    edit_manifest(folder, lambda manifest: manifest["files"].__setitem__(name, entry))


def edit_tensors(folder: Path, name: str, edit: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the tensors of a safetensors file in place and fix up the manifest."""
    tensors = safetensors.torch.load((folder / name).read_bytes())
    edit(tensors)
    rewrite(folder, name, safetensors.torch.save(tensors))


def borrowed(artifact: Artifact, semantic: NDArray[np.float32]) -> NDArray[np.float32]:
    """The ID half [D1] that an item with ẑ `semantic` [D2] borrows under the policy "neighbour", one by one."""
    config = artifact.manifest.tokenizer
    assert config.cold_policy == "neighbour"
    catalogue = artifact.catalogue_embeddings()[:, : config.semantic_dim].astype(np.float64)
    cosines = catalogue @ semantic / np.linalg.norm(catalogue, axis=1)
    cosines[artifact.items.cold] = -np.inf
    # Items that share a semantic ID are equally near; the artifact takes the first, up to float32's rounding.
    nearest = int(np.flatnonzero(cosines > cosines.max() - 1e-6)[0])
    return np.asarray(artifact.tokenizer.id_embeddings.weight[nearest].detach().numpy())
