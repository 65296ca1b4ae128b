"""The artifact as a whole: what was saved is what is loaded, and what was damaged is not loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.artifact import Artifact, ArtifactError
from model.golden import check_golden
from model.items import Item
from model.manifest import EVALUATION, MANIFEST, MAP, RECOMMENDER, TEXT_ENCODER, TOKENIZER
from model.tokenizer import COLD
from tests.support.artifacts import borrowed, copy_of, edit_manifest, edit_tensors, rewrite
from tests.support.tiny_training import TINY, train_tiny

NEW = Item("new", title="red kettle, the newest", brand="brand red", categories=("red", "kettle"))


@pytest.fixture
def folder(tiny_root: Path, tmp_path: Path) -> Path:
    """A version folder to damage."""
    return copy_of(tiny_root, tmp_path / "root")


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        Artifact.load(folder)
    for part in parts:
        assert part in str(caught.value)


def test_a_saved_artifact_loads_to_the_same(tiny_artifact: Artifact, tmp_path: Path) -> None:
    folder = tiny_artifact.save(tmp_path, "card")
    again = Artifact.load(tmp_path)
    assert again.path == folder == tmp_path / tiny_artifact.version
    assert again.manifest.model_dump(exclude={"files"}) == tiny_artifact.manifest.model_dump(exclude={"files"})
    for name in ("tokenizer", "recommender"):
        state, expected = getattr(again, name).state_dict(), getattr(tiny_artifact, name).state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in state)
    assert list(again.items.items) == list(tiny_artifact.items.items)
    assert np.array_equal(again.items.codes, tiny_artifact.items.codes)
    assert np.array_equal(again.items.popularity, tiny_artifact.items.popularity)
    assert np.array_equal(again.error_quantiles, tiny_artifact.error_quantiles)
    assert np.array_equal(again.catalogue_embeddings(), tiny_artifact.catalogue_embeddings())
    assert again.evaluation == tiny_artifact.evaluation
    assert again.positions is not None
    np.testing.assert_array_equal(again.positions, tiny_artifact.positions)
    check_golden(again)


def test_loading_leaves_the_random_numbers_alone_and_gives_frozen_modules(tiny_root: Path) -> None:
    before = torch.get_rng_state()
    artifact = Artifact.load(tiny_root)
    assert torch.equal(torch.get_rng_state(), before)
    for module in (artifact.tokenizer, artifact.recommender):
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_the_evaluation_data_may_be_left_out(folder: Path) -> None:
    (folder / EVALUATION).unlink()
    edit_manifest(folder, lambda manifest: manifest["files"].pop(EVALUATION))
    assert Artifact.load(folder).evaluation is None


def test_the_map_may_be_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / MAP).unlink()
    edit_manifest(folder, lambda manifest: manifest["files"].pop(MAP))
    artifact = Artifact.load(folder)
    assert artifact.positions is None
    assert not (artifact.save(tmp_path / "again", "card") / MAP).exists()


def test_the_catalogue_is_tokenized_as_its_texts_are(tiny_artifact: Artifact) -> None:
    new = tiny_artifact.encode_new(tiny_artifact.items.items, range(len(tiny_artifact.items)))
    assert np.array_equal(new.codes, tiny_artifact.items.codes)
    np.testing.assert_allclose(new.embeddings, tiny_artifact.catalogue_embeddings(), rtol=1e-6)
    assert new.error.shape == (120,)


def test_a_new_item_shares_what_its_text_says_and_has_the_cold_half(tiny_artifact: Artifact) -> None:
    new = tiny_artifact.encode_new([NEW])
    semantic = tiny_artifact.manifest.tokenizer.semantic_dim
    assert new.codes.shape == (1, 3)
    assert [str(part.dtype) for part in (new.codes, new.embeddings, new.error)] == ["int64", "float32", "float32"]
    expected = borrowed(tiny_artifact, new.embeddings[0, :semantic])
    np.testing.assert_array_equal(new.embeddings[0, semantic:], expected)
    catalogue = tiny_artifact.catalogue_embeddings()[:, :semantic]
    nearest = np.argsort(-(catalogue @ new.embeddings[0, :semantic]))[:10]
    assert all(index % 4 == 0 for index in nearest)  # red


def test_a_known_index_keeps_the_trained_id_half_under_another_text(tiny_artifact: Artifact) -> None:
    index = np.array([7, COLD])
    new = tiny_artifact.encode_new([NEW, NEW], index)  # type: ignore[arg-type]
    semantic = tiny_artifact.manifest.tokenizer.semantic_dim
    own = tiny_artifact.tokenizer.id_embeddings.weight[7].numpy()
    np.testing.assert_array_equal(new.embeddings[0, semantic:], own)
    np.testing.assert_array_equal(new.embeddings[0, :semantic], new.embeddings[1, :semantic])
    assert not np.array_equal(new.embeddings[1, semantic:], own)


def test_an_item_that_training_never_saw_is_cold(folder: Path) -> None:
    artifact = Artifact.load(folder)
    artifact.items.popularity[7] = 0
    index = np.array([7, 8])
    new = artifact.encode_new([NEW, NEW], index)  # type: ignore[arg-type]
    assert index.tolist() == [7, 8]  # the caller's array is left as it was
    semantic = artifact.manifest.tokenizer.semantic_dim
    warm = artifact.tokenizer.id_embeddings.weight[8].numpy()
    np.testing.assert_array_equal(
        new.embeddings[:, semantic:], [borrowed(artifact, new.embeddings[0, :semantic]), warm]
    )
    catalogue = artifact.catalogue_embeddings()
    cold = borrowed(artifact, catalogue[7, :semantic])
    assert not np.array_equal(cold, artifact.tokenizer.id_embeddings.weight[7].numpy())
    np.testing.assert_array_equal(catalogue[7:9, semantic:], [cold, warm])


def test_the_learned_policy_gives_a_cold_item_the_cold_vector(tmp_path: Path) -> None:
    recipe = TINY.override({"cold_policy": "learned", "epochs": 1})
    artifact = train_tiny(tmp_path, recipe=recipe)
    new = artifact.encode_new([NEW])
    semantic = artifact.manifest.tokenizer.semantic_dim
    np.testing.assert_array_equal(new.embeddings[0, semantic:], artifact.tokenizer.cold_vector.numpy())


def test_no_items_and_items_without_text(tiny_artifact: Artifact) -> None:
    none = tiny_artifact.encode_new([])
    assert (none.codes.shape, none.embeddings.shape, none.error.shape) == ((0, 3), (0, 24), (0,))
    blank = tiny_artifact.encode_new([Item("blank")])
    assert np.isfinite(blank.embeddings).all()


def test_queries_read_the_latest_items_and_not_each_other(tiny_artifact: Artifact) -> None:
    embeddings = tiny_artifact.catalogue_embeddings()
    long, short = embeddings[np.arange(0, 80, 4)], embeddings[[1, 5]]
    together = tiny_artifact.query([long, short])
    assert together.shape == (2, 24)
    np.testing.assert_allclose(together[0], tiny_artifact.query([long[-8:]])[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together[1], tiny_artifact.query([short])[0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(together[0], tiny_artifact.query([long[:8]])[0], atol=1e-3)


def test_the_error_percentile_is_the_share_of_smaller_errors(tiny_artifact: Artifact) -> None:
    error = tiny_artifact.encode_new(tiny_artifact.items.items).error
    assert tiny_artifact.error_percentile(np.array([-1.0, 1e9], dtype=np.float32)).tolist() == [0.0, 100.0]
    probe = np.quantile(error, [0.25, 0.5, 0.9]).astype(np.float32)
    found = tiny_artifact.error_percentile(probe)
    # Items with equal errors stand side by side; between their first and last place any percentile is theirs.
    for value, percentile in zip(probe, found, strict=True):
        assert 100 * (error < value).mean() - 2 <= percentile <= 100 * (error <= value).mean() + 2


@pytest.mark.parametrize("name", [TOKENIZER, RECOMMENDER, TEXT_ENCODER, MAP])
def test_a_weights_file_of_another_kind_is_refused(folder: Path, name: str) -> None:
    for data in (b"", b"\x80\x04pickle", b"\xff" * 64, (folder / name).read_bytes()[:-1]):
        rewrite(folder, name, data)
        refused(folder, f"{folder / name}: is not a safetensors file")


def _drop(tensors: dict[str, Tensor], name: str) -> None:
    del tensors[name]


def _nan(tensor: Tensor, value: float) -> Tensor:
    damaged = tensor.clone()
    damaged.view(-1)[-1] = value
    return damaged


TENSORS = [
    (TOKENIZER, "encoder.0.weight"),
    (TOKENIZER, "decoder.2.bias"),
    (TOKENIZER, "quantizer.codebooks.2.codewords"),
    (TOKENIZER, "id_embeddings.weight"),
    (TOKENIZER, "cold_vector"),
    (TOKENIZER, "error_quantiles"),
    (RECOMMENDER, "positions.weight"),
    (RECOMMENDER, "blocks.0.query.bias"),
    (TEXT_ENCODER, "components"),
    (TEXT_ENCODER, "idf"),
    (TEXT_ENCODER, "vocabulary"),
    (MAP, "positions"),
]


@pytest.mark.parametrize(("file", "tensor"), TENSORS)
def test_a_missing_tensor_is_named(folder: Path, file: str, tensor: str) -> None:
    edit_tensors(folder, file, lambda tensors: _drop(tensors, tensor))
    refused(folder, str(folder / file), f"tensor {tensor!r} is missing")


@pytest.mark.parametrize("file", [TOKENIZER, RECOMMENDER, TEXT_ENCODER, MAP])
def test_an_unexpected_tensor_is_named(folder: Path, file: str) -> None:
    edit_tensors(folder, file, lambda tensors: tensors.update({"stranger": torch.zeros(1)}))
    refused(folder, str(folder / file), "tensor 'stranger' is unexpected")


@pytest.mark.parametrize(("file", "tensor"), TENSORS)
@pytest.mark.parametrize("change", ["narrower", "flatter", "half", "double"])
def test_a_misshapen_tensor_is_named(folder: Path, file: str, tensor: str, change: str) -> None:
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "narrower": lambda value: value[:-1].contiguous(),
        "flatter": lambda value: value.reshape(-1, 1, 1).contiguous(),
        "half": lambda value: value.to(torch.bfloat16),
        "double": lambda value: value.to(torch.complex64),
    }
    edit_tensors(folder, file, lambda tensors: tensors.update({tensor: changes[change](tensors[tensor])}))
    # A vocabulary cut by one byte is shorter by a letter, not by a term: the fingerprint tells.
    named = "is not the text encoder" if (tensor, change) == ("vocabulary", "narrower") else tensor
    refused(folder, str(folder / file), named)


@pytest.mark.parametrize(("file", "tensor"), [entry for entry in TENSORS if entry[1] != "vocabulary"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_with_nan_is_named(folder: Path, file: str, tensor: str, value: float) -> None:
    edit_tensors(folder, file, lambda tensors: tensors.update({tensor: _nan(tensors[tensor], value)}))
    refused(folder, str(folder / file), f"tensor {tensor!r} holds NaN or infinity")


@pytest.mark.parametrize(
    ("section", "change", "parts"),
    [
        ("tokenizer", {"codebook_size": 16}, ("tokenizer.safetensors", "codewords", "expected", "[16, 16]")),
        ("tokenizer", {"hidden": [32, 32]}, ("tokenizer.safetensors", "is missing")),
        (
            "tokenizer",
            {"hidden": [2**40]},
            ("tokenizer.safetensors", "decoder.0.bias", f"expected torch.float32 [{2**40}]"),
        ),
        ("tokenizer", {"hidden": [10**18]}, (MANIFEST, "sizes that no tensor can have")),
        ("tokenizer", {"metrics": ["cosine", "euclidean"]}, ("tokenizer.safetensors", "is unexpected")),
        ("tokenizer", {"tokens": "semantic"}, ("recommender reads 24 dimensions, the tokenizer gives 16",)),
        ("tokenizer", {"cold_policy": "zero"}, ("'cold_vector' is unexpected",)),
        ("tokenizer", {"text_dim": 25}, ("decoder.2.bias", "expected torch.float32 [25]")),
        ("recommender", {"dim": 22}, ("recommender reads 22 dimensions, the tokenizer gives 24",)),
        ("recommender", {"blocks": 3}, ("recommender.safetensors", "blocks.2", "is missing")),
        ("recommender", {"max_length": 9}, ("recommender.safetensors", "positions.weight")),
        ("text_encoder", {"dim": 23}, ("text_encoder.safetensors", "the tokenizer reads 24")),
        ("text_encoder", {"fingerprint": "0" * 64}, ("is not the text encoder",)),
        ("text_encoder", {"spec": {"kind": "other"}}, ("unknown kind 'other'",)),
        ("text_encoder", {"spec": {"kind": "sentence"}}, ("text_encoder.safetensors", "name")),
    ],
)
def test_a_manifest_that_disagrees_with_the_weights_is_refused(
    folder: Path, section: str, change: dict[str, Any], parts: tuple[str, ...]
) -> None:
    edit_manifest(folder, lambda manifest: manifest[section].update(change))
    refused(folder, *parts)


@pytest.mark.parametrize("n_items", [119, 121, 10**12, 10**18, 10**30])
def test_another_number_of_items_is_refused_without_its_memory(folder: Path, n_items: int) -> None:
    edit_manifest(folder, lambda manifest: manifest.update(n_items=n_items))
    refused(folder, str(folder))
