"""A data set whose answer is known, and an artifact trained on it in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from model.artifact import Artifact
from model.items import Item
from training.config import DEFAULT, Recipe
from training.datasets.base import Dataset, DatasetReport
from training.datasets.measure import measure
from training.export.export import export
from training.fit.trainer import Trainer

COLOURS = ("red", "green", "blue", "amber")
KINDS = ("kettle", "lamp", "scarf", "bicycle", "notebook")


def checkerboard(n_items: int = 120, n_users: int = 240, seed: int = 0) -> Dataset:
    """A data set whose answer is known: items come in four colours, and every user stays within one.

    Item i has the colour i % 4, and its text says so. Within a colour, items follow one another in a ring: i is
    followed by i + 4 three times out of four, so there is something for the ID half to learn too.
    """
    rng = np.random.default_rng(seed)
    items = [
        Item(
            item_id=f"item-{index}",
            title=f"{COLOURS[index % 4]} {KINDS[(index // 4) % 5]} number {index}",
            brand=f"brand {COLOURS[index % 4]}",
            categories=(COLOURS[index % 4], KINDS[(index // 4) % 5]),
            price=float(index),
            attributes={"colour": COLOURS[index % 4], "even": index % 2 == 0},
        )
        for index in range(n_items)
    ]
    sequences = []
    for user in range(n_users):
        at = int(rng.integers(n_items // 4)) * 4 + user % 4
        sequence = [at]
        for _ in range(int(rng.integers(4, 9))):
            step = 1 if rng.random() < 0.75 else int(rng.integers(2, n_items // 4))
            at = (at + 4 * step) % n_items
            sequence.append(at)
        sequences.append(np.array(sequence, dtype=np.int32))
    report = DatasetReport(format="test", recognised="checkerboard", files=[])
    dataset = Dataset("checkerboard", [f"user-{user}" for user in range(n_users)], items, sequences, None, report)
    measure(dataset)
    return dataset


TINY: Recipe = DEFAULT.override(
    {
        "name": "tiny",
        "codebook_size": 8,
        "semantic_dim": 16,
        "id_dim": 8,
        "id_shrinkage": 0,
        "blocks": 2,
        "hidden": (32,),
        "text_dim": 24,
        "cold_probability": 0.1,
        "max_length": 8,
        "loss": "softmax",
        "learning_rate": 5e-3,
        "dropout": 0.1,
        "batch_size": 32,
        "epochs": 8,
        "monitor": "full_ndcg@10",
    }
)


def train_tiny(root: Path, *, seed: int = 0, dataset: Dataset | None = None, recipe: Recipe = TINY) -> Artifact:
    """Train a throwaway artifact into `root` and load it from there."""
    trainer = Trainer(dataset or checkerboard(), recipe, seed=seed, device=torch.device("cpu"))
    trainer.fit()
    export(trainer, root)
    return Artifact.load(root)
