"""Recall@10 on items that training never saw: the service registers a 5 % hold-out from its texts alone.

    python benchmarks/cold_start.py --data ../shared/data/beauty

The benchmark removes 5 % of the distinct test targets from training (TIGER's protocol) and trains. Then it asks for
every user three times: before the new items are there; after it has registered them with the service's engine, so that
all items compete by score; and with `cold_share` .1, which reserves one of ten places for them. It leaves out users
whose history holds no known item. `random item` is what a random recommendation would reach.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.settings import Settings
from training.config import RECIPES
from training.console import progress_display
from training.datasets import load_dataset
from training.evaluate.splits import ColdCase, cold_holdout
from training.export.export import export
from training.fit.trainer import Trainer
from training.options import limit_threads

PLACES = 10
SHARE = 0.1
_BATCH = 256


def main(
    data: Annotated[Path, typer.Option("--data")],
    recipe: Annotated[str, typer.Option("--recipe")] = "default",
    fraction: Annotated[float, typer.Option("--fraction")] = 0.05,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    epochs: Annotated[int | None, typer.Option("--epochs")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="keep the artifact here, with a checkpoint")] = None,
    threads: Annotated[int, typer.Option("--threads")] = 2,
) -> None:
    limit_threads(threads)
    holdout = cold_holdout(load_dataset(data), fraction, seed)
    chosen = RECIPES[recipe].override({"epochs": epochs} if epochs else {})
    with tempfile.TemporaryDirectory() as folder:
        root = output or Path(folder)
        trainer = Trainer(holdout.train, chosen, seed=seed)
        with progress_display(chosen.monitor) as progress:
            trainer.fit(root / "checkpoint.safetensors", progress)
        export(trainer, root)
        engine = Engine.start(Settings(artifacts=root, database_url=f"sqlite:///{folder}/registry.db", threads=threads))
        try:
            known = {item.item_id for item in holdout.train.items}
            cold, warm = (
                [case for case in cases if known.intersection(case.history)]
                for cases in (holdout.cases, holdout.warm_cases)
            )
            warm_before = hits(engine, warm)
            engine.writer.write(holdout.held_out)
            figures = {
                "cold": hits(engine, cold) / len(cold),
                "cold, reserved": (cold_reserved := hits(engine, cold, SHARE)) / len(cold),
                "random item": PLACES / len(engine.catalogue),
                "others, before": warm_before / len(warm),
                "others, after": hits(engine, warm) / len(warm),
                "others, reserved": (warm_reserved := hits(engine, warm, SHARE)) / len(warm),
                "all, before": warm_before / (len(cold) + len(warm)),
                "all, reserved": (cold_reserved + warm_reserved) / (len(cold) + len(warm)),
            }
        finally:
            engine.close()
    counts = {"held_out_items": len(holdout.held_out), "cold_users": len(cold), "other_users": len(warm)}
    result = {"data": holdout.train.name, "recipe": recipe, "seed": seed, **counts, f"recall@{PLACES}": figures}
    typer.echo(json.dumps(result, indent=1))


def hits(engine: Engine, cases: list[ColdCase], share: float = 0.0) -> int:
    """Count the users whose recommendations hold the item that they chose."""
    found = 0
    for start in range(0, len(cases), _BATCH):
        part = cases[start : start + _BATCH]
        answers = engine.recommend_batch(
            [RecommendRequest(history=list(case.history), k=PLACES, cold_share=share) for case in part]
        )
        for case, answer in zip(part, answers, strict=True):
            found += case.target in {item.item_id for item in answer.items}
    return found


if __name__ == "__main__":
    typer.run(main)
