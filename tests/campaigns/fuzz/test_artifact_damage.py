"""An artifact damaged at random, in every way that we could think of: refused by its name, never used.

KINDRED_DAMAGES says how many damages are tried; `make fuzz` tries 10,000. Each is drawn from its own seed, which a
failure names.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from model.artifact import Artifact, ArtifactError
from model.golden import check_golden
from model.manifest import GOLDEN, ITEMS, MANIFEST, MAP, NEIGHBOURS, RECOMMENDER, TEXT_ENCODER, TOKENIZER
from model.store import CURRENT, SEAL, resolve_current
from tests.support.artifacts import edit_manifest, rewrite
from tests.support.service import make_artifact, make_items

DAMAGES = int(os.environ.get("KINDRED_DAMAGES", "300"))
WEIGHTS = (TOKENIZER, RECOMMENDER, TEXT_ENCODER, NEIGHBOURS, MAP)
ESCAPES = ("../other/v1", "..", ".", "/etc", "v1/../v1", "v1/", "v1\0", "", "a" * 300, "v2", "-v1", "v1\nv1")

Random = np.random.Generator


def pick(rng: Random, folder: Path) -> Path:
    names = sorted(path.name for path in folder.iterdir())
    return folder / names[rng.integers(len(names))]


def flip_a_bit(rng: Random, folder: Path) -> None:
    path = pick(rng, folder)
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def flip_many_bytes(rng: Random, folder: Path) -> None:
    path = pick(rng, folder)
    data = bytearray(path.read_bytes())
    for at in rng.integers(len(data), size=1 + rng.integers(64)):
        data[at] ^= 1 + int(rng.integers(255))
    if bytes(data) == path.read_bytes():
        data[0] ^= 1
    path.write_bytes(data)


def cut(rng: Random, folder: Path) -> None:
    path = pick(rng, folder)
    data = path.read_bytes()
    path.write_bytes(data[: rng.integers(len(data))])


def lengthen(rng: Random, folder: Path) -> None:
    path = pick(rng, folder)
    path.write_bytes(path.read_bytes() + rng.bytes(1 + int(rng.integers(100))))


def swap_two(rng: Random, folder: Path) -> None:
    one, other = pick(rng, folder), pick(rng, folder)
    while other == one:
        other = pick(rng, folder)
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)


def take_one_from_another_artifact(rng: Random, folder: Path) -> None:
    """The other has the same shapes throughout."""
    other = resolve_current(folder.parent.parent / "other")
    names = [path.name for path in sorted(folder.iterdir()) if path.read_bytes() != (other / path.name).read_bytes()]
    assert {TOKENIZER, RECOMMENDER, ITEMS, GOLDEN, MANIFEST, SEAL} <= set(names)
    name = names[rng.integers(len(names))]
    shutil.copyfile(other / name, folder / name)


def remove(rng: Random, folder: Path) -> None:
    pick(rng, folder).unlink()


def add(rng: Random, folder: Path) -> None:
    (folder / f"{rng.integers(10**6)}.pkl").write_bytes(rng.bytes(8))


def link(rng: Random, folder: Path) -> None:
    path = pick(rng, folder)
    aside = folder.parent / "aside"
    path.rename(aside)
    path.symlink_to(aside)


def point_current_elsewhere(rng: Random, folder: Path) -> None:
    (folder.parent / CURRENT).write_text(ESCAPES[rng.integers(len(ESCAPES))], encoding="utf-8")


def list_a_file_outside(rng: Random, folder: Path) -> None:
    outside = ("../aside", "/etc/hostname", "sub/file", "..", "tokenizer.pkl", "")[rng.integers(6)]

    def edit(manifest: dict[str, dict[str, object]]) -> None:
        files = manifest["files"]
        files[outside] = files.pop(sorted(files)[rng.integers(len(files))]) if rng.random() < 0.5 else files[TOKENIZER]

    edit_manifest(folder, edit)


def state_another_size(rng: Random, folder: Path) -> None:
    """Of the model, sealed like an honest manifest: the weights must give it away."""
    places = [
        ("n_items",),
        *(("tokenizer", name) for name in ("text_dim", "semantic_dim", "codebook_size", "id_dim")),
        ("recommender", "dim"),
        ("recommender", "max_length"),
        ("text_encoder", "dim"),
    ]
    *path, last = places[rng.integers(len(places))]
    factor = int(rng.choice([-1, 0, 2, 3, 2**20, 2**45, 2**70]))

    def edit(manifest: dict[str, object]) -> None:
        for key in path:
            manifest = manifest[key]  # type: ignore[assignment]
        manifest[last] = manifest[last] * factor  # type: ignore[operator]

    edit_manifest(folder, edit)


def reshape_a_tensor(rng: Random, folder: Path) -> None:
    """Its file hashed and sealed as if it had been written so."""
    name = WEIGHTS[rng.integers(len(WEIGHTS))]
    tensors = safetensors.torch.load((folder / name).read_bytes())
    # A vocabulary is a text, which has no shape: a byte more is another word.
    keys = [key for key in sorted(tensors) if not key.endswith("vocabulary")]
    key = keys[rng.integers(len(keys))]
    tensor = tensors[key]
    match int(rng.integers(6)):
        case 0:
            del tensors[key]
        case 1:
            tensors[f"{key}.more"] = tensor.clone()
        case 2:
            tensors[key] = tensor.unsqueeze(0).contiguous()
        case 3:
            tensors[key] = torch.cat([tensor.reshape(-1), tensor.reshape(-1)[:1]])
        case 4:
            tensors[key] = tensor.to(torch.float16 if tensor.dtype != torch.float16 else torch.float32)
        case _:
            tensors[key] = tensor[:-1].clone() if len(tensor.shape) else tensor.reshape(1)
    rewrite(folder, name, safetensors.torch.save(tensors))


def lie_in_a_header(rng: Random, folder: Path) -> None:
    """The length before it, or where tensors lie; hashed and sealed."""
    name = WEIGHTS[rng.integers(len(WEIGHTS))]
    data = (folder / name).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    if rng.random() < 0.5:
        lies = [0, 1, length - 1, length + 1, 2**31, 2**40, 2**63, 2**64 - 1]
        rewrite(folder, name, struct.pack("<Q", lies[rng.integers(len(lies))]) + data[8:])
        return
    header = json.loads(data[8 : 8 + length])
    keys = sorted(set(header) - {"__metadata__"})
    entry = header[keys[rng.integers(len(keys))]]
    match int(rng.integers(4)):
        case 0:
            entry["data_offsets"][1] += 4
        case 1:
            entry["data_offsets"] = [2**62, 2**62 + 4]
        case 2:
            entry["shape"] = [2**32, 2**32]
        case _:
            entry["dtype"] = "F64" if entry["dtype"] != "F64" else "I8"
    changed = json.dumps(header).encode()
    rewrite(folder, name, struct.pack("<Q", len(changed)) + changed + data[8 + length :])


def put_nonsense_in_its_place(rng: Random, folder: Path) -> None:
    """Hashed and sealed."""
    names = (*WEIGHTS, ITEMS, MANIFEST)
    name = names[rng.integers(len(names))]
    nonsense = (b"", b"\x80\x04\x95", b"PAR1", b"[" * 100_000, b"{}", rng.bytes(200))[rng.integers(6)]
    if name == MANIFEST:
        (folder / MANIFEST).write_bytes(nonsense)
    else:
        rewrite(folder, name, nonsense)


DAMAGE: tuple[Callable[[Random, Path], None], ...] = (
    flip_a_bit,
    flip_many_bytes,
    cut,
    lengthen,
    swap_two,
    take_one_from_another_artifact,
    remove,
    add,
    link,
    point_current_elsewhere,
    list_a_file_outside,
    state_another_size,
    reshape_a_tensor,
    lie_in_a_header,
    put_nonsense_in_its_place,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    make_artifact(folder / "good", items=make_items(40), untrained=2, mapped=True)
    make_artifact(folder / "other", items=make_items(40), untrained=2, mapped=True, seed=5)
    return folder


def reason(root: Path) -> str | None:
    """Why an artifact is refused, None when it is not. Any other error than the refusal is one of ours."""
    try:
        Artifact.load(root)
    except ArtifactError as error:
        return str(error)
    return None


@pytest.mark.timeout(3600)
def test_a_damaged_artifact_is_refused(good: Path) -> None:
    at = good / "work"
    Artifact.load(good / "good")
    for seed in range(DAMAGES):
        damage = DAMAGE[seed % len(DAMAGE)]
        shutil.rmtree(at, ignore_errors=True)
        (good / "aside").unlink(missing_ok=True)
        shutil.copytree(good / "good", at)
        damage(np.random.default_rng(seed), resolve_current(at))
        message = reason(at)
        assert message is not None, f"{damage.__name__}, seed {seed}: was loaded"
        assert str(at) in message, f"{damage.__name__}, seed {seed}: {message}"  # says where


def test_weights_that_were_exchanged_honestly_are_found_by_the_golden_samples(good: Path) -> None:
    """Hashed and sealed anew, of the right shape: only what it computes can give a file away."""
    at = good / "honest"
    shutil.copytree(good / "good", at)
    folder = resolve_current(at)
    rewrite(folder, TOKENIZER, (resolve_current(good / "other") / TOKENIZER).read_bytes())
    assert (folder / GOLDEN).is_file()
    with pytest.raises(ArtifactError, match="golden"):
        check_golden(Artifact.load(at))
