"""Recall@10 on items that training never saw: the 5 % hold-out, tokenized from their text alone.

    python benchmarks/cold_start.py --data ../shared/data/beauty

5 % of the distinct test targets are removed from training altogether. After training, they join the catalogue as
`POST /items` would add them (`Artifact.encode_new`), and every user whose
history holds a known item is ranked over the whole catalogue, history masked. Beside the cold targets stands the
Recall@10 of all other users before and after the new items joined, and what a random item would reach.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from model.artifact import Artifact
from model.neighbours import Neighbours
from training.config import RECIPES
from training.console import progress_display
from training.datasets import cold_holdout, load_dataset
from training.datasets.splits import ColdCase
from training.evaluation import boosts_of, full_ranks, queries
from training.export import export
from training.metrics import hit, summary
from training.trainer import Trainer


def main(
    data: Annotated[Path, typer.Option("--data")],
    recipe: Annotated[str, typer.Option("--recipe")] = "default",
    fraction: Annotated[float, typer.Option("--fraction")] = 0.05,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    epochs: Annotated[int | None, typer.Option("--epochs")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="keep the artifact here, with a checkpoint")] = None,
    threads: Annotated[int, typer.Option("--threads")] = 2,
) -> None:
    torch.set_num_threads(threads)
    holdout = cold_holdout(load_dataset(data), fraction, seed)
    chosen = RECIPES[recipe].override({"epochs": epochs} if epochs else {})
    with tempfile.TemporaryDirectory() as folder:
        root = output or Path(folder)
        trainer = Trainer(holdout.train, chosen, seed=seed)
        with progress_display(chosen) as progress:
            trainer.fit(root / "checkpoint.safetensors", progress)
        export(trainer, root)
        artifact = Artifact.load(root)
    known = torch.from_numpy(artifact.catalogue_embeddings())
    added = artifact.encode_new(holdout.held_out)
    index_of = artifact.items.index_of | {item.item_id: len(known) + at for at, item in enumerate(holdout.held_out)}
    everything = torch.cat([known, torch.from_numpy(added.embeddings)])
    joined = artifact.neighbours.extended(added.joining)
    cold = recall(artifact, holdout.cases, index_of, everything, joined)
    before = recall(artifact, holdout.warm_cases, artifact.items.index_of, known, artifact.neighbours)
    after = recall(artifact, holdout.warm_cases, index_of, everything, joined)
    result = {
        "data": holdout.train.name,
        "recipe": recipe,
        "seed": seed,
        "held_out_items": len(holdout.held_out),
        "cold": cold,
        "random_item_hit@10": 10 / len(everything),
        "warm_before": before,
        "warm_after": after,
    }
    typer.echo(json.dumps(result, indent=1))


def recall(
    artifact: Artifact,
    cases: list[ColdCase],
    index_of: dict[str, int],
    catalogue: torch.Tensor,
    neighbours: Neighbours,
) -> dict[str, float]:
    """Full-ranking metrics of the cases whose history holds an item that `index_of` knows."""
    histories, targets = [], []
    for case in cases:
        history = np.array([index_of[item] for item in case.history if item in index_of], dtype=np.int32)
        if len(history):
            histories.append(history)
            targets.append(index_of[case.target])
    goal = np.array(targets, dtype=np.int64)
    boosts = boosts_of(neighbours, histories, artifact.recommender.config.max_length)
    ranks = full_ranks(queries(artifact.recommender, catalogue, histories), catalogue, goal, histories, boosts)
    return {"users": len(cases), "ranked": len(goal), "hit@10_all": float(hit(ranks, 10).sum() / len(cases))} | summary(
        ranks
    )


if __name__ == "__main__":
    typer.run(main)
