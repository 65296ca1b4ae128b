"""Popularity, item-kNN and text nearest neighbours, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.items import Item
from model.text import NoText
from tests.support.baselines import cases_of, dataset_of
from tests.support.tiny_training import checkerboard
from training.baselines import baseline_ranks
from training.baselines.history import weighted_histories
from training.baselines.item_knn import ItemKnn, ItemKnnSettings, co_occurrences, cosine, nearest
from training.baselines.popularity import Popularity
from training.baselines.text_nn import TextNearestNeighbour
from training.evaluate.metrics import summary
from training.evaluate.negatives import evaluation_negatives
from training.evaluate.splits import leave_one_out
from training.fit.progress import Progress

ALL = slice(None)

# Training sees the rows without their last two items: {0, 1}, {0, 1, 2}, {0, 2, 2}, {3}.
TINY = dataset_of([[0, 1, 3, 4], [0, 1, 2, 3, 4], [0, 2, 2, 3, 4], [3, 0, 1]], 6)


def fitted(settings: ItemKnnSettings) -> ItemKnn:
    baseline = ItemKnn((settings,))
    baseline.fit(TINY, leave_one_out(TINY), 0, Progress())
    return baseline


def test_popularity_counts_the_training_part_alone() -> None:
    baseline = Popularity()
    baseline.fit(TINY, leave_one_out(TINY), 0, Progress())
    assert baseline.scores(cases_of([[0], [1]], [2, 2]), ALL).tolist() == [[3, 2, 3, 1, 0, 0]] * 2
    assert baseline.scores(cases_of([[0]] * 5, [2] * 5), slice(3, 5)).shape == (2, 6)


def test_histories_by_age() -> None:
    histories = [np.array([4, 0, 2], dtype=np.int32), np.array([1, 1], dtype=np.int32)]
    expected = {
        1.0: [[1, 0, 1, 0, 1], [0, 2, 0, 0, 0]],
        0.5: [[0.5, 0, 1, 0, 0.25], [0, 1.5, 0, 0, 0]],
        0.0: [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0]],
    }
    for decay, rows in expected.items():
        assert weighted_histories(histories, 5, decay).toarray().tolist() == rows


def test_cosine_by_hand() -> None:
    counts = co_occurrences(leave_one_out(TINY).train, 6)
    # Users who have 0: three; 1: two; 2: two (one of them twice, which counts once); 3: one.
    assert counts.toarray()[:4, :4].tolist() == [[3, 2, 2, 0], [2, 2, 1, 0], [2, 1, 2, 0], [0, 0, 0, 1]]
    table = cosine(counts, 0.0).toarray()
    assert table[0, 1] == pytest.approx(2 / np.sqrt(6))
    assert table[1, 2] == pytest.approx(1 / 2)
    assert table.diagonal().tolist() == [0] * 6
    assert np.array_equal(table, table.T)
    assert cosine(counts, 2.0)[1, 2] == pytest.approx(1 / 4)


def test_neighbours_are_the_nearest_and_among_equal_ones_the_first() -> None:
    table = cosine(co_occurrences(leave_one_out(TINY).train, 6), 0.0)
    kept = nearest(table, 1).toarray()
    # Item 0 is as near to 1 as to 2; 1 and 2 are nearest to 0.
    assert [row.nonzero()[0].tolist() for row in kept] == [[1], [0], [0], [], [], []]
    assert np.array_equal(nearest(table, 2).toarray(), table.toarray())


def test_item_knn_scores_by_hand() -> None:
    near, half = 2 / np.sqrt(6), 1 / 2
    baseline = fitted(ItemKnnSettings(neighbours=10, decay=0.5))
    scores = baseline.scores(cases_of([[1, 0], [3], [2]], [2, 2, 2]), slice(0, 2))
    expected = torch.tensor([[0.5 * near, near, near + 0.5 * half, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    assert torch.allclose(scores, expected.float())
    assert scores.dtype == torch.float32


def test_item_knn_chooses_by_validation() -> None:
    baseline = ItemKnn((ItemKnnSettings(decay=1.0), ItemKnnSettings(decay=0.5)), monitor="full_ndcg@10")
    dataset = checkerboard(n_users=60)
    split = leave_one_out(dataset)
    notes = baseline.fit(dataset, split, 0, Progress())
    figures = [entry["validation"] for entry in notes["tried"]]
    assert notes["best"] == max(figures)
    assert notes["settings"]["decay"] == (1.0, 0.5)[int(np.argmax(figures))]
    ranks = baseline_ranks(baseline, split.valid, evaluation_negatives(dataset, split.valid))
    assert summary(ranks["full"])["ndcg@10"] == pytest.approx(max(figures))


class Compass:
    """A text encoder that knows four texts."""

    kind, dim, fingerprint = "compass", 2, "compass"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        known = {"north": (0, 1), "east": (1, 0), "between": (0.6, 0.8), "": (0, 0)}
        return np.array([known[text] for text in texts], dtype=np.float32)

    def spec(self) -> dict[str, Any]:
        return {}

    def state(self) -> dict[str, Tensor]:
        return {}


def test_text_scores_by_hand() -> None:
    items = [Item("a", title="north"), Item("b", title="east"), Item("c", title="between"), Item("d")]
    dataset = dataset_of([[0, 1, 2], [2, 1, 0]], 4, items)
    cases = cases_of([[0, 1], [3]], [2, 2])
    expected = {0.0: [0, 1, 0.6, 0], 0.5: [0.5, 1, 0.6 + 0.4, 0], 1.0: [1, 1, 1.4, 0]}
    for decay, row in expected.items():
        baseline = TextNearestNeighbour(Compass(), (decay,))
        notes = baseline.fit(dataset, leave_one_out(dataset), 0, Progress())
        assert notes["settings"] == {"decay": decay, "text_encoder": "compass"}
        assert torch.allclose(baseline.scores(cases, ALL), torch.tensor([row, [0.0] * 4]))


def test_text_finds_the_colour_of_the_checkerboard() -> None:
    dataset = checkerboard(n_users=60)
    split = leave_one_out(dataset)
    baseline = TextNearestNeighbour(decays=(0.0, 1.0), monitor="full_ndcg@10")
    baseline.fit(dataset, split, 0, Progress())
    top = baseline.scores(split.test, ALL).topk(10).indices.numpy() % 4
    assert (top == (split.test.targets % 4)[:, None]).mean() > 0.9  # chance: 0.25


def test_without_text_every_item_is_level() -> None:
    dataset = checkerboard(n_users=12)
    baseline = TextNearestNeighbour(NoText(), (1.0,))
    baseline.fit(dataset, leave_one_out(dataset), 0, Progress())
    assert not baseline.scores(leave_one_out(dataset).test, ALL).any()
