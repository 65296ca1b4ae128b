"""Recall@10 on items that training never saw: the 5 % hold-out, registered from their text alone, as it is served.

    python benchmarks/cold_start.py --data ../shared/data/beauty

5 % of the distinct test targets are removed from training altogether (TIGER's protocol). After training they are
registered with the service's engine, and every user is asked for: before, when the new items were not there; after,
when all items compete by score; and with `cold_share` .1, one of ten places reserved for them. Users whose history
holds no known item are left out. Beside it stands what a random item would reach.
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
    """How many of the users are recommended what they chose."""
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
