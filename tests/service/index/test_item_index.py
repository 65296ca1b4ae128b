"""The index: rows added and removed, growth, readers beside a writer."""

from __future__ import annotations

import threading

import numpy as np

from tests.support.indexes import best, build, vectors_of


def test_rows_are_added_and_removed_and_old_snapshots_stay_as_they_were() -> None:
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


def test_flat_recall_is_one() -> None:
    assert build(vectors_of(20)).recall(vectors_of(3, seed=1)) == 1.0
