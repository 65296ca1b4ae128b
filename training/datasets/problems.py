"""What is wrong with a row, where it stands, and the error that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Literal, TypeAlias

OnError: TypeAlias = Literal["fail", "drop"]

KEPT_PROBLEMS = 1000
EXAMPLES = 3
# The one kind of problem that costs a field and not the row: a price or an attribute that cannot be read.
INVALID_FIELD = "invalid_field"
_KEPT_GROUPS = 100
_SHOWN_GROUPS = 20
_SHOWN_VALUE = 60
_SHOWN_NAMES = 12
_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One row, or one field of a row, that cannot be used.

    `line` is the line the row begins at, counted from 1 with the header; in parquet it is the row number.
    """

    file: str
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.message}"


@dataclass(slots=True)
class ProblemGroup:
    """Problems of one kind in one field of one file: how many there are, and the first three.

    `field` is the field or column at fault, "" where the whole row is.
    """

    file: str
    kind: str
    field: str
    count: int = 0
    examples: list[Problem] = dataclass_field(default_factory=list)


@dataclass
class ProblemLog:
    """Collects problems while files are read: all are counted, the first `KEPT_PROBLEMS` are kept in full.

    `groups` holds the first three of each kind and field, however late in the files they stand.
    """

    problems: list[Problem] = dataclass_field(default_factory=list)
    counts: Counter[str] = dataclass_field(default_factory=Counter)
    _groups: dict[tuple[str, str, str], ProblemGroup] = dataclass_field(default_factory=dict)

    @property
    def groups(self) -> list[ProblemGroup]:
        """The groups in the order in which they were first met."""
        return list(self._groups.values())

    def add(self, file: Path, line: int, kind: str, message: str, field: str = "") -> None:
        self.counts[kind] += 1
        key = (str(file), kind, field)
        if key not in self._groups and len(self._groups) >= _KEPT_GROUPS:
            # A file may hold as many names of attributes as it has rows; these go together.
            key = (str(file), kind, "")
        group = self._groups.setdefault(key, ProblemGroup(printable(key[0]), kind, printable(key[2])))
        group.count += 1
        if len(self.problems) < KEPT_PROBLEMS or len(group.examples) < EXAMPLES:
            # Values are cut where they are shown; names of fields may be as long as a file makes them.
            short = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}…"
            problem = Problem(group.file, line, kind, printable(short))
            if len(self.problems) < KEPT_PROBLEMS:
                self.problems.append(problem)
            if len(group.examples) < EXAMPLES:
                group.examples.append(problem)

    def raise_if_any(self) -> None:
        """Raise `DatasetError` that lists three problems of each kind with file and line, and the totals."""
        if self.counts:
            heading = f"{counted(self.counts)} cannot be used ({by_kind(self.counts)}):"
            raise DatasetError("\n".join([heading, *examples(self.groups)]), self)


class DatasetError(Exception):
    """A data set that cannot be used; `problems`, `counts` and `groups` tell of the rows at fault."""

    def __init__(self, message: str, log: ProblemLog | None = None) -> None:
        super().__init__("\n".join(printable(line) for line in message.split("\n")))
        log = log or ProblemLog()
        self.problems = list(log.problems)
        self.counts = dict(log.counts)
        self.groups = log.groups


def counted(counts: Mapping[str, int]) -> str:
    """How many rows and fields problems cost: "2 rows and 1 field"."""
    fields = counts.get(INVALID_FIELD, 0)
    rows = sum(counts.values()) - fields
    parts = [(rows, "row"), (fields, "field")]
    return " and ".join(f"{count:,} {what}{'s' if count != 1 else ''}" for count, what in parts if count)


def by_kind(counts: Mapping[str, int]) -> str:
    """The count of each kind: "1 invalid_timestamp, 1 malformed_row"."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))


def examples(groups: Sequence[ProblemGroup]) -> list[str]:
    """Lines for a reader: three problems of each group and how many more there are; the first twenty groups."""
    lines: list[str] = []
    for group in groups[:_SHOWN_GROUPS]:
        lines += [f"  {problem}" for problem in group.examples]
        if group.count > len(group.examples):
            of = f" of {listed([group.field])}" if group.field else ""
            lines.append(f"  and {group.count - len(group.examples):,} more {group.kind}{of}")
    if rest := sum(group.count for group in groups[_SHOWN_GROUPS:]):
        lines.append(f"  and {rest:,} of other kinds")
    return lines


def problems_to_dict(
    counts: Mapping[str, int], problems: Sequence[Problem], groups: Sequence[ProblemGroup]
) -> dict[str, Any]:
    """A JSON-ready form."""
    return {
        "problem_counts": dict(counts),
        "problem_groups": [
            {"file": group.file, "kind": group.kind, "field": group.field, "count": group.count} for group in groups
        ],
        "problems": [
            {"file": problem.file, "line": problem.line, "kind": problem.kind, "message": problem.message}
            for problem in problems
        ],
    }


def printable(text: str) -> str:
    """Text that any terminal and any encoding takes: control characters and lone surrogates are escaped.

    Names of columns and files come from outside as much as values do, and reach messages and reports.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first twelve, long ones cut."""
    if not names:
        return "none"
    parts = [name if len(name) <= _SHOWN_VALUE else f"{name[:_SHOWN_VALUE]}…" for name in names[:_SHOWN_NAMES]]
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return printable(", ".join(parts)) + more


def quoted(value: object) -> str:
    """A value as a message shows it: its repr (control characters and surrogates escaped), cut when long."""
    if isinstance(value, str) and len(value) > _SHOWN_VALUE:
        return f"{value[:_SHOWN_VALUE]!r}… ({len(value)} characters)"
    text = repr(value)
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}…"
