"""Cold start: items held out of training, and test items that are in no training sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from model.config import ColdPolicy
from training.baselines import baseline_ranks
from training.evaluate.metrics import Ranks, hit
from training.report.content import Cell, Column, Section, Spread, Table, columns, table
from training.report.holdout import (
    World,
    cold_values,
    cold_world,
    measure,
    nearest_in_the_last_place,
    our_scores,
)
from training.report.intervals import bootstrap
from training.report.marks import COLD, COLD_ALL_USERS, COLD_GOALS
from training.report.plan import Plan
from training.report.result import RunResult, run_key
from training.report.runs import Workbench, never_trained

FRACTION = 0.05
HOLDOUT_SEED = 0
TEXT = "text-nn"
SEQUENTIAL = ("sasrec-softmax", "sasrec")  # the first of these that exists

Measured = tuple[dict[str, NDArray[np.float64]], dict[str, Any]]


def section(plan: Plan, fraction: float = FRACTION) -> Section:
    world = cold_world(plan.bench.dataset, fraction, HOLDOUT_SEED)
    bench = plan.bench.with_dataset(world.known)
    runs: dict[str, RunResult] = {}
    for policy in get_args(ColdPolicy):
        recipe = bench.capped(plan.default.override({"cold_policy": policy}))
        label = f"ours, {policy}"

        def ours(key: str, recipe: Any = recipe) -> Measured:
            with bench.display(recipe.monitor) as progress:
                trainer = bench.fit(recipe, plan.seed, key, progress)
            places = measure(world, *our_scores(trainer, world))
            return cold_values(world, places), {"epochs": len(trainer.history)}

        runs[label] = _run(
            bench, world, fraction, "kindred-cold", label, recipe.model_dump(mode="json"), plan.seed, ours
        )
    sequential = next((name for name in SEQUENTIAL if name in bench.baselines), None)
    if TEXT in bench.baselines:
        runs[TEXT] = _baseline(plan, bench, world, fraction, TEXT, None)
        if sequential is not None:
            name = f"{sequential} + nearest neighbour"
            runs[name] = _baseline(plan, bench, world, fraction, name, sequential)
    chosen = "No validation target is held out, so validation cannot choose the best ID half for a cold item."
    if len(world.valid):
        policies = [name for name in runs if name.startswith("ours")]
        best = max(policies, key=lambda name: runs[name].figures["test"]["cold, reserved, validation"]["hit@10"])
        chosen = (
            f"Best ID half for a cold item by R@10 on the {len(world.valid)} held-out validation targets: "
            f"{best.removeprefix('ours, ')}."
        )
    users, targets = len(world.cases), int(world.cold.sum())
    notes = [
        f"{world.extended.n_items - world.n_known} items ({fraction:.0%} of the distinct test targets, hold-out seed "
        f"{HOLDOUT_SEED}) are held out of training and join the catalogue afterwards by their text alone. "
        f"{targets} of {users} users have one of them as target. {world.left_out} more users are left out, because "
        "their history has only held-out items.",
        "Exposure ε = .1: one of ten places is reserved for the best held-out item, the others go to the best known "
        "items. All users include those with a held-out target, who are misses before.",
        f"Recipe {plan.default.name}, seed {plan.seed}. {chosen}",
    ]
    tables = [_table(runs), *_marks(plan), _never_trained(plan)]
    return Section(
        name="cold",
        title="Cold start",
        intro="Does Kindred find an item that training never saw, and what does that cost the other items?",
        notes=notes,
        tables=tables,
        runs=[run.key for run in runs.values()],
    )


def _run(
    bench: Workbench,
    world: World,
    fraction: float,
    method: str,
    label: str,
    settings: dict[str, Any],
    seed: int,
    make: Callable[[str], Measured],
) -> RunResult:
    """A run on the hold-out. Its figures are Recall@10 by group of users instead of by protocol."""
    settings = settings | {"holdout_fraction": fraction, "holdout_seed": HOLDOUT_SEED}
    if bench.max_epochs is not None:
        settings |= {"epochs_at_most": bench.max_epochs}
    key = run_key(bench.fingerprint, method, settings, seed)
    if (found := bench.store.get(key)) is not None:
        return found
    bench.say(f"{label}, seed {seed}, {bench.dataset.name}: training ({key})")
    values, notes = make(key)
    values = {name: found for name, found in values.items() if len(found)}
    empty: dict[str, Ranks] = {}
    result = bench.result(key, method, label, settings, seed, empty, empty, 0.0, curve=[], epochs=notes.get("epochs"))
    result = result.model_copy(
        update={
            "users": len(world.cases),
            "items": world.extended.n_items,
            "figures": {"test": {name: {"hit@10": float(found.mean())} for name, found in values.items()}},
            "intervals": {"test": {name: {"hit@10": _interval(found)} for name, found in values.items()}},
            "notes": notes,
        }
    )
    bench.store.put(result, {name.replace(", ", "_").replace(" ", "_"): found for name, found in values.items()})
    return result


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = bootstrap(values[:, None])[0]
    return float(low), float(high)


def _baseline(
    plan: Plan, bench: Workbench, world: World, fraction: float, name: str, sequential: str | None
) -> RunResult:
    """Text nearest neighbours alone, or in the last place after a model of known items."""

    def make(key: str) -> Measured:
        nearest, notes, _ = bench.with_dataset(world.extended).fitted_baseline(TEXT, plan.seed)
        scores = nearest.scores
        if sequential is None:
            places = measure(world, lambda cases, rows: scores(cases, rows)[:, : world.n_known], scores)
        else:
            model, notes, _ = bench.fitted_baseline(sequential, plan.seed, bench.store.checkpoint(key))
            after = nearest_in_the_last_place(world, model.scores, scores)
            places = measure(world, model.scores, after, comparable=False)
        return cold_values(world, places), {key: value for key, value in notes.items() if key != "curve"}

    settings = {each: bench.baseline(each).config for each in (TEXT, sequential) if each is not None}
    return _run(bench, world, fraction, f"{name}-cold", name, settings, plan.seed, make)


def _table(runs: Mapping[str, RunResult]) -> Table:
    groups = {
        "cold, reserved": "cold targets, ε = .1",
        "cold, reserved, validation": "cold validation targets, ε = .1",
        "cold, free": "cold targets, no place reserved",
        "all users, before": "all users, before",
        "all users, reserved": "all users, ε = .1",
        "all users, free": "all users, no place reserved",
        "warm users, before": "other users, before",
        "warm users, reserved": "other users, ε = .1",
    }
    rows: list[list[Cell]] = []
    for name, run in runs.items():
        figures = [run.figures["test"].get(group, {}).get("hit@10") for group in groups]
        low, high = run.intervals["test"]["cold, reserved"]["hit@10"]
        first = Spread(value=run.figures["test"]["cold, reserved"]["hit@10"], low=low, high=high)
        rows.append([name, first, *figures[1:]])
    return table(
        "Recall@10, full ranking, 5 % hold-out",
        columns("method", *groups.values()),
        rows,
        "Intervals: 95 %, bootstrap over users. Each of our rows names the policy for the ID half of a cold item.",
    )


def _marks(plan: Plan) -> list[Table]:
    if plan.known_data != "beauty":
        return []
    rows: list[list[Cell]] = [[name, value] for name, value in COLD.items()]
    rows += [[f"{name} of this project", value] for name, value in COLD_GOALS.items()]
    before, after = COLD_ALL_USERS
    note = f"For the last published method, R@10 of all users went from {before:.4f} to {after:.4f}."
    return [table("Published, Beauty, R@10 on cold targets", columns("method", "R@10"), rows, note)]


def _never_trained(plan: Plan) -> Table:
    """Users whose test target is in the catalogue, but in no training sequence."""
    bench = plan.bench
    rows, cases = never_trained(bench.split.test, bench.popularity)
    heads = [
        *columns("method", "R@10, full ranking", "R@10, ε = .1", "R@10 of 20 known items and all never trained"),
        Column(name="users", kind="count"),
    ]
    title = f"Test targets never trained ({len(np.unique(cases.targets))} items)"
    if not len(rows):
        return table(title, heads, [], "Every test target of this data set is in a training sequence.")
    entries: dict[str, tuple[Ranks, Ranks]] = {}
    ours = bench.run_recipe(plan.default, plan.seed, plan.default.name)
    stored = bench.store.arrays(ours)
    entries["ours"] = (plan.ranks(ours, "full").take(rows), Ranks(stored["cold_greater"], stored["cold_ties"]))
    if TEXT in bench.baselines:
        nearest, _, _ = bench.fitted_baseline(TEXT, plan.seed)
        unseen = np.flatnonzero(bench.popularity == 0)
        among = _among(bench, nearest, cases, unseen)
        full = baseline_ranks(nearest, cases, None)["full"]
        entries[TEXT] = (full, among)
    body: list[list[Cell]] = []
    for name, (full, among) in entries.items():
        known = np.minimum(full.greater - among.greater, 20)
        pool = Ranks(known + among.greater, among.ties)
        values = [float(found.mean()) for found in (hit(full, 10), hit(among, 1), hit(pool, 10))]
        body.append([name, *values, len(rows)])
    note = (
        "ε = .1: the one reserved place goes to the best never-trained item, so a model of known items with "
        f"{TEXT} in the last place equals {TEXT}. The last pool follows LIGER (arXiv 2411.18814), whose 20 "
        "candidates come from beam search."
    )
    return table(title, heads, body, note)


def _among(bench: Workbench, nearest: Any, cases: Any, unseen: NDArray[np.int64]) -> Ranks:
    """Ranks of never-trained targets among the never-trained items."""
    greater, ties = [], []
    for row in range(len(cases)):
        scores = nearest.scores(cases, slice(row, row + 1))[0].cpu().numpy()
        rivals = np.setdiff1d(unseen, [*cases.histories[row], cases.targets[row]])
        goal = scores[cases.targets[row]]
        greater.append(int((scores[rivals] > goal).sum()))
        ties.append(int((scores[rivals] == goal).sum()))
    return Ranks(np.array(greater, dtype=np.int64), np.array(ties, dtype=np.int64))
