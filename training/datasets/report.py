"""`DatasetReport`: the content of a data set, its origin, and its problems."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from training.datasets.columns import TableUse
from training.datasets.problems import (
    INVALID_FIELD,
    Problem,
    ProblemGroup,
    by_kind,
    counted,
    examples,
    problems_to_dict,
)

REFERENCE_CORE = 5


@dataclass
class DatasetReport:
    """Counts of a data set, the rows that the reader dropped, and every problem with file and line.

    `reference_core` is the requested core, or 5 by default; `users_below_core` and `items_below_core` count those with
    fewer interactions (none after a k-core). `equal_timestamps` is the share of neighbouring interactions of a user
    within one second; `first_date` and `last_date` are ISO dates in UTC; all three are None without timestamps.
    `columns` tells how the reader used each column, for formats with free columns. `warnings` name causes of a useless
    model in valid rows. `dropped` counts rows without a problem by reason. `problems` has the first 1,000 problems,
    `problem_groups` the first three of each kind and field, `problem_counts` all.
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
    first_date: str | None = None
    last_date: str | None = None
    columns: list[TableUse] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem_counts: dict[str, int] = field(default_factory=dict)
    problem_groups: list[ProblemGroup] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        out = dict(vars(self))
        for name in ("files", "dropped", "notes", "warnings"):
            out[name] = out[name].copy()
        out["columns"] = [asdict(use) for use in self.columns]
        return out | problems_to_dict(self.problem_counts, self.problems, self.problem_groups)

    def dates(self) -> str:
        """The first and the last day, or "no timestamps"."""
        return f"{self.first_date} to {self.last_date}" if self.first_date else "no timestamps"

    def summary_of_losses(self) -> list[str]:
        """The parts of the source that the data set lacks, one line per reason; empty if it has everything."""
        out = [f"dropped {count:,} {what}" for what, count in self.dropped.items() if count]
        if self.problem_counts:
            kept = "; the items of these fields are kept" if INVALID_FIELD in self.problem_counts else ""
            kinds = by_kind(self.problem_counts)
            out.append(f"left out {counted(self.problem_counts)} with problems ({kinds}); `validate` lists them{kept}")
        return out

    def lines(self) -> list[str]:
        """The report as text: one fact per line, warnings first, three problems of each kind last."""
        length = f"min {self.min_length}, median {self.median_length:g}, mean {self.mean_length:.2f}"
        out = [
            *(f"WARNING             {warning}" for warning in self.warnings),
            f"recognised          {self.recognised}",
            *(f"file                {name}" for name in self.files),
            *(f"columns             {use}" for use in self.columns),
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
            out.append("equal timestamps    no timestamps, so file order stands for time order")
        else:
            out.append(f"first to last day   {self.dates()}")
            out.append(f"equal timestamps    {self.equal_timestamps:.1%} of a user's neighbouring interactions")
        out += [f"dropped             {count:,} {what}" for what, count in self.dropped.items() if count]
        out += [f"note                {note}" for note in self.notes]
        out.append(f"problems            {sum(self.problem_counts.values()):,}")
        out += [f"  {count:,} {kind}" for kind, count in sorted(self.problem_counts.items())]
        return out + examples(self.problem_groups)
