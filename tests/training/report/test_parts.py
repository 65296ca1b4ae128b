"""Every part end to end on a tiny data set, one epoch each; the page; and what an earlier report leaves standing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.support.reports import make_bench, make_plan, small_data
from training.report.content import Section, Spread, cell_text, over_seeds
from training.report.make import make_report
from training.report.page import Report, read_report
from training.report.parts import PARTS
from training.report.parts.figures import group_names, group_of
from training.report.plan import Plan
from training.report.result import METRICS
from training.report.store import StoreError


class Made(NamedTuple):
    folder: Path
    plan: Plan
    report: Report
    said: tuple[str, ...]
    """What making it said."""
    files: tuple[str, ...]
    """The runs that making it left. Tests ask the plan for more runs."""

    def section(self, name: str) -> Section:
        return next(section for section in self.report.sections if section.name == name)

    def rows(self, part: str, title: str) -> dict[str, list[Any]]:
        found = next(table for table in self.section(part).tables if table.title.startswith(title))
        return {str(row[0]): row[1:] for row in found.rows}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder: Path = tmp_path_factory.mktemp("report")
    said: list[str] = []
    plan = make_plan(folder, small_data(timed=True), said)
    report = make_report(plan, folder, list(PARTS))
    return Made(folder, plan, report, tuple(said), tuple(path.name for path in (folder / "runs").glob("*.json")))


def test_every_part_is_there_with_its_files(made: Made) -> None:
    assert [section.name for section in made.report.sections] == list(PARTS)
    files = {figure.file for section in made.report.sections for figure in section.figures}
    assert files == {path.name for path in (made.folder / "figures").iterdir()}
    for file in files:
        assert (made.folder / "figures" / file).read_bytes().startswith(b"\x89PNG")
    assert Report.model_validate_json((made.folder / "report.json").read_bytes()) == made.report
    assert set(made.report.runs) == {key for section in made.report.sections for key in section.runs}
    # Everything named was made once: a training each, and the shuffled and the held-out ones beside.
    assert len(made.files) == len(made.report.runs)
    assert len([text for text in made.said if "training" in text]) == len(made.report.runs)


def test_a_second_report_trains_nothing_and_says_the_same(made: Made, tmp_path: Path) -> None:
    said: list[str] = []
    folder = shutil.copytree(made.folder, tmp_path / "again")
    plan = make_plan(folder, small_data(timed=True), said)
    before = json.loads((folder / "report.json").read_bytes())
    again = make_report(plan, folder, ["tokens", "distances"])
    assert said == ["part 1 of 2: tokens", "part 2 of 2: distances"]
    assert again.sections == made.report.sections
    assert again.runs == made.report.runs
    assert json.loads((folder / "report.json").read_bytes())["sections"] == before["sections"]


def test_the_overall_table_holds_the_medians_of_the_runs(made: Made) -> None:
    for protocol, shown in (("sampled", "sampled-99"), ("full", "full ranking")):
        rows = made.rows("overall", f"Test split, {shown}")
        assert list(rows) == ["popularity", "text-nn", "ours, paper", "ours, default"]
        runs = [made.plan.bench.run_recipe(made.plan.default, seed) for seed in (0, 1)]
        for cell, metric in zip(rows["ours, default"], METRICS, strict=True):
            values = [run.figures["test"][protocol][metric] for run in runs]
            assert isinstance(cell, Spread)
            assert [cell.low, cell.high] == sorted(values)
            assert cell.value == pytest.approx(np.mean(values))
        popularity = made.plan.bench.run_baseline("popularity", 0)
        assert rows["popularity"] == [popularity.figures["test"][protocol][metric] for metric in METRICS]
        for cell in [
            cell for row in made.rows("overall", f"95 % intervals over users, {shown}").values() for cell in row
        ]:
            assert cell.low <= cell.value <= cell.high


def test_token_parameters_are_counted(made: Made) -> None:
    rows = made.rows("tokens", "Token parameters, recipe default")
    books = 3 * 8 * 8
    assert rows["ID only, 64-d"] == [0, 120 * 64, 120 * 64, 0.0]
    assert rows["semantic only"] == [books, 0, books, pytest.approx(1 - books / (120 * 64))]
    assert rows["unified"][:3] == [books, 120 * 8, books + 120 * 8]
    gains = made.rows("tokens", "Gain of unified tokens, recipe default")
    accuracy = made.rows("tokens", "Accuracy by token type, recipe default")
    for at in range(4):
        # Of two seeds, the median is the mean.
        gap = accuracy["unified"][at].value - accuracy["semantic only"][at].value
        assert gains["unified − semantic only"][at].value == pytest.approx(gap)


def test_distances_report_the_health_of_every_level(made: Made) -> None:
    rows = made.rows("distances", "Codebooks by distance")
    assert list(rows) == ["all cosine", "all Euclidean", "cosine, then Euclidean last"]
    for row in rows.values():
        assert len(row) == 6
        assert all(0 < share <= 1 for share in row[:4])
    settings = [made.report.runs[key].settings["metrics"] for key in made.section("distances").runs]
    assert settings == [["cosine"] * 3, ["euclidean"] * 3, ["cosine", "cosine", "euclidean"]]


def test_sweeps_change_one_thing_each(made: Made) -> None:
    assert list(made.rows("sweeps", "By codebook size")) == ["4", "8"]
    assert list(made.rows("sweeps", "By levels")) == ["1", "3"]
    assert [row[-1] for row in made.rows("sweeps", "By ID dimension").values()] == [3 * 8 * 8, 3 * 8 * 8 + 120 * 8]
    assert len(made.rows("sweeps", "By objective")) == 3
    base = made.plan.bench.run_recipe(made.plan.paper, 0).settings
    changed = [
        {name for name, value in made.report.runs[key].settings.items() if value != base[name]}
        for key in made.section("sweeps").runs
    ]
    names = [{"codebook_size"}, set(), {"metrics"}, set(), {"tokens"}, set(), set()]
    assert changed == [*names, {"reconstruction"}, {"joint", "warmup_epochs"}]


def test_figures_group_users_and_show_the_tree(made: Made) -> None:
    for title, values in (
        ("HIT@10 by item popularity", made.plan.bench.popularity[made.plan.bench.split.test.targets]),
        ("HIT@10 by history length", [len(history) for history in made.plan.bench.split.test.histories]),
    ):
        rows = made.rows("figures", title)
        assert sum(row[0] for row in rows.values()) == 60
        run = made.plan.bench.run_recipe(made.plan.default, 0)
        mean = sum(row[0] * row[1] for row in rows.values()) / 60
        assert mean == pytest.approx(run.figures["test"]["sampled"]["hit@10"]), (title, values)
    tree = made.section("figures").tree
    assert tree
    examples = [title for node in tree for title in node.examples]
    assert 1 <= len(examples) <= 6


def test_groups_have_names_and_ends() -> None:
    assert group_names((0, 1, 5, 10)) == ["0", "1–4", "5–9", "10+"]
    assert group_of(np.array([0, 1, 4, 5, 9, 10, 500]), (0, 1, 5, 10)).tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert group_of(np.array([1]), (2, 4)).tolist() == [0]


def test_cold_start_compares_policies_and_neighbours(made: Made) -> None:
    rows = made.rows("cold", "Recall@10, full ranking, 5 % hold-out")
    policies = ["neighbour", "learned", "zero", "mean", "predicted"]
    assert list(rows) == [*(f"ours, {policy}" for policy in policies), "text-nn", "sasrec + nearest neighbour"]
    for name, row in rows.items():
        reserved, validation, free, before, after, _, warm_before, warm_after = row
        assert 0 <= validation <= 1
        assert reserved.low <= reserved.value <= reserved.high
        assert (free is None) == name.startswith("sasrec")
        assert warm_before >= before  # all users: those with a cold target are misses before
        assert 0 <= after <= 1
        assert 0 <= warm_after <= 1
    # The same scores for cold items: the same recall on them.
    assert rows["text-nn"][0].value == rows["sasrec + nearest neighbour"][0].value


def test_honesty_counts_ties_and_shuffles_days(made: Made) -> None:
    rows = made.rows("honesty", "Effect of ties")
    for row in rows.values():
        for share, lost, expected, won in (row[:4], row[4:]):
            assert lost <= expected <= won
            assert (lost < won) <= (share > 0)
    assert rows["popularity"][1] < rows["popularity"][3]
    counted = made.rows("honesty", "Popularity that counts test interactions")
    training, every = (counted[name][0] for name in ("training", "every interaction, targets included"))
    assert every > training
    shuffled = made.rows("honesty", "Purchases of one day in random order")
    assert {"ours, default, days shuffled", "popularity, as the file orders"} <= set(shuffled)
    assert any("fell on one day" in note for note in made.section("honesty").notes)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_every_number_and_needs_nothing_else(made: Made) -> None:
    source = (made.folder / "index.html").read_text(encoding="utf-8")
    page = Page(source)
    for section in made.report.sections:
        for table in section.tables:
            assert table.title in page.text
            for row in table.rows:
                for cell, column in zip(row, table.columns, strict=True):
                    assert cell_text(cell, column.kind) in page.text
    images = [values for tag, values in page.tags if tag == "img"]
    assert len(images) == sum(len(section.figures) for section in made.report.sections)
    for values in images:
        assert (values["src"] or "").startswith("data:image/png;base64,")
        assert values["alt"]
    for figure in [figure for section in made.report.sections for figure in section.figures]:
        assert re.search(r"data checkerboard · recipe .+ · seeds? \d", figure.caption)
        assert figure.caption in page.text
    referring = [value for _, values in page.tags for name in ("src", "href", "action") if (value := values.get(name))]
    assert all(value.startswith(("data:image/png", "#")) for value in referring)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\(|@import|https?://", source)
    assert {value[1:] for value in referring if value.startswith("#")} <= {
        values.get("id") for _, values in page.tags if values.get("id")
    }
    assert page.tags[0] == ("html", {"lang": "en"})
    scopes = [values.get("scope") for tag, values in page.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}


def test_markup_in_the_data_stays_text(made: Made, tmp_path: Path) -> None:
    from training.report.page import render

    report = made.report.model_copy(update={"data": "<script>alert(1)</script>", "sections": []})
    assert "<script>" not in render(report, tmp_path)
    assert "&lt;script&gt;" in render(report, tmp_path)


def test_a_report_of_other_data_or_a_damaged_one_is_refused(made: Made, tmp_path: Path) -> None:
    other = make_plan(made.folder, small_data(n_users=50))
    with pytest.raises(StoreError, match=r"report.json: is a report of other data \(checkerboard\)"):
        make_report(other, made.folder, ["distances"])
    path = tmp_path / "report.json"
    assert read_report(path, "x") is None
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(StoreError, match=r"report.json: no report of this program"):
        read_report(path, "x")
    later = made.report.model_copy(update={"format": 99}).model_dump_json()
    path.write_text(later, encoding="utf-8")
    with pytest.raises(StoreError, match="has the format 99"):
        read_report(path, made.plan.bench.fingerprint)


def test_parts_that_are_not_known_are_refused(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    with pytest.raises(ValueError, match="part 'tables': known are overall, tokens"):
        make_report(plan, tmp_path, ["tables"])
    with pytest.raises(ValueError, match="part: none is named"):
        make_report(plan, tmp_path, [])


def test_seeds_are_summed_up() -> None:
    assert over_seeds([0.3, 0.1, 0.2]) == Spread(value=0.2, low=0.1, high=0.3)
    assert over_seeds([0.3]) == 0.3
    assert over_seeds([0.3, None]) is None
    assert cell_text(Spread(value=0.2, low=0.1, high=0.3), "figure") == "0.2000 (0.1000 to 0.3000)"
    assert [cell_text(0.1234, "percent"), cell_text(1234, "count"), cell_text(None, "figure")] == [
        "12.3%",
        "1,234",
        "–",
    ]


def test_the_bench_can_be_moved_to_other_data(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    moved = bench.with_dataset(small_data(n_users=50))
    assert moved.fingerprint != bench.fingerprint
    assert len(moved.split.test) == 50
