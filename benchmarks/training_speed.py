"""Seconds of a training epoch and of a full evaluation, and peak memory, on a real data set.

    python benchmarks/training_speed.py --data ../shared/data/beauty --recipe paper --epochs 3

Trains so many epochs without a checkpoint. Then it evaluates the test split by both protocols with those weights.
Prints one JSON object. The median leaves out the first epoch, which warms caches and allocators.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from training.config import RECIPES
from training.datasets import load_dataset
from training.fit.progress import EpochReport, Progress
from training.fit.trainer import Trainer


def main(
    data: Annotated[Path, typer.Option("--data")],
    recipe: Annotated[str, typer.Option("--recipe")] = "paper",
    epochs: Annotated[int, typer.Option("--epochs", min=2)] = 3,
    threads: Annotated[int, typer.Option("--threads")] = 2,
) -> None:
    torch.set_num_threads(threads)
    started = time.perf_counter()
    trainer = Trainer(load_dataset(data), RECIPES[recipe].override({"epochs": epochs}), device=torch.device("cpu"))
    prepared = time.perf_counter() - started
    reports: list[EpochReport] = []
    trainer.fit(progress=Progress(epoch=reports.append))
    trainer.ranks(trainer.split.test, "sampled")  # draws the negatives once for all evaluations
    evaluation = {}
    for protocol in ("full", "sampled"):
        started = time.perf_counter()
        trainer.ranks(trainer.split.test, protocol)
        evaluation[protocol] = round(time.perf_counter() - started, 2)
    result = {
        "data": trainer.dataset.name,
        "recipe": recipe,
        "users": len(trainer.split.test),
        "threads": threads,
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "prepare_s": round(prepared, 1),
        "epoch_s": [round(report.seconds, 2) for report in reports],
        "epoch_median_s": round(statistics.median(report.seconds for report in reports[1:]), 2),
        "validation_s": round(statistics.median(report.validation_seconds for report in reports), 2),
        "evaluation_s": evaluation,
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    typer.echo(json.dumps(result, indent=1))


if __name__ == "__main__":
    typer.run(main)
