"""Places reserved for cold items: how many, and what texts add, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse

from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourConfig
from model.exposure import cold_boosts, reserved_places, text_boosts
from model.neighbours import Neighbours
from model.postings import posting_lists

CONFIG = NeighbourConfig(weight=1, floor=1, decay=0.5, count=4)


@pytest.mark.parametrize(
    ("share", "k", "places"), [(0.1, 10, 1), (0.1, 9, 0), (0.3, 10, 3), (1.0, 7, 7), (0.0, 500, 0), (0.15, 20, 3)]
)
def test_places_are_never_more_than_the_share(share: float, k: int, places: int) -> None:
    assert reserved_places(share, k) == places


def test_texts_count_by_squared_cosine_and_age() -> None:
    bags = sparse.csr_matrix(np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], np.float32))
    added = text_boosts(bags[[0, 1]], bags, CONFIG)
    # 12 · (.5 · cos² with the older item + cos² with the latest)
    np.testing.assert_allclose(added, np.array([6, 12, 12 * (0.5 * 0.36 + 0.64), 0]), rtol=1e-6)
    empty = posting_lists([np.empty(0, np.int64)] * 4, [np.empty(0, np.float32)] * 4)
    histories, cold = [np.array([0, 1]), np.array([2])], np.array([3, 1])
    neighbours = Neighbours(4, {TEXT_SIMILARITY: CONFIG}, {TEXT_SIMILARITY: empty}, bags=bags)
    found = cold_boosts(neighbours, histories, cold)
    np.testing.assert_allclose(found, np.array([[0, 12], [0, 12 * 0.64]]), rtol=1e-6)


def test_company_counts_as_in_a_score() -> None:
    bags = sparse.csr_matrix(np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32))
    empty = posting_lists([np.empty(0, np.int64)] * 3, [np.empty(0, np.float32)] * 3)
    company = posting_lists([np.array([2]), *[np.empty(0, np.int64)] * 2], [np.array([0.5]), *[np.empty(0)] * 2])
    similarity = NeighbourConfig(weight=100, floor=1, decay=0.5, count=4)  # its own term is in the texts' already
    neighbours = Neighbours(
        3,
        {TEXT_SIMILARITY: similarity, CO_OCCURRENCE: CONFIG},
        {TEXT_SIMILARITY: company, CO_OCCURRENCE: empty},
        bags=bags,
    )
    without = cold_boosts(neighbours, [np.array([0, 1])], np.array([2, 1]))
    neighbours = Neighbours(
        3,
        {TEXT_SIMILARITY: similarity, CO_OCCURRENCE: CONFIG},
        {TEXT_SIMILARITY: empty, CO_OCCURRENCE: company},
        bags=bags,
    )
    found = cold_boosts(neighbours, [np.array([0, 1])], np.array([2, 1]))
    # Item 0 is the older of the two: half of its evidence.
    np.testing.assert_allclose(found - without, [[np.log1p(0.25), 0]], atol=1e-6)
    np.testing.assert_allclose(without, [[12 * (0.5 * 0.36 + 0.64), 12]], rtol=1e-6)
