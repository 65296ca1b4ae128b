"""Searches of a snapshot: exact against a plain product, with boosts, ties in order."""

from __future__ import annotations

import numpy as np
import pytest

from service.index import snapshot as searching
from service.index.boosts import Boosts
from service.index.item_index import ItemIndex, pack
from tests.support.indexes import best, build, vectors_of


@pytest.mark.parametrize("n", [1, 2, 7, 300])
@pytest.mark.parametrize("k", [1, 10, 400])
def test_flat_search_is_exact(n: int, k: int) -> None:
    vectors, queries = vectors_of(n), vectors_of(5, seed=1)
    rows, scores = build(vectors).snapshot.search(queries, k)
    assert rows.shape == scores.shape == (5, k)
    for query, found, values in zip(queries, rows, scores, strict=True):
        expected = best(vectors, query, k)
        assert found[found >= 0].tolist() == expected
        np.testing.assert_allclose(values[: len(expected)], vectors[expected] @ query, rtol=1e-4, atol=1e-5)
        assert (values[len(expected) :] == -np.inf).all()


@pytest.mark.parametrize("cells", [1, 700, 10**6])
def test_queries_searched_together_find_what_each_finds_alone(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_CELLS", cells)
    n, rng = 300, np.random.default_rng(5)
    vectors, queries = vectors_of(n), vectors_of(7, seed=6)
    snapshot = build(vectors).snapshot
    banned = [set(rng.choice(n, count, replace=False).tolist()) for count in (0, 1, 2, 5, 100, 295, 300)]
    hit = rng.choice(7 * n, 400, replace=False)
    boosts = Boosts(n, hit, rng.exponential(2, 400), rng.exponential(1, 400))
    for k in (1, 10, 299, 400):
        rows, scores = snapshot.search(queries, k, exclude=banned, boosts=boosts)
        for at, query in enumerate(queries):
            expected = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
            here = hit // n == at
            expected[hit[here] % n] += boosts.total[here]
            expected[list(banned[at])] = -np.inf
            order = [int(row) for row in np.argsort(-expected, kind="stable")[:k] if expected[row] > -np.inf]
            assert rows[at][rows[at] >= 0].tolist() == order
            np.testing.assert_allclose(scores[at][: len(order)], expected[order], rtol=1e-9)


def test_exclusion_and_allowing_are_exact() -> None:
    vectors, queries = vectors_of(500), vectors_of(3, seed=2)
    allowed = np.random.default_rng(3).random(500) < 0.1
    index = build(vectors)
    rows, _ = index.snapshot.search(queries, 8, pack(allowed))
    assert [found.tolist() for found in rows] == [best(vectors, query, 8, allowed) for query in queries]
    for query in queries:
        top = best(vectors, query, 300)
        rows, _ = index.snapshot.search(query[None], 5, exclude=[top[:200]])
        assert rows[0].tolist() == top[200:205]
    assert (index.snapshot.search(queries, 3, pack(np.zeros(500, np.bool_)))[0] == -1).all()
    assert index.snapshot.search(queries, 0)[0].shape == (3, 0)


def test_equal_embeddings_are_ties_and_come_in_order() -> None:
    # 300 items of three embeddings: the ties go far beyond what is fetched at first.
    vectors = np.repeat(vectors_of(3), 100, axis=0)
    shuffled = np.random.default_rng(4).permutation(300)
    index = ItemIndex(vectors[shuffled], shuffled, split=6)
    for query in vectors_of(4, seed=5):
        rows, scores = index.snapshot.search(query[None], 150)
        orders = shuffled[rows[0]]
        assert orders.tolist() == best(vectors, query, 150)
        assert len(np.unique(scores[0])) == 2


def test_a_query_of_zeros_gives_the_first_items() -> None:
    rows, scores = build(vectors_of(200)).snapshot.search(np.zeros((1, 12), np.float32), 4)
    assert rows[0].tolist() == [0, 1, 2, 3]
    assert (scores == 0).all()


def test_score_parts_add_up_exactly() -> None:
    snapshot, query = build(vectors_of(50)).snapshot, vectors_of(1, seed=9)
    rows, scores = snapshot.search(query, 20)
    semantic, own = snapshot.score_parts(query[0], rows[0])
    assert (semantic + own == scores[0]).all()
    np.testing.assert_allclose(semantic, snapshot.vectors[rows[0], :6] @ query[0, :6], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
@pytest.mark.parametrize("seed", range(6))
def test_search_with_boosts_is_exact(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((500, 8)).astype(np.float32)
    index = ItemIndex(vectors, np.arange(500), split=5, kind=kind)  # type: ignore[arg-type]
    index.update(np.empty((0, 8), np.float32), np.empty(0, np.int64), removed=[3, 4])
    for _ in range(20):
        query = rng.standard_normal(8).astype(np.float32)
        rows = rng.choice(500, rng.integers(0, 120), replace=False)
        boosts = Boosts(500, rows, rng.exponential(2, len(rows)), rng.exponential(1, len(rows)))
        banned = set(rng.choice(500, 20, replace=False).tolist())
        flags = rng.random(500) < 0.7
        for allow in (None, pack(flags)):
            scores = vectors.astype(np.float64) @ query.astype(np.float64)
            scores[rows] += boosts.semantic + boosts.own
            out = sorted({*banned, 3, 4} | (set() if allow is None else set(np.flatnonzero(~flags).tolist())))
            scores[out] = -np.inf
            expected = np.argsort(-scores, kind="stable")[:10]
            found, totals = index.snapshot.search(query[None], 10, allow, [banned], boosts)
            np.testing.assert_allclose(totals[0], scores[expected], rtol=1e-9)
            assert found[0].tolist() == expected.tolist()
            semantic, own = index.snapshot.score_parts(query, found[0], boosts)
            assert (semantic + own).tolist() == totals[0].tolist()
