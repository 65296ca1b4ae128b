"""A training command that is killed for real, and the same command again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import safetensors.torch
import torch

from model.artifact import Artifact
from tests.support.paths import REPOSITORY
from tests.support.tiny_training import checkerboard
from tests.training.fit.test_trainer import SMALL
from training.datasets import load_dataset, write_dataset
from training.fit.checkpoint import load_checkpoint
from training.fit.trainer import Trainer


def test_a_killed_command_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """SIGKILL in mid-training, then the same command: the exported weights are those of an uninterrupted run."""
    write_dataset(checkerboard(n_items=40, n_users=60), tmp_path / "data")
    recipe = SMALL.override({"name": "default", "epochs": 40, "patience": 40})
    changed = {name: value for name, value in recipe.model_dump().items() if name != "name"}
    settings = [f"{name}={','.join(value) if name == 'metrics' else value}" for name, value in changed.items()]
    settings = [setting.replace("(16,)", "16") for setting in settings]
    root = tmp_path / "artifacts"
    command = [sys.executable, "-m", "training", "train", "--data", str(tmp_path / "data"), "--output", str(root)]
    command += ["--threads", "1", *(part for setting in settings for part in ("--set", setting))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    done = -1
    while done < 1:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no second epoch in two minutes"
        found = list((root / ".training").glob("*.safetensors")) if root.exists() else []
        done = load_checkpoint(found[0])[1]["loop"]["epoch"] if found else -1
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (checkpoint,) = (root / ".training").glob("*.safetensors")
    stopped = load_checkpoint(checkpoint)[1]["loop"]["epoch"]
    assert 1 <= stopped < 38
    assert not (root / "current").exists()

    again = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert "resuming from" in again.stderr
    assert f"epoch {stopped + 1:3d}  " not in again.stderr
    assert f"epoch {stopped + 2:3d}  " in again.stderr
    assert not list((root / ".training").glob("*.safetensors"))

    whole = Trainer(load_dataset(tmp_path / "data"), recipe, device=torch.device("cpu"))
    whole.fit()
    artifact = Artifact.load(root)
    assert artifact.path is not None
    for name, module in (("tokenizer", whole.model.tokenizer), ("recommender", whole.model.recommender)):
        stored = safetensors.torch.load_file(artifact.path / f"{name}.safetensors")
        expected = module.state_dict()
        assert [key for key in expected if not torch.equal(stored[key], expected[key])] == []
