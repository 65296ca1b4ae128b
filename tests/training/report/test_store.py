"""Kept runs: read back as written, refused when damaged or another's, absent while half written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.evaluate.metrics import Ranks
from training.fit.checkpoint import write_atomically
from training.report import result as result_module
from training.report.result import METRICS, RunResult, figures_of, intervals_of, per_user, run_key
from training.report.store import RunStore, StoreError, rank_arrays

RANKS = {
    "full": Ranks(np.array([0, 3, 40]), np.array([0, 1, 0])),
    "sampled": Ranks(np.array([0, 0, 9]), np.array([0, 0, 1])),
}


def made(**changes: Any) -> RunResult:
    values: dict[str, Any] = {
        "method": "popularity",
        "label": "popularity",
        "settings": {"epochs_at_most": 3},
        "seed": 4,
        "data": "board",
        "fingerprint": "abc",
        "users": 3,
        "items": 50,
        "figures": {"test": figures_of(RANKS)},
        "intervals": {"test": intervals_of(RANKS)},
        "seconds": 1.5,
        "machine": "none",
        "date": "2026-01-01T00:00:00+00:00",
        "command": "test",
        "notes": {"best": 0.5},
    } | changes
    values.setdefault("key", run_key(values["fingerprint"], values["method"], values["settings"], values["seed"]))
    return RunResult(**values)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def test_what_was_put_comes_back(store: RunStore) -> None:
    run = made()
    assert store.get(run.key) is None
    write_atomically(store.checkpoint(run.key), b"half trained")
    store.put(run, rank_arrays(RANKS) | {"codes": np.arange(6).reshape(3, 2)})
    assert store.get(run.key) == run
    assert list(store.finished()) == [run]
    for protocol, ranks in RANKS.items():
        found = store.ranks(run, protocol)
        assert [found.greater.tolist(), found.ties.tolist()] == [ranks.greater.tolist(), ranks.ties.tolist()]
    assert store.arrays(run)["codes"].tolist() == [[0, 1], [2, 3], [4, 5]]
    # The checkpoint has gone, and nothing temporary is left.
    assert sorted(path.name for path in store.folder.iterdir()) == [f"{run.key}.json", f"{run.key}.npz"]


def test_a_key_names_everything_that_decides_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    key = run_key("data", "kindred", {"a": 1, "b": 2}, 0)
    assert key == run_key("data", "kindred", {"b": 2, "a": 1}, 0)
    others = [
        run_key("other", "kindred", {"a": 1, "b": 2}, 0),
        run_key("data", "sasrec", {"a": 1, "b": 2}, 0),
        run_key("data", "kindred", {"a": 1, "b": 3}, 0),
        run_key("data", "kindred", {"a": 1, "b": 2}, 1),
    ]
    monkeypatch.setattr(result_module, "CODE_VERSION", 10_000)
    others.append(run_key("data", "kindred", {"a": 1, "b": 2}, 0))
    assert len({key, *others}) == 6


def test_a_run_under_another_s_name_is_refused(store: RunStore) -> None:
    run = made()
    store.put(run, rank_arrays(RANKS))
    path = store.folder / f"{run.key}.json"
    data = json.loads(path.read_bytes())
    path.write_text(json.dumps(data | {"seed": 5}), encoding="utf-8")
    with pytest.raises(StoreError, match=f"{run.key}.json: holds the run .* made by other settings, data or code"):
        store.get(run.key)


def test_a_run_of_older_code_is_not_taken(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old = made()
    store.put(old, rank_arrays(RANKS))
    monkeypatch.setattr(result_module, "CODE_VERSION", result_module.CODE_VERSION + 1)
    assert store.get(made().key) is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"key": "x"}', b"\xff\xfe"])
def test_a_damaged_result_is_refused_by_name(store: RunStore, damage: bytes) -> None:
    run = made()
    store.put(run, rank_arrays(RANKS))
    (store.folder / f"{run.key}.json").write_bytes(damage)
    with pytest.raises(StoreError, match=f"{run.key}.json: no result of a run .*delete it to run it again"):
        store.get(run.key)


@pytest.mark.parametrize("keep", [0, 10, 100])
@pytest.mark.parametrize("whole", [True, False])
def test_damaged_arrays_are_refused_by_name(store: RunStore, keep: int, whole: bool) -> None:
    run = made()
    store.put(run, rank_arrays({"full": Ranks(np.arange(3), np.arange(3)), "sampled": RANKS["sampled"]}))
    path = store.folder / f"{run.key}.npz"
    data = path.read_bytes()
    path.write_bytes(data[:keep] + (b"\xa5" * 60 + data[keep + 60 :] if whole else b""))
    with pytest.raises(StoreError, match=f"{run.key}.npz: cannot be read"):
        store.ranks(run, "full")


def test_missing_arrays_are_refused_by_name(store: RunStore) -> None:
    run = made()
    store.put(run, rank_arrays({"full": RANKS["full"]}))
    with pytest.raises(StoreError, match="has no sampled_greater"):
        store.ranks(run, "sampled")
    with pytest.raises(StoreError, match="not the ranks of 4 users"):
        store.ranks(run.model_copy(update={"users": 4}), "full")


def test_a_run_whose_json_was_not_written_is_not_there(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made()

    def power_cut(path: Path, data: bytes) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write_atomically(path, data)

    monkeypatch.setattr("training.report.store.write_atomically", power_cut)
    with pytest.raises(KeyboardInterrupt):
        store.put(run, rank_arrays(RANKS))
    assert store.get(run.key) is None
    monkeypatch.undo()
    store.put(run, rank_arrays(RANKS))
    assert store.get(run.key) == run


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    write_atomically(path, b"old")

    def no_space(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_metrics_per_user_average_to_the_figures() -> None:
    values = per_user(RANKS["full"])
    assert values.shape == (3, len(METRICS))
    # Places 1, 4 or 5, and 41.
    assert values[:, METRICS.index("hit@5")].tolist() == [1.0, 1.0, 0.0]
    assert values[:, METRICS.index("mrr")] == pytest.approx([1.0, (1 / 4 + 1 / 5) / 2, 1 / 41])
    figures = figures_of(RANKS)["full"]
    assert dict(zip(METRICS, values.mean(0), strict=True)) == pytest.approx(figures)
    low, high = intervals_of(RANKS)["full"]["hit@5"]
    assert low < figures["hit@5"] < high
