"""report.json and index.html: the new sections, with those of earlier runs of the command."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from training.fit.checkpoint import write_atomically
from training.report.content import Section, cell_text
from training.report.parts import PARTS
from training.report.plots import require_extra
from training.report.result import RunResult
from training.report.runs import Workbench
from training.report.store import StoreError

FORMAT = 1
TEMPLATE = Path(__file__).with_name("page.html.j2")


class Report(BaseModel):
    """The content of report.json. runs: by key, every run that a section names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    data: str
    fingerprint: str
    users: int
    items: int
    interactions: int
    date: str
    command: str
    sections: list[Section]
    runs: dict[str, RunResult]


def read_report(path: Path, fingerprint: str) -> Report | None:
    """An earlier report of the same data, None if there is none; StoreError if it is damaged or of other data."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        report = Report.model_validate_json(data)
    except ValidationError as error:
        raise StoreError(f"{path}: no report of this program; move it away or choose another --output") from error
    if report.format != FORMAT:
        raise StoreError(f"{path}: has the format {report.format}, this program writes {FORMAT}; move it away")
    if report.fingerprint != fingerprint:
        raise StoreError(f"{path}: is a report of other data ({report.data}); choose another --output")
    return report


def write_report(output: Path, bench: Workbench, sections: Iterable[Section]) -> Report:
    """Write report.json and index.html; a section replaces an earlier one of its name."""
    path = output / "report.json"
    earlier = read_report(path, bench.fingerprint)
    found = {section.name: section for section in (earlier.sections if earlier else [])}
    found |= {section.name: section for section in sections}
    ordered = [found[name] for name in PARTS if name in found]
    runs = dict(earlier.runs) if earlier else {}
    for key in {key for section in ordered for key in section.runs}:
        if (result := bench.store.get(key)) is not None:
            runs[key] = result
    named = {key for section in ordered for key in section.runs}
    report = Report(
        format=FORMAT,
        data=bench.dataset.name,
        fingerprint=bench.fingerprint,
        users=bench.dataset.n_users,
        items=bench.dataset.n_items,
        interactions=bench.dataset.n_interactions,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=bench.command,
        sections=ordered,
        runs={key: runs[key] for key in sorted(named)},
    )
    text = json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    page = render(report, output / "figures")
    write_atomically(path, text.encode())
    write_atomically(output / "index.html", page.encode())
    return report


def render(report: Report, figures: Path) -> str:
    """The page: one HTML file that contains its style and images."""
    require_extra()
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell_text
    environment.globals["image"] = lambda file: _data_uri(figures / file)
    machines = sorted({run.machine for run in report.runs.values()})
    values: dict[str, Any] = {"report": report, "machines": machines}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(values)


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
