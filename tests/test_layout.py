"""The tests mirror the code: tests/service/index/test_boosts.py tests service/index/boosts.py.

tests/campaigns, tests/console and tests/support have an order of their own.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.support.paths import REPOSITORY

TESTS = REPOSITORY / "tests"
MIRRORS = ("model", "scripts", "service", "training")

# These test what several modules do together, or one aspect of a module that has its own file too.
TOGETHER = {
    "scripts/test_container_health.py": "Dockerfile",
    "scripts/test_malloc_arenas.py": "Dockerfile",
    "service/api/test_bad_http.py": "service/api/app.py",
    "service/api/test_bad_input.py": "service/api/app.py",
    "service/api/test_cors.py": "service/api/app.py",
    "service/client/test_contract.py": "service/client/clients.py",
    "service/engine/test_applying.py": "service/engine/engine.py",
    "service/engine/test_cold_share.py": "service/engine/recommend.py",
    "service/explore/test_forgetting.py": "service/explore/explorer.py",
    "service/lifecycle/test_operation.py": "service/lifecycle/runtime.py",
    "service/lifecycle/test_swap_engines.py": "service/lifecycle/swapper.py",
    "service/lifecycle/test_swap_refused.py": "service/lifecycle/swapper.py",
    "service/registry/test_bad_rows.py": "service/registry/registry.py",
    "service/server/test_admission_slots.py": "service/server/admission.py",
    "training/baselines/test_models.py": "training/baselines/neural.py",
    "training/baselines/test_neighbours.py": "training/baselines/item_knn.py",
    "training/datasets/test_fields.py": "training/datasets/values.py",
    "training/datasets/test_formats.py": "training/datasets/detect.py",
    "training/fit/test_small_catalogue.py": "training/fit/trainer.py",
    "training/fit/test_without_texts.py": "training/fit/trainer.py",
    "training/report/test_honesty.py": "training/report/tree.py",
    "training/report/test_oracle.py": "training/evaluate/metrics.py",
    "training/test_command_line.py": "training/__main__.py",
}


def _stands_for_a_module(test: Path) -> bool:
    """Whether the file's path names a module or a package. `test_main.py` names `__main__.py`."""
    name = test.stem.removeprefix("test_")
    module = REPOSITORY / test.relative_to(TESTS).with_name("__main__" if name == "main" else name)
    return module.with_suffix(".py").exists() or module.is_dir()


def test_each_file_stands_for_a_module() -> None:
    found = {test for folder in MIRRORS for test in (TESTS / folder).rglob("test_*.py")}
    lost = {str(test.relative_to(TESTS)) for test in found if not _stands_for_a_module(test)}
    assert lost == TOGETHER.keys()
    assert [path for path in TOGETHER.values() if not (REPOSITORY / path).exists()] == []


def test_every_folder_is_run() -> None:
    """`make test` runs the folders in `testpaths`, and `make campaigns` the campaigns."""
    options = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    folders = {f"tests/{test.relative_to(TESTS).parts[0]}" for test in TESTS.glob("*/**/test_*.py")}
    assert folders | {"tests/test_*.py"} == {*options["ini_options"]["testpaths"], "tests/campaigns"}
