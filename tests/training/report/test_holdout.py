"""The cold hold-out: places counted by hand, and the model's cold items as the service would embed them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.artifact import Artifact
from model.exposure import cold_boosts
from tests.support.reports import small_data
from tests.support.tiny_training import TINY, checkerboard
from training.evaluate.splits import EvaluationCases
from training.export.export import export
from training.fit.trainer import Trainer
from training.report.holdout import (
    Scores,
    World,
    cold_values,
    cold_world,
    measure,
    nearest_in_the_last_place,
    our_scores,
)

# Twelve known items (0 … 11) and two cold ones (12, 13).
N_KNOWN, N_ALL = 12, 14


def hand_world() -> World:
    """Two users with cold targets, two with warm ones; item 0 (and 12, of the second) is in the history."""
    data = checkerboard(n_items=N_ALL, n_users=4)
    histories = [np.array(row, dtype=np.int32) for row in ([0], [0, 12], [0], [0])]
    targets = np.array([12, 13, 5, 6], dtype=np.int32)
    cases = EvaluationCases(np.arange(4, dtype=np.int32), histories, targets)
    known = checkerboard(n_items=N_KNOWN, n_users=4)
    valid = EvaluationCases(np.array([1], dtype=np.int32), [np.array([0], dtype=np.int32)], targets[:1])
    return World(known, data, cases, targets >= N_KNOWN, valid, 0)


def by_user(table: list[list[float]]) -> Scores:
    values = torch.tensor(table, dtype=torch.float32)

    def scores(cases: EvaluationCases, rows: slice) -> Tensor:
        return values[torch.from_numpy(cases.users[rows].astype(np.int64))]

    return scores


def test_places_and_recall_by_hand() -> None:
    world = hand_world()
    descending = [float(N_ALL - item) for item in range(N_ALL)]
    table = [
        # Cold target 12 beats 13, but ten known items (1 … 10) beat both: found in the reserved place alone.
        descending,
        # Cold target 13; 12 would beat it and is in the history, so 13 is the best that is left.
        descending,
        # Warm target 5 stands fifth, as 0 is in the history.
        descending,
        # Warm target 6 stands tenth: found among ten, lost when one place is reserved.
        [0.0, *[9.0] * 5, 1.0, *[9.0] * 4, 0.5, 8.0, 7.0],
    ]
    known = [row[:N_KNOWN] for row in table]
    places = measure(world, by_user(known), by_user(table))
    assert [places.before.greater.tolist(), places.after.greater.tolist()] == [[4, 9], [4, 9]]
    assert places.cold.greater.tolist() == [0, 0]
    assert places.free is not None
    assert places.free.greater.tolist() == [11, 11, 4, 11]
    values = cold_values(world, places)
    assert {name: found.tolist() for name, found in values.items()} == {
        "cold, reserved, validation": [1.0],
        "cold, reserved": [1.0, 1.0],
        "all users, before": [0.0, 0.0, 1.0, 1.0],
        "all users, reserved": [1.0, 1.0, 1.0, 0.0],
        "warm users, before": [1.0, 1.0],
        "warm users, reserved": [1.0, 0.0],
        "cold, free": [0.0, 0.0],
        "all users, free": [0.0, 0.0, 1.0, 0.0],
    }


def test_tied_cold_items_share_the_reserved_place() -> None:
    world = hand_world()
    table = [[1.0] * N_ALL] * 4
    places = measure(world, by_user([row[:N_KNOWN] for row in table]), by_user(table))
    # The second has one rival in its history.
    assert cold_values(world, places)["cold, reserved"].tolist() == [0.5, 1.0]


def test_nearest_in_the_last_place_takes_each_half_from_its_model() -> None:
    world = hand_world()
    seen: list[list[int]] = []

    def sequential(cases: EvaluationCases, rows: slice) -> Tensor:
        seen.extend(history.tolist() for history in cases.histories[rows])
        return torch.full((len(cases.histories[rows]), N_KNOWN), 5.0)

    def nearest(cases: EvaluationCases, rows: slice) -> Tensor:
        return torch.arange(N_ALL, dtype=torch.float32).repeat(len(cases.histories[rows]), 1)

    combined = nearest_in_the_last_place(world, sequential, nearest)(world.cases, slice(0, 4))
    assert combined[0].tolist() == [5.0] * 12 + [12.0, 13.0]
    assert seen == [[0], [0], [0], [0]]  # a model of known items cannot read cold ones
    places = measure(world, sequential, nearest, comparable=False)
    assert places.free is None
    assert "cold, free" not in cold_values(world, places)


def test_the_world_numbers_held_out_items_behind_the_known() -> None:
    dataset = small_data()
    world = cold_world(dataset, 0.1, seed=1)
    held_out = [item.item_id for item in world.extended.items[world.n_known :]]
    assert len(world.extended.items) == 120
    assert not set(held_out) & {item.item_id for item in world.known.items}
    assert max(int(row.max()) for row in world.known.sequences) < world.n_known
    assert len(world.cases) + world.left_out == 60
    originals = {dataset.items[int(row[-1])].item_id for row in dataset.sequences}
    targets = [world.extended.items[target].item_id for target in world.cases.targets.tolist()]
    assert set(targets) <= originals
    assert [item in held_out for item in targets] == world.cold.tolist()
    assert sorted(world.cold.tolist(), reverse=True) == world.cold.tolist()  # cold ones first
    validated = [dataset.items[int(row[-2])].item_id for row in dataset.sequences]
    assert len(world.valid) == sum(item in held_out for item in validated)
    assert {world.extended.items[target].item_id for target in world.valid.targets.tolist()} <= set(held_out)
    for history in world.known_only(world.cases).histories:
        assert len(history)
        assert history.max() < world.n_known


@pytest.mark.parametrize("policy", ["neighbour", "learned", "zero", "mean", "predicted"])
def test_cold_items_are_embedded_as_the_service_would(policy: str, tmp_path: Path) -> None:
    world = cold_world(small_data(), 0.1, seed=1)
    recipe = TINY.override({"epochs": 1, "cold_policy": policy})
    trainer = Trainer(world.known, recipe, device=torch.device("cpu"))
    trainer.fit()
    export(trainer, tmp_path)
    artifact = Artifact.load(tmp_path)
    held_out = world.extended.items[world.n_known :]
    new = artifact.encode_new(held_out)
    served = np.concatenate([artifact.catalogue_embeddings(), new.embeddings])
    latest = [history[-recipe.max_length :] for history in world.cases.histories]
    query = artifact.query([served[history] for history in latest])
    expected = query @ served.T
    expected += artifact.neighbours.extended(new.neighbours).boosts(latest)
    _, after, reserved = our_scores(trainer, world)
    assert after(world.cases, slice(0, len(world.cases))).numpy() == pytest.approx(expected, abs=1e-4)
    half, cold = artifact.manifest.tokenizer.semantic_dim, np.arange(world.n_known, len(served))
    expected[:, cold] = query[:, :half] @ served[cold, :half].T
    expected[:, cold] += cold_boosts(artifact.neighbours.extended(new.neighbours), latest, cold)
    assert reserved(world.cases, slice(0, len(world.cases))).numpy() == pytest.approx(expected, abs=1e-3)


def test_a_trained_model_finds_cold_items_by_their_text() -> None:
    world = cold_world(checkerboard(n_users=300), 0.1, seed=1)
    trainer = Trainer(world.known, TINY, device=torch.device("cpu"))
    trainer.fit()
    values = cold_values(world, measure(world, *our_scores(trainer, world)))
    cold = world.extended.n_items - world.n_known
    print({name: round(float(found.mean()), 3) for name, found in values.items()})
    assert values["cold, reserved"].mean() > 2 / cold  # chance is one in so many
    assert values["all users, reserved"].mean() > 0.9 * values["all users, before"].mean()


def test_nothing_to_hold_out_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"fraction 1\.5"):
        cold_world(small_data(), 1.5, 0)
