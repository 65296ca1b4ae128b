"""Limits of the figures: the order of same-day purchases, ties, and the effect of 99 random negatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from training.datasets.base import Dataset
from training.evaluate.metrics import Ranks, hit, summary
from training.evaluate.ranking import candidate_ranks
from training.report.content import Cell, Column, Section, Table, columns, table
from training.report.marks import marks_for
from training.report.plan import PROTOCOL_NAMES, Plan
from training.report.result import RunResult

T = TypeVar("T", bound=np.generic)

DAY = 86_400
SHUFFLE_SEED = 0
SHUFFLED_METHODS = ("popularity", "sasrec-softmax")  # order does not affect the first; the second depends on it


def section(plan: Plan) -> Section:
    runs = {f"ours, {name}": plan.bench.run_recipe(recipe, plan.seed, name) for name, recipe in plan.recipes.items()}
    runs |= {name: plan.bench.run_baseline(name, plan.seed) for name in plan.methods}
    tables = [_ties(plan, runs)]
    notes = [
        "Tests compare the metric code with an independent library (ranx) and with the enumeration of every order of "
        "tied candidates, on random rankings with ties: tests/training/report/test_oracle.py.",
    ]
    keys = [run.key for run in runs.values()]
    if plan.bench.negatives is not None:
        tables += [_protocols(runs), _counted_answers(plan, plan.bench.negatives)]
        notes.append(sampled_note(runs))
    dataset = plan.bench.dataset
    if dataset.timestamps is None:
        notes.append("The data has no timestamps, so we cannot tell which neighbouring purchases fell on one day.")
    else:
        shuffled, share = shuffle_days(dataset, SHUFFLE_SEED)
        notes.append(
            f"{share:.1%} of a user's neighbouring purchases fell on one day, and the file decides their order. Below, "
            f"they are in random order (seed {SHUFFLE_SEED}) in training and test, so targets differ, too."
        )
        bench = plan.bench.with_dataset(shuffled)
        ours = f"ours, {plan.default.name}"
        again = {ours: bench.run_recipe(plan.default, plan.seed, f"{plan.default.name}, days shuffled")}
        again |= {name: bench.run_baseline(name, plan.seed) for name in plan.methods if name in SHUFFLED_METHODS}
        pairs = {name: (runs[name], run) for name, run in again.items()}
        tables.append(_shuffled(plan, pairs))
        keys += [run.key for run in again.values()]
    return Section(
        name="honesty",
        title="Honesty",
        intro="How much do the figures depend on ties, on the order within a day, and on the negatives?",
        notes=notes,
        tables=tables,
        runs=keys,
    )


def shuffle_days(dataset: Dataset, seed: int) -> tuple[Dataset, float]:
    """The data set with each user's purchases of one day in random order, and the share of neighbours of one day.

    Raises ValueError without timestamps.
    """
    if dataset.timestamps is None:
        raise ValueError(f"data: {dataset.name} has no timestamps, so no day of a purchase is known")
    rng = np.random.default_rng(seed)
    orders, same, pairs = [], 0, 0
    for times in dataset.timestamps:
        days = times // DAY
        orders.append(np.lexsort((rng.random(len(days)), days)))
        same += int((np.diff(days) == 0).sum())
        pairs += max(len(days) - 1, 0)

    shuffled = replace(
        dataset,
        name=f"{dataset.name}, days shuffled",
        sequences=_reordered(dataset.sequences, orders),
        timestamps=_reordered(dataset.timestamps, orders),
        weights=None if dataset.weights is None else _reordered(dataset.weights, orders),
    )
    return shuffled, same / pairs if pairs else 0.0


def _reordered(rows: list[NDArray[T]], orders: list[NDArray[np.int64]]) -> list[NDArray[T]]:
    return [row[order] for row, order in zip(rows, orders, strict=True)]


def sampled_note(runs: Mapping[str, RunResult]) -> str:
    """How far the two protocols agree on the order of the methods, by NDCG@10."""
    names = list(runs)
    sampled = np.array([runs[name].figures["test"]["sampled"]["ndcg@10"] for name in names])
    full = np.array([runs[name].figures["test"]["full"]["ndcg@10"] for name in names])
    turned = [
        f"{names[one]} and {names[other]}"
        for one, other in combinations(range(len(names)), 2)
        if (sampled[one] - sampled[other]) * (full[one] - full[other]) < 0
    ]
    text = (
        "In sampled-99 the target must beat 99 random items, most of them unpopular and unlike it; in full ranking it "
        "must beat every item. A method that finds the right neighbourhood does well in the first, one that finds the "
        "right item in the second (Krichene and Rendle, KDD 2020)."
    )
    if len(names) < 3 or len(set(sampled)) < 2 or len(set(full)) < 2:
        return f"{text} There are too few methods to compare their order."
    tau, rho = kendalltau(sampled, full).statistic, spearmanr(sampled, full).statistic
    pairs = len(names) * (len(names) - 1) // 2
    return (
        f"{text} By NDCG@10 the two protocols order the {len(names)} methods with Kendall's τ = {tau:.2f} and "
        f"Spearman's ρ = {rho:.2f}; {len(turned)} of {pairs} pairs are in opposite order{': ' if turned else ''}"
        f"{'; '.join(turned[:6])}{', …' if len(turned) > 6 else ''}."
    )


def _protocols(runs: Mapping[str, RunResult]) -> Table:
    def places(protocol: str) -> dict[str, int]:
        values = {name: run.figures["test"][protocol]["ndcg@10"] for name, run in runs.items()}
        return {name: 1 + sum(other > value for other in values.values()) for name, value in values.items()}

    sampled, full = places("sampled"), places("full")
    heads = [
        *columns("method", "place, sampled-99", "place, full ranking", kind="count"),
        Column(name="NDCG@10, sampled-99"),
        Column(name="NDCG@10, full ranking"),
    ]
    rows = [
        [name, sampled[name], full[name], run.test("sampled", "ndcg@10"), run.test("full", "ndcg@10")]
        for name, run in sorted(runs.items(), key=lambda entry: full[entry[0]])
    ]
    return table("Order of the methods under both protocols", heads, rows)


def _counted_answers(plan: Plan, negatives: NDArray[np.int64]) -> Table:
    """Popularity by training interactions, and by every interaction, targets included."""
    dataset, targets = plan.bench.dataset, plan.bench.split.test.targets
    candidates = np.concatenate([targets[:, None], negatives], axis=1)
    every = np.bincount(np.concatenate(dataset.sequences), minlength=dataset.n_items)
    rows: list[list[Cell]] = []
    for name, counts in (("training", plan.bench.popularity), ("every interaction, targets included", every)):
        values = summary(candidate_ranks(torch.from_numpy(counts[candidates])))
        rows.append([name, values["hit@10"], values["ndcg@10"]])
    rows += [
        [f"published, {source}", hit_10, ndcg_10]
        for method, source, hit_10, ndcg_10 in marks_for(plan.known_data, "sampled")
        if method == "popularity"
    ]
    return table(
        "Popularity that counts test interactions",
        columns("interactions counted", "HIT@10, sampled-99", "NDCG@10, sampled-99"),
        rows,
        "A method that is fitted on all interactions has seen the test targets.",
    )


def _ties(plan: Plan, runs: Mapping[str, RunResult]) -> Table:
    heads = [Column(name="method", kind="text")]
    for protocol in plan.protocols():
        heads += [
            Column(name=f"users with a tied target, {PROTOCOL_NAMES[protocol]}", kind="percent"),
            Column(name=f"HIT@10, ties lost, {PROTOCOL_NAMES[protocol]}"),
            Column(name="HIT@10, expected"),
            Column(name="HIT@10, ties won"),
        ]
    rows: list[list[Cell]] = []
    for name, run in runs.items():
        row: list[Cell] = [name]
        for protocol in plan.protocols():
            ranks = plan.ranks(run, protocol)
            none = np.zeros_like(ranks.ties)
            lost, won = Ranks(ranks.greater + ranks.ties, none), Ranks(ranks.greater, none)
            row.append(float((ranks.ties > 0).mean()))
            row += [float(hit(each, 10).mean()) for each in (lost, ranks, won)]
        rows.append(row)
    return table("Effect of ties", heads, rows, "A metric that breaks ties by item number reports a figure in between.")


def _shuffled(plan: Plan, pairs: Mapping[str, tuple[RunResult, RunResult]]) -> Table:
    heads = columns("method", *plan.headline_names())
    rows: list[list[Cell]] = []
    for name, (as_is, shuffled) in pairs.items():
        for order, run in (("as the file orders", as_is), ("days shuffled", shuffled)):
            rows.append([f"{name}, {order}", *plan.headline(run)])
    return table("Purchases of one day in random order", heads, rows)
