"""Problems of rows: kind, place, and the error that lists them."""

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
# The only kind that drops a field and keeps the row: an unreadable price or attribute.
INVALID_FIELD = "invalid_field"
_KEPT_GROUPS = 100
_SHOWN_GROUPS = 20
_SHOWN_VALUE = 60
_SHOWN_NAMES = 12
_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One unusable row, or one unusable field of a row.

    `line` is the first line of the row, counted from 1 with the header; in parquet it is the row number.
    """

    file: str
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.message}"


@dataclass(slots=True)
class ProblemGroup:
    """Problems of one kind in one field of one file: their number, and the first three.

    `field` is the field or column with the problem, "" for the whole row.
    """

    file: str
    kind: str
    field: str
    count: int = 0
    examples: list[Problem] = dataclass_field(default_factory=list)


@dataclass
class ProblemLog:
    """Collects problems while a reader works: counts all, and keeps the first `KEPT_PROBLEMS`.

    `groups` has the first three of each kind and field, however late in the files they are.
    """

    problems: list[Problem] = dataclass_field(default_factory=list)
    counts: Counter[str] = dataclass_field(default_factory=Counter)
    _groups: dict[tuple[str, str, str], ProblemGroup] = dataclass_field(default_factory=dict)

    @property
    def groups(self) -> list[ProblemGroup]:
        """The groups in order of their first problem."""
        return list(self._groups.values())

    def add(self, file: Path, line: int, kind: str, message: str, field: str = "") -> None:
        self.counts[kind] += 1
        key = (str(file), kind, field)
        if key not in self._groups and len(self._groups) >= _KEPT_GROUPS:
            # A file may have as many attribute names as rows; put the rest into one group.
            key = (str(file), kind, "")
        group = self._groups.setdefault(key, ProblemGroup(printable(key[0]), kind, printable(key[2])))
        group.count += 1
        if len(self.problems) < KEPT_PROBLEMS or len(group.examples) < EXAMPLES:
            # `quoted` cuts long values, but a file may have field names of any length.
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
    """A data set is unusable; `problems`, `counts` and `groups` describe the bad rows."""

    def __init__(self, message: str, log: ProblemLog | None = None) -> None:
        super().__init__("\n".join(printable(line) for line in message.split("\n")))
        log = log or ProblemLog()
        self.problems = list(log.problems)
        self.counts = dict(log.counts)
        self.groups = log.groups


def counted(counts: Mapping[str, int]) -> str:
    """The number of dropped rows and fields: "2 rows and 1 field"."""
    fields = counts.get(INVALID_FIELD, 0)
    rows = sum(counts.values()) - fields
    parts = [(rows, "row"), (fields, "field")]
    return " and ".join(f"{count:,} {what}{'s' if count != 1 else ''}" for count, what in parts if count)


def by_kind(counts: Mapping[str, int]) -> str:
    """The count of each kind: "1 invalid_timestamp, 1 malformed_row"."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))


def examples(groups: Sequence[ProblemGroup]) -> list[str]:
    """Lines of text for the first twenty groups: three problems of each, and the number of others."""
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
    """Escape control characters and lone surrogates, so that any terminal and any encoding takes the text.

    Names of columns and files come from outside, as values do, and appear in messages and reports.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first twelve, with long ones cut."""
    if not names:
        return "none"
    parts = [name if len(name) <= _SHOWN_VALUE else f"{name[:_SHOWN_VALUE]}…" for name in names[:_SHOWN_NAMES]]
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return printable(", ".join(parts)) + more


def quoted(value: object) -> str:
    """A value for a message: its repr (which escapes control characters and surrogates), cut if it is long."""
    if isinstance(value, str) and len(value) > _SHOWN_VALUE:
        return f"{value[:_SHOWN_VALUE]!r}… ({len(value)} characters)"
    text = repr(value)
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}…"
