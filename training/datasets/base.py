"""`Dataset`: what every reader gives and what training reads, with the report of how it came about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from model.items import Item
from training.datasets.problems import DatasetError, Problem

__all__ = ["Dataset", "DatasetError", "DatasetReport", "IntArray", "Problem"]

IntArray = npt.NDArray[np.int32]
TimeArray = npt.NDArray[np.int64]
WeightArray = npt.NDArray[np.float32]

REFERENCE_CORE = 5
_LISTED_PROBLEMS = 50


@dataclass
class DatasetReport:
    """Counts of a data set, what was dropped on the way, and every problem with file and line.

    `reference_core` is the core that was asked for, or 5 where none was; `users_below_core` and
    `items_below_core` count what has fewer interactions in the data set as it is (after k-core: none).
    `equal_timestamps` is the share of neighbouring interactions of a user that have the same second, None
    without timestamps. `dropped` counts by reason; `problems` holds the first 1,000,
    `problem_counts` counts all.
    """

    format: str
    recognised: str
    files: list[str]
    core: int = 0
    n_users: int = 0
    n_items: int = 0
    n_interactions: int = 0
    min_length: int = 0
    median_length: float = 0.0
    mean_length: float = 0.0
    max_length: int = 0
    density: float = 0.0
    reference_core: int = REFERENCE_CORE
    users_below_core: int = 0
    items_below_core: int = 0
    training_only_users: int = 0
    repeated_interactions: int = 0
    cold_items: int = 0
    unlisted_items: int = 0
    items_without_text: int = 0
    equal_timestamps: float | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem_counts: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def measure(self, dataset: Dataset) -> None:
        """Fill in every figure that follows from the data set itself."""
        lengths = np.array([len(sequence) for sequence in dataset.sequences], dtype=np.int64)
        popularity = dataset.popularity()
        self.n_users = dataset.n_users
        self.n_items = dataset.n_items
        self.n_interactions = dataset.n_interactions
        if len(lengths):
            self.min_length, self.max_length = int(lengths.min()), int(lengths.max())
            self.median_length, self.mean_length = float(np.median(lengths)), float(lengths.mean())
        cells = self.n_users * self.n_items
        self.density = self.n_interactions / cells if cells else 0.0
        self.reference_core = self.core or REFERENCE_CORE
        self.users_below_core = int((lengths < self.reference_core).sum())
        self.items_below_core = int(((popularity > 0) & (popularity < self.reference_core)).sum())
        self.training_only_users = int((lengths < 3).sum())
        self.repeated_interactions = self.n_interactions - sum(
            len(set(sequence.tolist())) for sequence in dataset.sequences
        )
        self.cold_items = int((popularity == 0).sum())
        self.items_without_text = sum(not item.to_text() for item in dataset.items)
        if dataset.timestamps is not None:
            users = np.repeat(np.arange(len(lengths)), lengths)
            gaps = np.diff(np.concatenate(dataset.timestamps))[users[1:] == users[:-1]]
            self.equal_timestamps = float((gaps == 0).mean()) if len(gaps) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        out = dict(vars(self))
        out["problems"] = [
            {"file": problem.file, "line": problem.line, "kind": problem.kind, "message": problem.message}
            for problem in self.problems
        ]
        for name in ("files", "dropped", "notes", "problem_counts"):
            out[name] = out[name].copy()
        return out

    def summary_of_losses(self) -> list[str]:
        """What of the source is not in the data set, one line a reason; empty when everything is."""
        out = [f"dropped {count:,} {what}" for what, count in self.dropped.items() if count]
        if total := sum(self.problem_counts.values()):
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.problem_counts.items()))
            out.append(f"left out {total:,} rows with problems ({kinds}); `validate` names them")
        return out

    def lines(self) -> list[str]:
        """The report for a reader: one fact a line, the first 50 problems last."""
        length = f"min {self.min_length}, median {self.median_length:g}, mean {self.mean_length:.2f}"
        out = [
            f"recognised          {self.recognised}",
            *(f"file                {name}" for name in self.files),
            f"users               {self.n_users:,}",
            f"items               {self.n_items:,}",
            f"interactions        {self.n_interactions:,} (density {self.density:.4%})",
            f"sequence length     {length}, max {self.max_length}",
            f"users below {self.reference_core:<7} {self.users_below_core:,}",
            f"items below {self.reference_core:<7} {self.items_below_core:,}",
            f"users below 3       {self.training_only_users:,} (used for training only)",
            f"items without text  {self.items_without_text:,}",
            f"items not in the items file  {self.unlisted_items:,}",
            f"items without interactions   {self.cold_items:,}",
            f"repeated interactions        {self.repeated_interactions:,} (same user and item again)",
        ]
        if self.equal_timestamps is None:
            out.append("equal timestamps    no timestamps: the order of the file is the order of time")
        else:
            out.append(f"equal timestamps    {self.equal_timestamps:.1%} of a user's neighbouring interactions")
        out += [f"dropped             {count:,} {what}" for what, count in self.dropped.items() if count]
        out += [f"note                {note}" for note in self.notes]
        total = sum(self.problem_counts.values())
        out.append(f"problems            {total:,}")
        out += [f"  {count:,} {kind}" for kind, count in sorted(self.problem_counts.items())]
        out += [f"  {problem}" for problem in self.problems[:_LISTED_PROBLEMS]]
        if total > _LISTED_PROBLEMS:
            out.append(f"  and {total - _LISTED_PROBLEMS:,} more")
        return out


@dataclass(frozen=True, eq=False)
class Dataset:
    """Users' sequences over a catalogue.

    `items[item_index]` is the catalogue, which may hold items without interactions. `sequences[u]` holds the
    item indices `[length]` of user `u` in the order of time, `timestamps[u]` their times in seconds since
    1970, `weights[u]` their weights; the last two are None where the source has none.
    """

    name: str
    user_ids: list[str]
    items: list[Item]
    sequences: list[IntArray]
    timestamps: list[TimeArray] | None
    report: DatasetReport
    weights: list[WeightArray] | None = None

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def n_interactions(self) -> int:
        return sum(len(sequence) for sequence in self.sequences)

    def popularity(self) -> TimeArray:
        """Interactions of each item, int64 `[n_items]`, over the whole sequences."""
        if not self.sequences:
            return np.zeros(self.n_items, dtype=np.int64)
        return np.bincount(np.concatenate(self.sequences), minlength=self.n_items).astype(np.int64)

    def fingerprint(self) -> str:
        """SHA-256 over the content: users, items with their texts and attributes, sequences, times, weights.

        The name and the report take no part: the same content in another format has the same fingerprint.
        """
        digest = hashlib.sha256()

        def part(tag: str, data: bytes) -> None:
            # Tag and length keep neighbouring parts from running into each other.
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
