"""Figures: maps of codewords and IDs, the semantic-ID tree, learning curves, accuracy by popularity and length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE

from training.config import Recipe
from training.evaluate.metrics import hit
from training.report.content import Cell, Column, Figure, Section, Table, columns, table
from training.report.plan import PROTOCOL_NAMES, Plan, only_ids, without_ids
from training.report.plots import Cloud, Panel, Series, draw_clouds, draw_lines
from training.report.result import RunResult
from training.report.tree import semantic_tree

MAP_POINTS = 2000
CLUSTERS = 8
_MAP_SEED = 0

# Lower ends of the groups; each group ends before the next.
POPULARITY = (0, 1, 5, 10, 20, 50, 100)
LENGTHS = (2, 4, 6, 10, 20, 50)


def section(plan: Plan) -> Section:
    bench = plan.bench
    main = {name: bench.run_recipe(recipe, plan.seed, name) for name, recipe in plan.recipes.items()}
    default = plan.default.name
    compared = {
        f"ours, {default}": main[default],
        f"{default}, ID only": bench.run_recipe(only_ids(plan.default), plan.seed, f"{default}, ID only"),
        f"{default}, semantic only": bench.run_recipe(
            without_ids(plan.default), plan.seed, f"{default}, semantic only"
        ),
    }
    compared |= {
        name: bench.run_baseline(name, plan.seed) for name in ("sasrec-softmax", "text-nn") if name in plan.methods
    }
    popularity = bench.popularity[bench.split.test.targets]
    lengths = np.array([len(history) for history in bench.split.test.histories])
    groups = {
        "item popularity": ("training interactions of the target", popularity, POPULARITY),
        "history length": ("items in the history", lengths, LENGTHS),
    }
    tables: list[Table] = []
    drawn: list[Figure] = []
    for name, recipe in plan.recipes.items():
        drawn += [_curves(plan, recipe, main[name]), *_maps(plan, name, main[name])]
    for name, (label, values, edges) in groups.items():
        made, figure = _by_group(plan, name, label, compared, values, edges)
        tables.append(made)
        drawn.append(figure)
    arrays = bench.store.arrays(main[default])
    tree = semantic_tree(arrays["codes"], bench.dataset.items) if "codes" in arrays else []
    runs = {run.key for run in (*main.values(), *compared.values())}
    return Section(
        name="figures",
        title="Figures",
        intro="Maps of codes and ID embeddings, learning curves, and accuracy by user group.",
        notes=[
            "Maps are by t-SNE (van der Maaten and Hinton, 2008); only nearness has a meaning. Colours and markers "
            f"are k-means clusters (at most {CLUSTERS}) of the mapped vectors.",
            f"The semantic-ID tree ({default}, seed {plan.seed}) shows the most common prefixes, the words that "
            "distinguish their items from the catalogue, and an example or two.",
        ],
        tables=tables,
        figures=drawn,
        tree=tree,
        runs=sorted(runs),
    )


def _curves(plan: Plan, recipe: Recipe, run: RunResult) -> Figure:
    epochs = [entry["epoch"] + 1 for entry in run.curve]
    parts = [name for name in ("recommendation", "commitment", "codebook", "reconstruction") if run.curve[0].get(name)]
    losses = [Series(name, epochs, [entry[name] for entry in run.curve]) for name in ("total", *parts)]
    monitor = str(run.settings["monitor"])
    validation = [Series(monitor, epochs, [entry["monitored"] for entry in run.curve])]
    return draw_lines(
        plan.figures,
        f"curve-{recipe.name}.png",
        f"Learning curves, {recipe.name}",
        [
            Panel("training", "epoch", "mean loss of a step", losses),
            Panel("validation", "epoch", monitor, validation),
        ],
        foot=plan.foot(recipe.name),
        alt=f"Losses and {monitor} over {len(epochs)} epochs.",
    )


def _maps(plan: Plan, name: str, run: RunResult) -> list[Figure]:
    arrays = plan.bench.store.arrays(run)
    drawn = []
    if "codewords" in arrays:
        clouds = [_cloud(f"codewords of level {level + 1}", words) for level, words in enumerate(arrays["codewords"])]
        alt = "A map of the codewords of each level, points of one cluster with one marker."
        title = f"Codewords by level, {name}"
        drawn.append(draw_clouds(plan.figures, f"codewords-{name}.png", title, clouds, foot=plan.foot(name), alt=alt))
    if "id_embeddings" in arrays:
        trained = arrays["id_embeddings"][plan.bench.popularity > 0]
        rows = np.random.default_rng(_MAP_SEED).permutation(len(trained))[:MAP_POINTS]
        cloud = _cloud(f"{len(rows)} of {len(trained)} trained items", trained[np.sort(rows)])
        alt = "A map of ID embeddings, points of one cluster with one marker."
        title = f"ID embeddings, {name}"
        drawn.append(draw_clouds(plan.figures, f"ids-{name}.png", title, [cloud], foot=plan.foot(name), alt=alt))
    return drawn


def _cloud(title: str, vectors: NDArray[np.float32]) -> Cloud:
    clusters = min(CLUSTERS, len(np.unique(vectors, axis=0)))
    groups = KMeans(clusters, n_init=1, random_state=_MAP_SEED).fit(vectors).labels_.astype(np.int64)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=_MAP_SEED, n_jobs=1).fit_transform(vectors)
    return Cloud(title, points.astype(np.float64), groups)


def group_names(edges: Sequence[int]) -> list[str]:
    """Names of the groups with the lower ends 0, 1, 5, …, 100: "0", "1–4", …, "100+"."""
    ends = [f"{low}–{high - 1}" if high - low > 1 else str(low) for low, high in pairwise(edges)]
    return [*ends, f"{edges[-1]}+"]


def group_of(values: NDArray[np.int64], edges: Sequence[int]) -> NDArray[np.int64]:
    """Group of each value, 0 … len(edges) − 1; values below the first edge belong to the first."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, None)


def _by_group(
    plan: Plan, name: str, label: str, runs: Mapping[str, RunResult], values: NDArray[np.int64], edges: Sequence[int]
) -> tuple[Table, Figure]:
    group = group_of(values, edges)
    present = np.unique(group)
    names = [group_names(edges)[at] for at in present]
    counts = np.bincount(group, minlength=len(edges))[present]
    rows: list[list[Cell]] = [[named, count] for named, count in zip(names, counts.tolist(), strict=True)]
    heads = [Column(name=label, kind="text"), Column(name="users", kind="count")]
    panels = []
    for protocol in plan.protocols():
        lines = []
        for method, run in runs.items():
            found = hit(plan.ranks(run, protocol), 10)
            means = [float(found[group == at].mean()) for at in present]
            lines.append(Series(method, range(len(present)), means))
            heads += columns("", f"{method}, {PROTOCOL_NAMES[protocol]}")[1:]
            for row, mean in zip(rows, means, strict=True):
                row.append(mean)
        panels.append(Panel(PROTOCOL_NAMES[protocol], label, "HIT@10 (share of users)", lines, ticks=names))
    figure = draw_lines(
        plan.figures,
        f"by-{name.replace(' ', '-')}.png",
        f"HIT@10 by {name}",
        panels,
        foot=plan.foot(f"{plan.default.name}, beside baselines"),
        alt=f"HIT@10 of each method by {name}; the values are in the table.",
    )
    return table(f"HIT@10 by {name}", heads, rows), figure
