"""`Dataset`: every reader returns one, and training reads it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.items import Item
from training.datasets.problems import DatasetError, Problem
from training.datasets.report import DatasetReport

__all__ = ["Dataset", "DatasetError", "DatasetReport", "Indices", "Problem"]

Indices = npt.NDArray[np.int32]
"""Numbers of users or of items."""
Times = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Users' sequences over a catalogue.

    `items[item_index]` is the catalogue, which may have items without interactions. `sequences[u]` has the item indices
    `[length]` of user `u` in order of time, `timestamps[u]` their times in seconds since 1970, and `weights[u]` their
    weights. The last two are None if the source has none.
    """

    name: str
    user_ids: list[str]
    items: list[Item]
    sequences: list[Indices]
    timestamps: list[Times] | None
    report: DatasetReport
    weights: list[Weights] | None = None

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def n_interactions(self) -> int:
        return sum(len(sequence) for sequence in self.sequences)

    def popularity(self) -> Times:
        """Interactions of each item, int64 `[n_items]`, over the whole sequences."""
        if not self.sequences:
            return np.zeros(self.n_items, dtype=np.int64)
        return np.bincount(np.concatenate(self.sequences), minlength=self.n_items).astype(np.int64)

    def fingerprint(self) -> str:
        """SHA-256 over the content: users, items with their texts and attributes, sequences, times, weights.

        Name and report do not count, so the same content in another format has the same fingerprint.
        """
        digest = hashlib.sha256()

        def part(tag: str, data: bytes) -> None:
            # Tag and length separate neighbouring parts.
            digest.update(f"{tag}:{len(data)}\n".encode())
            digest.update(data)

        part("users", "\n".join(self.user_ids).encode())
        part("items", "\n".join(f"{item.item_id}\t{item.content_hash()}" for item in self.items).encode())
        part("lengths", np.array([len(row) for row in self.sequences], dtype="<i8").tobytes())
        if self.sequences:
            part("sequences", np.concatenate(self.sequences).astype("<i4").tobytes())
            if self.timestamps is not None:
                part("timestamps", np.concatenate(self.timestamps).astype("<i8").tobytes())
            if self.weights is not None:
                part("weights", np.concatenate(self.weights).astype("<f4").tobytes())
        return digest.hexdigest()
