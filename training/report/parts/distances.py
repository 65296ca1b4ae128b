"""Distances of the levels: all cosine, all Euclidean, or cosine with Euclidean in the last."""

from __future__ import annotations

from training.report.content import Column, Section, columns, table
from training.report.marks import DISTANCES
from training.report.plan import Plan, level_metrics
from training.report.plots import Panel, Series, draw_lines


def section(plan: Plan) -> Section:
    levels = len(plan.paper.metrics)
    variants = {
        "all cosine": ("cosine",) * levels,
        "all Euclidean": ("euclidean",) * levels,
        "cosine, then Euclidean last": level_metrics(levels),
    }
    runs = {
        name: plan.bench.run_recipe(plan.paper.override({"metrics": metrics}), plan.seed, f"paper, {name}")
        for name, metrics in variants.items()
    }
    codebooks = {name: run.codebooks or {} for name, run in runs.items()}
    health = table(
        "Codebooks by distance",
        [
            *columns("distance", *(f"level {level + 1} in use" for level in range(levels)), kind="percent"),
            Column(name="distinct semantic IDs over items", kind="percent"),
            Column(name="items with a semantic ID of their own", kind="percent"),
            Column(name="most items on one ID", kind="count"),
        ],
        [
            [name, *found["usage"], found["distinct"], found["unique"], found["largest_collision"]]
            for name, found in codebooks.items()
        ],
        "In use: codewords that at least one item chooses, after the last epoch replaced dead codewords.",
    )
    accuracy = table(
        "Accuracy by distance",
        columns("distance", *plan.headline_names()),
        [[name, *plan.headline(run)] for name, run in runs.items()],
    )
    tables = [health, accuracy]
    if plan.known_data == "beauty":
        tables.append(
            table(
                "Published, Beauty (arXiv 2502.16474)",
                columns("distance", "level 1 in use", "distinct semantic IDs over items", kind="percent"),
                [[name, *pair] for name, pair in DISTANCES.items()],
            )
        )
    return Section(
        name="distances",
        title="Distances",
        intro="Which distance keeps all codewords in use, and which separates items best?",
        notes=[f"Recipe {plan.paper.name}, seed {plan.seed}, one run each."],
        tables=tables,
        figures=[
            draw_lines(
                plan.figures,
                "distances.png",
                "Codewords in use by level",
                [
                    Panel(
                        "",
                        "level",
                        "codewords in use (share)",
                        [Series(name, range(levels), found["usage"]) for name, found in codebooks.items()],
                        ticks=[str(level + 1) for level in range(levels)],
                    )
                ],
                foot=plan.foot(plan.paper.name),
                alt="Share of codewords in use at each level for the three distances; the values are in the table.",
            )
        ],
        runs=[run.key for run in runs.values()],
    )
