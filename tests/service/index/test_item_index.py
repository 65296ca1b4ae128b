"""The index: exact against a plain product, ties in order, writers beside readers, the approximate kinds."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.index import snapshot as searching
from service.index.boosts import Boosts
from service.index.coarse import BadIndex
from service.index.item_index import ItemIndex, pack
from service.settings import IndexKind

Floats = NDArray[np.float32]


def vectors_of(n: int, dim: int = 12, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def build(vectors: Floats, kind: IndexKind = "flat", **options: Any) -> ItemIndex:
    return ItemIndex(vectors, np.arange(len(vectors)), split=vectors.shape[1] // 2, kind=kind, **options)


def best(vectors: Floats, query: Floats, k: int, allowed: NDArray[np.bool_] | None = None) -> list[int]:
    scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    if allowed is not None:
        scores[~allowed] = -np.inf
    order = np.lexsort((np.arange(len(vectors)), -scores))
    return [int(row) for row in order[:k] if scores[row] > -np.inf]


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


def test_rows_are_added_and_removed_and_old_views_stay_as_they_were() -> None:
    vectors = vectors_of(100)
    index = build(vectors)
    before = index.snapshot
    query = vectors_of(1, seed=8)
    first = best(vectors, query[0], 1)[0]
    added = np.vstack([query * 10, query * 9])
    assert index.update(added, np.array([100, 101]), [first]) == range(100, 102)
    rows, _ = index.snapshot.search(query, 102)
    assert rows[0, :2].tolist() == [100, 101]
    assert first not in rows[0]
    assert rows[0, -1] == -1
    assert index.snapshot.live_count == 101
    assert before.search(query, 1)[0].tolist() == [[first]]
    assert before.live_count == 100


def test_growth_beyond_the_capacity_keeps_everything() -> None:
    index = build(vectors_of(10))
    every = vectors_of(10)
    for step in range(40):
        more = vectors_of(100, seed=100 + step)
        index.update(more, np.arange(len(every), len(every) + 100))
        every = np.vstack([every, more])
    queries = vectors_of(3, seed=6)
    assert index.snapshot.search(queries, 9)[0].tolist() == [best(every, query, 9) for query in queries]


def test_readers_beside_a_writer_see_whole_moments() -> None:
    # Rows come in pairs (v, −v) and go in pairs: in every moment the scores of all rows add up to 0.
    half = vectors_of(50)
    index = build(np.vstack([half, -half]))
    query = vectors_of(1, seed=3)
    stop = threading.Event()
    wrong: list[str] = []
    searched = 0

    def read() -> None:
        nonlocal searched
        while not stop.is_set():
            snapshot = index.snapshot
            rows, scores = snapshot.search(query, snapshot.live_count)
            if (rows < 0).any() or abs(float(scores.sum())) > 1e-3:
                wrong.append(f"{snapshot.n} rows, sum {scores.sum()}")
            searched += 1

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    previous: list[int] = []
    for step in range(300):
        pair = vectors_of(3, seed=step)
        rows = index.update(np.vstack([pair, -pair]), np.arange(6) + 1000 * step, previous)
        previous = list(rows)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong, wrong[:3]
    assert searched > 20


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


def test_flat_recall_is_one() -> None:
    assert build(vectors_of(20)).recall(vectors_of(3, seed=1)) == 1.0
