"""Sweeps with the `paper` recipe: codebook size, levels, ID dimension, no reconstruction, no joint training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.config import Recipe
from training.report.content import Column, Figure, Section, Table, columns, table
from training.report.plan import PROTOCOL_NAMES, Plan, level_metrics, without_ids
from training.report.plots import Panel, Series, draw_lines
from training.report.result import HEADLINE, RunResult


def section(plan: Plan) -> Section:
    paper, values = plan.paper, plan.sweeps
    # Width 0 means no ID half, which the token type expresses.
    by_dim = {dim: paper.override({"id_dim": dim}) if dim else without_ids(paper) for dim in values.id_dims}
    size = {size: paper.override({"codebook_size": size}) for size in values.codebook_sizes}
    depth = {count: paper.override({"metrics": level_metrics(count)}) for count in values.levels}
    swept = {
        "codebook size": _run(plan, "codebook size", size),
        "levels": _run(plan, "levels", depth),
        "ID dimension": _run(plan, "ID dimension", by_dim),
    }
    apart = {"joint": False, "warmup_epochs": values.warmup_epochs}
    objective = {
        "whole objective": paper,
        "reconstruction off": paper.override({"reconstruction": False}),
        f"joint training off ({values.warmup_epochs} passes on the tokenizer, then frozen)": paper.override(apart),
    }
    switched = _run(plan, "objective", objective)
    return Section(
        name="sweeps",
        title="Sweeps",
        intro="How large must codebooks and ID embeddings be, and which parts of the objective matter?",
        notes=[f"Recipe {paper.name} with one change each, seed {plan.seed}, one run each."],
        tables=[
            *(_table(plan, f"By {name}", name, runs) for name, runs in swept.items()),
            _table(plan, "By objective", "objective", switched),
        ],
        figures=[_figure(plan, name, runs) for name, runs in swept.items()],
        runs=[run.key for runs in (*swept.values(), switched) for run in runs.values()],
    )


def _run(plan: Plan, name: str, recipes: Mapping[Any, Recipe]) -> dict[Any, RunResult]:
    return {
        value: plan.bench.run_recipe(recipe, plan.seed, f"{plan.paper.name}, {name} {value}")
        for value, recipe in recipes.items()
    }


def _table(plan: Plan, title: str, name: str, runs: Mapping[Any, RunResult]) -> Table:
    heads = [
        *columns(name, *plan.headline_names()),
        Column(name="distinct semantic IDs over items", kind="percent"),
        Column(name="token parameters", kind="count"),
    ]
    rows = [
        [
            str(value),
            *plan.headline(run),
            (run.codebooks or {}).get("distinct"),
            (run.token_parameters or {}).get("total"),
        ]
        for value, run in runs.items()
    ]
    return table(title, heads, rows)


def _figure(plan: Plan, name: str, runs: Mapping[Any, RunResult]) -> Figure:
    panels = []
    for protocol in plan.protocols():
        lines = []
        for metric in HEADLINE:
            values = [run.figures["test"][protocol][metric] for run in runs.values()]
            bounds = [run.intervals["test"][protocol][metric] for run in runs.values()]
            low, high = [pair[0] for pair in bounds], [pair[1] for pair in bounds]
            lines.append(Series(metric.upper(), range(len(runs)), values, low, high))
        panels.append(
            Panel(PROTOCOL_NAMES[protocol], name, "share of users / NDCG", lines, ticks=[str(value) for value in runs])
        )
    return draw_lines(
        plan.figures,
        f"sweep-{name.replace(' ', '-').lower()}.png",
        f"Accuracy by {name}, 95 % intervals over users",
        panels,
        foot=plan.foot(plan.paper.name),
        alt=f"HIT@10 and NDCG@10 for each {name}; the values are in the table.",
    )
