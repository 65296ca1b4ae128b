"""Evaluation of an exported artifact. It reads only what the service would load."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact import Artifact, ArtifactError
from model.parquet import read_parquet
from training.datasets.base import Dataset, Indices
from training.evaluate.metrics import Ranks
from training.evaluate.negatives import NEGATIVES_SEED, draw_negatives
from training.evaluate.ranking import boosts_of, full_ranks, queries, sampled_ranks
from training.evaluate.splits import leave_one_out

PROTOCOLS = ("full", "sampled")


def artifact_sequences(artifact: Artifact) -> list[Indices]:
    """The sequences of item indices in the artifact; raises ArtifactError if it has none."""
    if artifact.evaluation is None:
        raise ArtifactError(f"{artifact.path}: carries no evaluation data; name the data set with --data")
    column = read_parquet(artifact.evaluation)["sequence"].to_pylist()
    return [np.array(sequence, dtype=np.int32) for sequence in column]


def dataset_sequences(artifact: Artifact, dataset: Dataset) -> list[Indices]:
    """The evaluated users' sequences of a data set in the artifact's numbering.

    Raises ValueError if an item of the data set is not in the artifact's catalogue.
    """
    index_of = artifact.items.index_of
    if unknown := [item.item_id for item in dataset.items if item.item_id not in index_of]:
        raise ValueError(f"data: {len(unknown)} items are not in the artifact's catalogue, the first is {unknown[0]!r}")
    renumber = np.array([index_of[item.item_id] for item in dataset.items], dtype=np.int32)
    return [renumber[dataset.sequences[user]] for user in leave_one_out(dataset).test.users]


def evaluate_artifact(artifact: Artifact, sequences: list[Indices], protocol: str) -> Ranks:
    """Ranks of each user's last item, predicted from all items before it; protocol "full" or "sampled"."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    if not sequences:
        raise ValueError("data: no user has three interactions, so there is nothing to evaluate on")
    catalogue = torch.from_numpy(artifact.catalogue_embeddings())
    histories = [sequence[:-1] for sequence in sequences]
    targets: NDArray[np.int64] = np.array([sequence[-1] for sequence in sequences], dtype=np.int64)
    query = queries(artifact.recommender, catalogue, histories)
    boosts = boosts_of(artifact.neighbours, histories, artifact.recommender.config.max_length)
    if protocol == "full":
        return full_ranks(query, catalogue, targets, histories, boosts)
    negatives = draw_negatives(sequences, len(artifact.items), NEGATIVES_SEED)
    return sampled_ranks(query, catalogue, targets, negatives, boosts)


def groups(artifact: Artifact, sequences: list[Indices]) -> dict[str, NDArray[np.bool_]]:
    """Masks over users by the training popularity of their target: never trained, then quarters of the rest."""
    popularity = artifact.items.popularity[[sequence[-1] for sequence in sequences]]
    out = {"cold (never in training)": popularity == 0}
    warm = popularity[popularity > 0]
    edges = np.quantile(warm, [0, 0.25, 0.5, 0.75, 1]) if len(warm) else np.zeros(5)
    for low, high, last in zip(edges[:-1], edges[1:], (False, False, False, True), strict=True):
        inside = (popularity >= max(low, 1)) & ((popularity <= high) if last else (popularity < high))
        if inside.any():
            # Name the group by its members: quantiles may lie between two popularities.
            least, greatest = popularity[inside].min(), popularity[inside].max()
            out[f"popularity {least} to {greatest}" if least < greatest else f"popularity {least}"] = inside
    return {name: mask for name, mask in out.items() if mask.any()}
