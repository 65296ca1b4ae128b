"""Export: the manifest says what was trained and measured, and the files hold it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from model.artifact import Artifact, ArtifactError
from model.golden import check_golden
from model.items import Item
from tests.support.artifacts import borrowed
from tests.support.tiny_training import TINY, checkerboard
from training.datasets import Dataset
from training.evaluate.artifact_evaluation import artifact_sequences, dataset_sequences, evaluate_artifact, groups
from training.evaluate.metrics import summary
from training.export.card import model_card
from training.export.export import export
from training.fit.trainer import Trainer


@pytest.fixture(scope="module")
def trained() -> Trainer:
    """A short run on a catalogue with an item that nobody bought and one that training does not see."""
    dataset = checkerboard(n_users=60)
    extra = Item("unbought", title="red kettle that nobody bought")
    last = Item("last", title="blue lamp, only ever bought last")
    sequences = [*dataset.sequences]
    sequences[0] = np.append(sequences[0], 121).astype(np.int32)
    dataset = Dataset("odd", dataset.user_ids, [*dataset.items, extra, last], sequences, None, dataset.report)
    trainer = Trainer(dataset, TINY.override({"epochs": 2}), seed=5, device=torch.device("cpu"))
    trainer.fit()
    return trainer


@pytest.fixture(scope="module")
def artifact(trained: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root = tmp_path_factory.mktemp("root")
    exported = export(trained, root)
    loaded = Artifact.load(root)
    assert exported.path == loaded.path
    return loaded


def test_the_manifest_says_what_was_trained(trained: Trainer, artifact: Artifact) -> None:
    manifest, dataset = artifact.manifest, trained.dataset
    assert manifest.recipe == trained.recipe.model_dump(mode="json")
    assert manifest.seed == 5
    assert manifest.dataset.fingerprint == dataset.fingerprint()
    assert (manifest.dataset.n_users, manifest.dataset.n_items) == (60, 122)
    assert manifest.dataset.n_interactions == dataset.n_interactions
    assert manifest.n_items == 122
    assert manifest.training["epochs"] == 2
    best = max(trained.history, key=lambda entry: float(entry["monitored"]))
    assert manifest.training["best_epoch"] == best["epoch"]
    assert manifest.tokenizer == trained.model.tokenizer.config
    assert manifest.libraries["torch"] == torch.__version__.split("+")[0] or torch.__version__
    assert manifest.version.endswith(f"-tiny-{dataset.fingerprint()[:8]}")


def test_the_artifact_computes_what_the_trainer_does(trained: Trainer, artifact: Artifact) -> None:
    assert np.array_equal(artifact.items.codes, trained.model.codes.numpy())
    assert np.array_equal(artifact.items.popularity, trained.popularity)
    np.testing.assert_array_equal(artifact.catalogue_embeddings(), trained.model.catalogue().numpy())
    assert [item.item_id for item in artifact.items.items] == [item.item_id for item in trained.dataset.items]
    check_golden(artifact)


def test_items_that_training_did_not_see_are_cold(artifact: Artifact) -> None:
    assert artifact.items.cold[[120, 121]].tolist() == [True, True]
    semantic = artifact.manifest.tokenizer.semantic_dim
    catalogue = artifact.catalogue_embeddings()
    expected = [borrowed(artifact, row[:semantic]) for row in catalogue[120:]]
    np.testing.assert_array_equal(catalogue[120:, semantic:], expected)


def test_metrics_are_those_of_the_artifact_alone(trained: Trainer, artifact: Artifact) -> None:
    assert set(artifact.manifest.metrics) == {"valid/full", "valid/sampled", "test/full", "test/sampled"}
    sequences = artifact_sequences(artifact)
    for protocol in ("full", "sampled"):
        expected = summary(trained.ranks(trained.split.test, protocol))
        assert artifact.manifest.metrics[f"test/{protocol}"] == pytest.approx(expected)
        assert summary(evaluate_artifact(artifact, sequences, protocol)) == pytest.approx(expected)
        valid = summary(trained.ranks(trained.split.valid, protocol))
        assert artifact.manifest.metrics[f"valid/{protocol}"] == pytest.approx(valid)
    assert artifact.manifest.metrics["test/full"] != artifact.manifest.metrics["valid/full"]
    with pytest.raises(ValueError, match="protocol: 'half'"):
        evaluate_artifact(artifact, sequences, "half")


def test_the_evaluation_data_are_the_sequences_without_identifiers(trained: Trainer, artifact: Artifact) -> None:
    found = artifact_sequences(artifact)
    assert [row.tolist() for row in found] == [row.tolist() for row in trained.dataset.sequences]
    assert b"user-" not in (artifact.evaluation or b"")
    again = dataset_sequences(artifact, trained.dataset)
    assert [row.tolist() for row in again] == [row.tolist() for row in found]


def test_another_data_set_is_renumbered_by_item_id(trained: Trainer, artifact: Artifact) -> None:
    dataset = trained.dataset
    order = np.random.default_rng(0).permutation(dataset.n_items)
    place = np.argsort(order).astype(np.int32)
    shuffled = Dataset(
        "shuffled",
        dataset.user_ids,
        [dataset.items[index] for index in order],
        [place[row] for row in dataset.sequences],
        None,
        dataset.report,
    )
    found = dataset_sequences(artifact, shuffled)
    assert [row.tolist() for row in found] == [row.tolist() for row in dataset.sequences]
    stranger = Dataset("s", ["u"], [Item("stranger")], [np.zeros(3, dtype=np.int32)], None, dataset.report)
    with pytest.raises(ValueError, match="1 items are not in the artifact's catalogue, the first is 'stranger'"):
        dataset_sequences(artifact, stranger)


def test_no_sequences_cannot_be_evaluated(artifact: Artifact) -> None:
    with pytest.raises(ValueError, match="no user has three interactions"):
        evaluate_artifact(artifact, [], "full")


def test_groups_part_the_users_by_the_popularity_of_their_target(artifact: Artifact) -> None:
    sequences = artifact_sequences(artifact)
    parts = groups(artifact, sequences)
    targets = np.array([row[-1] for row in sequences])
    cold = parts.pop("cold (never in training)")
    assert np.array_equal(cold, artifact.items.popularity[targets] == 0)
    assert cold[0]
    total = np.sum([cold, *parts.values()], axis=0)
    assert total.tolist() == [1] * len(sequences)
    popular = [artifact.items.popularity[targets[mask]] for mask in parts.values()]
    assert all(low.max() < high.min() for low, high in pairwise(popular))
    for name, values in zip(parts, popular, strict=True):
        ends = [int(word) for word in name.removeprefix("popularity ").split(" to ")]
        assert ends == sorted({values.min(), values.max()})


def test_groups_are_called_by_what_they_hold() -> None:
    """Quartiles of these lie between popularities: 1.75, 2.5, 4."""
    popularity = np.array([0, 1, 1, 2, 2, 3, 4, 4, 9])
    stand_in = cast(Artifact, SimpleNamespace(items=SimpleNamespace(popularity=popularity)))
    parts = groups(stand_in, [np.array([5, item], dtype=np.int32) for item in range(9)])
    found = {name: popularity[mask].tolist() for name, mask in parts.items()}
    assert found == {
        "cold (never in training)": [0],
        "popularity 1": [1, 1],
        "popularity 2": [2, 2],
        "popularity 3": [3],
        "popularity 4 to 9": [4, 4, 9],
    }


def test_the_card_is_made_from_the_manifest(artifact: Artifact) -> None:
    assert artifact.path is not None
    card = (artifact.path / "README.md").read_text(encoding="utf-8")
    assert card == model_card(artifact.manifest.model_copy(update={"files": {}}))
    for part in (
        artifact.version,
        "recipe `tiny`, seed 5",
        f"| test/full | {artifact.manifest.metrics['test/full']['hit@10']:.4f} |",
        "3 levels (cosine, cosine, euclidean) of 8 codewords",
        "cold items: neighbour",
        f"{artifact.manifest.tokens['unique']:.1%} have a semantic ID of their own",
        f"({-artifact.manifest.tokens['parameters']['saving']:+.1%})",
    ):
        assert part in card


@pytest.mark.parametrize("tokens", ["id", "semantic"])
def test_the_other_token_types_export_and_load(tokens: str, tmp_path: Path) -> None:
    recipe = TINY.override({"tokens": tokens, "epochs": 1})
    trainer = Trainer(checkerboard(n_users=40), recipe, device=torch.device("cpu"))
    trainer.fit()
    export(trainer, tmp_path, evaluation_data=False)
    artifact = Artifact.load(tmp_path)
    check_golden(artifact)
    dim = 8 if tokens == "id" else 16
    assert artifact.catalogue_embeddings().shape == (120, dim)
    new = artifact.encode_new([Item("new", title="red kettle")])
    assert new.codes.shape == (1, 0 if tokens == "id" else 3)
    assert new.embeddings.shape == (1, dim)
    assert model_card(artifact.manifest).count("semantic:") == (tokens == "semantic")
    with pytest.raises(ArtifactError, match="carries no evaluation data; name the data set with --data"):
        artifact_sequences(artifact)


def test_a_catalogue_too_small_for_the_sampled_protocol_is_measured_by_the_full_one(tmp_path: Path) -> None:
    trainer = Trainer(checkerboard(n_items=40, n_users=40), TINY.override({"epochs": 1}), device=torch.device("cpu"))
    trainer.fit()
    assert set(export(trainer, tmp_path).manifest.metrics) == {"valid/full", "test/full"}
