"""The overall table: ours on every seed beside the baselines and the published marks, in both protocols."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from training.report.content import Cell, Column, Section, Spread, Table, columns, over_seeds, table
from training.report.marks import GOALS, Protocol, marks_for
from training.report.plan import PROTOCOL_NAMES, Plan
from training.report.plots import draw_dots
from training.report.result import HEADLINE, METRICS, RunResult

SHOWN = tuple(metric.replace("hit@", "HIT@").replace("ndcg@", "NDCG@").replace("mrr", "MRR") for metric in METRICS)


def section(plan: Plan) -> Section:
    groups: dict[str, list[RunResult]] = {name: [plan.bench.run_baseline(name, plan.seed)] for name in plan.methods}
    groups |= {f"ours, {name}": plan.over_seeds(recipe, name) for name, recipe in plan.recipes.items()}
    tables: list[Table] = []
    for protocol in plan.protocols():
        tables += [_figures(groups, protocol), _intervals(groups, protocol)]
        if marks := marks_for(plan.known_data, "sampled" if protocol == "sampled" else "full"):
            tables.append(_marks(groups, marks, protocol))
    if plan.known_data is not None:
        tables.append(_goals(plan, groups[f"ours, {plan.default.name}"]))
    tables.append(_costs(groups))
    notes = [
        f"Ours: median over the seeds {', '.join(map(str, plan.seeds))} (least to greatest). "
        f"Baselines: seed {plan.seed}.",
        "With one target per user, HIT@k equals Recall@k. Luck does not break ties: a figure is its expectation over "
        "all orders of tied candidates.",
        "All methods share the split, the negatives and the metric code. Validation chose the epoch of every run and "
        "the settings of every baseline.",
    ]
    if plan.bench.negatives is None:
        notes.append("The sampled protocol is left out: some user has fewer than 99 items left to draw.")
    return Section(
        name="overall",
        title="Overall",
        intro="How good are the recommendations, compared with other methods on the same data?",
        notes=notes,
        tables=tables,
        figures=[
            draw_dots(
                plan.figures,
                "overall.png",
                "HIT@10 with 95 % intervals over users",
                [
                    (
                        f"HIT@10, {PROTOCOL_NAMES[protocol]} (share of users)",
                        [
                            (name, *_interval(median_run(runs, protocol), protocol, "hit@10"))
                            for name, runs in groups.items()
                        ],
                    )
                    for protocol in plan.protocols()
                ],
                foot=plan.foot(f"{' and '.join(plan.recipes)}, beside baselines", plan.seeds),
                alt="HIT@10 of every method as a dot with its interval; the values are in the tables of intervals.",
            )
        ],
        runs=_keys(groups.values()),
    )


def median_run(runs: list[RunResult], protocol: str) -> RunResult:
    """The run whose NDCG@10 is the median (the lower of the middle two); it represents its seeds."""
    values = [run.test(protocol, "ndcg@10") for run in runs]
    return runs[values.index(statistics.median_low([value for value in values if value is not None]))]


def _interval(run: RunResult, protocol: str, metric: str) -> tuple[float, float, float]:
    return run.figures["test"][protocol][metric], *run.intervals["test"][protocol][metric]


def _figures(groups: dict[str, list[RunResult]], protocol: str) -> Table:
    rows = [
        [name, *(over_seeds(run.test(protocol, metric) for run in runs) for metric in METRICS)]
        for name, runs in groups.items()
    ]
    return table(f"Test split, {PROTOCOL_NAMES[protocol]}", columns("method", *SHOWN), rows)


def _intervals(groups: dict[str, list[RunResult]], protocol: str) -> Table:
    rows: list[list[Cell]] = []
    for name, runs in groups.items():
        bounds = [_interval(median_run(runs, protocol), protocol, metric) for metric in HEADLINE]
        rows.append([name, *(Spread(value=value, low=low, high=high) for value, low, high in bounds)])
    return table(
        f"95 % intervals over users, {PROTOCOL_NAMES[protocol]}",
        columns("method", "HIT@10", "NDCG@10"),
        rows,
        "Percentile bootstrap, 1,000 resamples of the users; for our models, the run with the median NDCG@10.",
    )


def _marks(
    groups: dict[str, list[RunResult]], marks: list[tuple[str, str, float, float | None]], protocol: str
) -> Table:
    ours = [
        (name, "this report", *(over_seeds(run.test(protocol, metric) for run in runs) for metric in HEADLINE))
        for name, runs in groups.items()
        if name.startswith("ours")
    ]
    heads = [*(Column(name=name, kind="text") for name in ("method", "source")), *columns("", "HIT@10", "NDCG@10")[1:]]
    return table(f"Published, {PROTOCOL_NAMES[protocol]}", heads, [*marks, *ours])


def _goals(plan: Plan, runs: list[RunResult]) -> Table:
    rows: list[list[Cell]] = []
    for goal in GOALS[plan.known_data or ""]:
        targets: list[tuple[Protocol, tuple[float, float] | None]] = [("sampled", goal.sampled), ("full", goal.full)]
        for protocol, pair in targets:
            for metric, target in zip(HEADLINE, pair or (), strict=False):
                values = [value for run in runs if (value := run.test(protocol, metric)) is not None]
                if values:
                    reached = statistics.median(values)
                    row: list[Cell] = [f"{goal.name}: {metric.upper()}, {PROTOCOL_NAMES[protocol]}", target, reached]
                    rows.append([*row, "reached" if reached >= target else f"missed by {target - reached:.4f}"])
    heads = [*columns("goal", "target", "median over seeds"), Column(name="", kind="text")]
    return table(f"Goals of the recipe {plan.default.name}", heads, rows)


def _costs(groups: dict[str, list[RunResult]]) -> Table:
    heads = [
        Column(name="method", kind="text"),
        Column(name="epochs", kind="count"),
        Column(name="training, seconds", kind="seconds"),
        Column(name="machine", kind="text"),
    ]
    rows = [
        [name, over_seeds(run.epochs for run in runs), over_seeds(run.seconds for run in runs), runs[0].machine]
        for name, runs in groups.items()
    ]
    return table(
        "Cost",
        heads,
        rows,
        "Median over seeds. Ours: training alone, without the evaluation after each epoch. Baselines: all of fitting "
        "since the last resumption, with evaluation and grid search.",
    )


def _keys(groups: Iterable[list[RunResult]]) -> list[str]:
    return [run.key for runs in groups for run in runs]
