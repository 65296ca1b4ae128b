"""Token types: ID embeddings alone, semantic codes alone, and both, with their numbers of parameters."""

from __future__ import annotations

import numpy as np

from training.report.content import Column, Section, Spread, Table, columns, over_seeds, table
from training.report.intervals import bootstrap
from training.report.marks import TOKEN_SAVING
from training.report.plan import Plan, only_ids, without_ids
from training.report.result import HEADLINE, METRICS, RunResult, per_user


def section(plan: Plan) -> Section:
    runs: dict[str, dict[str, list[RunResult]]] = {}
    for name, recipe in plan.recipes.items():
        variants = {"ID only, 64-d": only_ids(recipe), "semantic only": without_ids(recipe), "unified": recipe}
        runs[name] = {token: plan.over_seeds(variant, f"{name}, {token}") for token, variant in variants.items()}
    heads = columns("tokens", *plan.headline_names())
    tables = []
    for name, variants_runs in runs.items():
        rows = [
            [token, *map(over_seeds, zip(*map(plan.headline, found), strict=True))]
            for token, found in variants_runs.items()
        ]
        tables.append(table(f"Accuracy by token type, recipe {name}", heads, rows))
        gaps = [
            [
                f"unified − {token}",
                *(
                    _gap(plan, variants_runs["unified"], found, p, metric)
                    for p in plan.protocols()
                    for metric in HEADLINE
                ),
            ]
            for token, found in variants_runs.items()
            if token != "unified"
        ]
        tables.append(
            table(
                f"Gain of unified tokens, recipe {name}",
                heads,
                gaps,
                "Mean over seeds of each user's difference, with its 95 % bootstrap interval over users; an interval "
                "that contains 0 shows no difference.",
            )
        )
        tables.append(_parameters(variants_runs, name))
    notes = [f"Seeds {', '.join(map(str, plan.seeds))}: median (least to greatest)."]
    if plan.known_data is not None:
        notes.append(
            f"The paper counts {TOKEN_SAVING[plan.known_data]:.2%} fewer token parameters for its unified tokens than "
            "for ID embeddings of width 64 on this data."
        )
    return Section(
        name="tokens",
        title="Token types",
        intro="Are codes with ID embeddings better than each alone, and how many parameters do they need?",
        notes=notes,
        tables=tables,
        runs=[run.key for found in runs.values() for group in found.values() for run in group],
    )


def _gap(plan: Plan, ours: list[RunResult], others: list[RunResult], protocol: str, metric: str) -> Spread:
    """Paired difference of two methods: the mean over seeds per user, then its mean and interval over users."""
    column = METRICS.index(metric)
    difference = np.mean(
        [
            per_user(plan.ranks(one, protocol))[:, column] - per_user(plan.ranks(other, protocol))[:, column]
            for one, other in zip(ours, others, strict=True)
        ],
        axis=0,
    )
    low, high = bootstrap(difference[:, None])[0]
    return Spread(value=float(difference.mean()), low=float(low), high=float(high))


def _parameters(variants: dict[str, list[RunResult]], recipe: str) -> Table:
    heads = [
        *columns("tokens", "codebooks", "ID embeddings", "total", kind="count"),
        Column(name="fewer than ID only, 64-d", kind="percent"),
    ]
    rows = []
    for token, found in variants.items():
        counted = found[0].token_parameters or {}
        rows.append([token, *(counted[name] for name in ("codebooks", "id_embeddings", "total", "saving"))])
    return table(
        f"Token parameters, recipe {recipe}",
        heads,
        rows,
        "As the paper counts: codebooks and ID embeddings. Encoder and decoder do not grow with the catalogue.",
    )
