"""Checkpoints of a training run: one safetensors file, which every epoch replaces atomically.

A file holds tensors by dotted name, and the state of the loop as JSON in its header. Every epoch seeds its own random
numbers from (seed, epoch), so the state at the end of an epoch is all that a resumed run needs: it ends with the same
weights as a run that nobody killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor, nn, optim

_STATE = "state"


class CheckpointError(Exception):
    """A run cannot resume from this checkpoint; the message names the file and says what to do."""


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Replace `path` atomically. `state` is JSON-ready."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(plain, {_STATE: json.dumps(state)}))


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, all of it or nothing; makes the folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and state of a checkpoint; raises CheckpointError if the file is damaged."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})[_STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); delete it to train from the start") from error
    return tensors, state


def save_run(
    path: Path,
    key: Mapping[str, Any],
    model: nn.Module,
    optimizer: optim.Optimizer,
    best_weights: Mapping[str, Tensor],
    loop: Mapping[str, Any],
    history: list[dict[str, Any]],
) -> None:
    """Replace the checkpoint of a run after an epoch. key: what a run must agree with to resume from it."""
    tensors = {
        **flatten("model", model.state_dict()),
        **flatten("best", best_weights),
        **flatten("optimizer", optimizer_tensors(optimizer)),
    }
    save_checkpoint(path, tensors, {"key": key, "loop": loop, "history": history})


def resume_run(
    path: Path, key: Mapping[str, Any], decides: str, model: nn.Module, optimizer: optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any], list[dict[str, Any]]]:
    """Load a checkpoint into model and optimiser; returns the best weights, the loop's state and the history.

    Raises CheckpointError when another run wrote it; decides: what makes a run another, in words.
    """
    tensors, state = load_checkpoint(path)
    if state["key"] != key:
        raise CheckpointError(f"{path}: belongs to a run with other {decides}; delete it to start anew")
    model.load_state_dict(part("model", tensors))
    restore_optimizer(optimizer, part("optimizer", tensors))
    return part("best", tensors), state["loop"], state["history"]


@contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Lock the checkpoint `path`, so that one process trains the run; None locks nothing.

    Raises CheckpointError at once if another process has the lock. The lock ends with its process.
    """
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CheckpointError(f"{path}: another process is training this run; wait for it, or stop it") from error
    try:
        yield
    finally:
        # Remove the file before the release: otherwise another process could lock the file that we remove.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def flatten(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `flatten(prefix, …)` named."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")}


def optimizer_tensors(optimizer: optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as "<parameter number>.<name>" → tensor."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}


def restore_optimizer(optimizer: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the state that `optimizer_tensors` gave; the settings of the parameter groups stay."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's state that later steps do not change."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
