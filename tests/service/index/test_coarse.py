"""Coarse indexes: a rounded one stays exact, the approximate kinds find most and keep their promises."""

from __future__ import annotations

import numpy as np
import pytest

from service.contract.operation_answers import IndexKind
from service.index import coarse
from service.index.boosts import Boosts
from service.index.coarse import BadIndex
from service.index.item_index import ItemIndex, pack
from tests.support.indexes import best, build, vectors_of


@pytest.mark.parametrize("dim", [5, 16, 72, 80, 128])
def test_a_large_flat_index_is_exact_though_it_is_rounded(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "_MIN_ROUNDED", 2048)
    rng = np.random.default_rng(dim)
    vectors = (rng.standard_normal((3000, dim)) * rng.uniform(0.01, 2, dim)).astype(np.float32)
    vectors[100:140] = vectors[100]  # ties
    index = ItemIndex(vectors, np.arange(3000)[::-1].copy(), split=3)
    assert index.snapshot.coarse is not None
    assert 0 < index.snapshot.coarse.error < 1
    more = rng.standard_normal((50, dim)).astype(np.float32)
    index.update(more, np.arange(3000, 3050), removed=[7, 8])
    everything = np.concatenate([vectors, more]).astype(np.float64)
    orders = np.concatenate([np.arange(3000)[::-1], np.arange(3000, 3050)])
    for _ in range(30):
        query = rng.standard_normal(dim).astype(np.float32)
        rows = rng.choice(3050, 60, replace=False)
        boosts = Boosts(3050, rows, rng.exponential(1, len(rows)), rng.exponential(1, len(rows)))
        scores = everything @ query.astype(np.float64)
        plain = scores.copy()
        scores[rows] += boosts.semantic + boosts.own
        for totals, added in ((plain, None), (scores, boosts)):
            totals[[7, 8, 9]] = -np.inf
            expected = np.lexsort((orders, -totals))[:12]
            found, _ = index.snapshot.search(query[None], 12, None, [[9]], added)
            np.testing.assert_allclose(totals[found[0]], totals[expected], rtol=1e-9)
            assert set(found[0].tolist()) == set(expected.tolist())


@pytest.mark.parametrize(("kind", "least"), [("hnsw", 0.95), ("ivfpq", 0.5)])
def test_approximate_kinds_find_most_and_state_how_much(kind: IndexKind, least: float) -> None:
    centres = vectors_of(40, 16)
    vectors = (np.repeat(centres, 50, axis=0) + 0.3 * vectors_of(2000, 16, seed=1)).astype(np.float32)
    index = ItemIndex(vectors, np.arange(2000), split=8, kind=kind)
    queries = vectors_of(50, 16, seed=2)
    recall = index.recall(queries)
    assert least <= recall <= 1.0
    exact = [best(vectors, query, 10) for query in queries]
    found = index.snapshot.search(queries, 10)[0]
    hits = np.mean([len(set(a.tolist()) & set(b)) / 10 for a, b in zip(found, exact, strict=True)])
    assert recall == pytest.approx(float(hits))
    # Filters are exact whatever the kind.
    allowed = np.arange(2000) % 7 == 0
    rows, _ = index.snapshot.search(queries, 10, pack(allowed))
    assert rows.tolist() == [best(vectors, query, 10, allowed) for query in queries]


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
@pytest.mark.parametrize("n", [1500, 1501, 1507])
def test_approximate_kinds_find_rows_added_since_and_forget_removed_ones(kind: IndexKind, n: int) -> None:
    vectors = vectors_of(n, 16)
    index = ItemIndex(vectors, np.arange(n), split=8, kind=kind)
    query = vectors_of(1, 16, seed=4)
    old = [int(row) for row in index.snapshot.search(query, 5)[0][0]]
    index.update(query * np.array([[5.0], [4.0], [3.0]], np.float32), np.arange(n, n + 3), old[:2])
    index.update(np.empty((0, 16), np.float32), np.empty(0, np.int64), [n + 1])
    rows = index.snapshot.search(query, 6)[0][0].tolist()
    assert rows[:2] == [n, n + 2]
    assert not set(rows) & {old[0], old[1], n + 1}
    assert set(old[2:]) <= set(rows)
    # The last of the old rows share a byte of the mask with the first new one; they are found once all the
    # same.
    rows = index.snapshot.search(vectors[n - 1 :], 10)[0][0].tolist()
    assert len(set(rows)) == 10
    assert n - 1 in rows


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_approximate_kinds_that_come_to_their_end_give_as_many_as_are_asked_for(kind: IndexKind) -> None:
    n = 1500
    vectors, queries = vectors_of(n, 16), vectors_of(3, 16, seed=5)
    snapshot = ItemIndex(vectors, np.arange(n), split=8, kind=kind, probes=1).snapshot
    for k in (300, n - 1, n, n + 7):
        rows, _ = snapshot.search(queries, k, exclude=[{7}] * 3)
        assert [len(set(found[found >= 0].tolist()) - {7}) for found in rows] == [min(k, n - 1)] * 3


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_what_neighbours_raise_is_found_where_an_approximate_kind_comes_to_its_end(kind: IndexKind) -> None:
    n, k = 1500, 20
    vectors, query = vectors_of(n, 16), vectors_of(1, 16, seed=6)
    snapshot = ItemIndex(vectors, np.arange(n), split=8, kind=kind, probes=1).snapshot
    raised = np.array(best(vectors, query[0], n)[-5:])  # those that a search by inner product comes upon last
    boosts = Boosts(n, raised, np.full(5, 100.0), np.zeros(5))
    for banned in (0, 400):
        exclude = [set(best(vectors, query[0], banned))]
        rows, _ = snapshot.search(query, k, exclude=exclude, boosts=boosts)
        assert set(rows[0, :5].tolist()) == set(raised.tolist())


def test_too_few_items_for_product_quantization_are_refused() -> None:
    with pytest.raises(BadIndex, match="at least 1024 items, the artifact has 100"):
        build(vectors_of(100), "ivfpq")
