"""What is wrong with a row, where it stands, and the error that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

OnError: TypeAlias = Literal["fail", "drop"]

SHOWN_IN_ERROR = 20
KEPT_PROBLEMS = 1000
_SHOWN_VALUE = 60
_SHOWN_NAMES = 12
_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One row that cannot be used.

    `line` is the line the row begins at, counted from 1 with the header; in parquet it is the row number.
    """

    file: str
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.message}"


class DatasetError(Exception):
    """A data set that cannot be used; `problems` holds the rows at fault, `counts` how many of each kind."""

    def __init__(self, message: str, problems: Iterable[Problem] = (), counts: dict[str, int] | None = None) -> None:
        super().__init__("\n".join(printable(line) for line in message.split("\n")))
        self.problems = list(problems)
        self.counts = dict(counts or {})


@dataclass
class ProblemLog:
    """Collects problems while files are read: all are counted, the first `KEPT_PROBLEMS` are kept in full."""

    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, file: Path, line: int, kind: str, message: str) -> None:
        self.counts[kind] += 1
        if len(self.problems) < KEPT_PROBLEMS:
            # Values are cut where they are shown; names of fields may be as long as a file makes them.
            short = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}…"
            self.problems.append(Problem(printable(str(file)), line, kind, printable(short)))

    def raise_if_any(self) -> None:
        """Raise `DatasetError` that lists the first problems with file and line, and the totals by kind."""
        if not self.counts:
            return
        total = sum(self.counts.values())
        by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        lines = [f"{total} row{'s' if total != 1 else ''} cannot be used ({by_kind}):"]
        lines += [f"  {problem}" for problem in self.problems[:SHOWN_IN_ERROR]]
        if total > SHOWN_IN_ERROR:
            lines.append(f"  and {total - SHOWN_IN_ERROR} more")
        raise DatasetError("\n".join(lines), self.problems, self.counts)


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


def shown(value: object) -> str:
    """A value as a message shows it: its repr (control characters and surrogates escaped), cut when long."""
    if isinstance(value, str) and len(value) > _SHOWN_VALUE:
        return f"{value[:_SHOWN_VALUE]!r}… ({len(value)} characters)"
    text = repr(value)
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}…"
