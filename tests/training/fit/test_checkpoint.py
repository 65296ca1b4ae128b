"""Checkpoints: all of it comes back, half of it is never seen, and what cannot be read is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

from tests.support.paths import REPOSITORY
from training.fit.checkpoint import (
    CheckpointError,
    flatten,
    load_checkpoint,
    locked,
    optimizer_tensors,
    part,
    restore_optimizer,
    save_checkpoint,
    snapshot,
)

TENSORS = {"a.b": torch.arange(6).view(2, 3), "a.c": torch.tensor(1.5), "x": torch.zeros(0, 4)}
STATE: dict[str, Any] = {"key": {"seed": 3}, "best": 0.25, "epoch": 7, "history": [{"ü": 1}]}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.safetensors"
    save_checkpoint(path, TENSORS, STATE)
    tensors, state = load_checkpoint(path)
    assert same(tensors, TENSORS)
    assert state == STATE
    assert [entry.name for entry in path.parent.iterdir()] == ["run.safetensors"]


def test_views_and_parameters_can_be_saved(tmp_path: Path) -> None:
    base = nn.Parameter(torch.arange(6.0).view(2, 3))
    save_checkpoint(tmp_path / "c", {"t": base.T, "p": base}, {})
    assert same(load_checkpoint(tmp_path / "c")[0], {"t": base.detach().T, "p": base.detach()})


def test_a_failed_save_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, TENSORS, STATE)

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, {"a.b": torch.zeros(1)}, {"epoch": 8})
    tensors, state = load_checkpoint(path)
    assert same(tensors, TENSORS)
    assert state["epoch"] == 7


def test_what_cannot_be_read_is_said_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, TENSORS, STATE)
    good = path.read_bytes()
    for damaged in (b"", b"not a checkpoint", good[: len(good) // 2], good[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=f"{path}: cannot be read .*delete it to train from the start"):
            load_checkpoint(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "absent")


def test_a_file_of_tensors_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    import safetensors.torch

    for metadata in (None, {"state": "{"}):
        safetensors.torch.save_file({"x": torch.zeros(1)}, tmp_path / "other", metadata)
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_checkpoint(tmp_path / "other")


def test_parts_keep_to_their_prefix() -> None:
    tensors = flatten("model", {"x": torch.ones(1), "best.y": torch.ones(2)}) | flatten("models", {"z": torch.ones(3)})
    assert list(tensors) == ["model.x", "model.best.y", "models.z"]
    assert list(part("model", tensors)) == ["x", "best.y"]
    assert list(part("best", tensors)) == []


def _train(module: nn.Module, optimizer: optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        module(torch.full((1, 3), float(step))).square().sum().backward()
        optimizer.step()


def test_a_restored_optimiser_goes_on_where_it_stopped(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = nn.Linear(3, 2)
    start = snapshot(whole)
    optimizer = optim.Adam(whole.parameters(), lr=0.1)
    _train(whole, optimizer, range(3))
    save_checkpoint(tmp_path / "c", flatten("m", whole.state_dict()) | flatten("o", optimizer_tensors(optimizer)), {})
    _train(whole, optimizer, range(3, 6))

    tensors, _ = load_checkpoint(tmp_path / "c")
    resumed = nn.Linear(3, 2)
    resumed.load_state_dict(part("m", tensors))
    assert not same(snapshot(resumed), start)
    again = optim.Adam(resumed.parameters(), lr=0.1)
    restore_optimizer(again, part("o", tensors))
    _train(resumed, again, range(3, 6))
    assert same(snapshot(resumed), snapshot(whole))


def test_a_snapshot_is_a_copy() -> None:
    module = nn.Linear(2, 2)
    before = snapshot(module)
    with torch.no_grad():
        module.weight.add_(1.0)
    assert torch.equal(before["weight"] + 1.0, module.weight.detach())


HOLD = """
import pathlib, sys, training.fit.checkpoint
with training.fit.checkpoint.locked(pathlib.Path(sys.argv[1])):
    print(1, flush=True)
    input()
"""


@pytest.mark.parametrize("end", ["exits", "is killed"])
def test_a_run_is_trained_by_one_process_at_a_time(end: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.safetensors"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        with (
            pytest.raises(CheckpointError, match=r"run\.safetensors: another process is training this run"),
            locked(path),
        ):
            pytest.fail("held twice")
        with locked(path.with_name("other.safetensors")), locked(None):
            pass
        if end == "is killed":
            other.send_signal(signal.SIGKILL)
        else:
            other.communicate(b"\n")
    with locked(path):
        pass
    with pytest.raises(KeyError), locked(path):  # nor is it held after a failure
        raise KeyError
    with locked(path):
        pass
    assert list(path.parent.iterdir()) == []
