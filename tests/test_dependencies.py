"""Imports run one way: training → model ← service, and downstairs in each, without circles. An import does nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("model", "service", "training")

# What a room may not import, with all that is below it.
SERVER = {"fastapi", "starlette", "uvicorn", "faiss", "sqlalchemy"}
FORBIDDEN_IMPORTS = {
    "model": {"training", "service", "typer", *SERVER},
    "service": {"training", "typer", "httpx", "service.client"},
    # Below the service's roof and not of its household: it needs what a caller has, and the service never needs it.
    "service.client": {"training", "typer", "model", "torch", "numpy", *SERVER},
    "training": {"service", "fastapi", "starlette", "uvicorn"},
}


def _violations(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Everything in `source`, the text of `module` (dotted name), that its room may not do."""
    top = module.partition(".")[0]
    room = "service.client" if f"{module}.".startswith("service.client.") else top
    for node in ast.walk(ast.parse(source)):
        for name, line in _imported(node, module, is_package):
            if any(f"{name}.".startswith(f"{forbidden}.") for forbidden in FORBIDDEN_IMPORTS[room]):
                yield f"{module}:{line}: imports {name}"


def _imported(node: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, int]]:
    """The dotted names that `node` imports, with the line: by a statement or by a call with a literal."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            kept = parts[: len(parts) - node.level + is_package]
            base = ".".join([*kept, *filter(None, [node.module])])
        for alias in node.names:
            yield (f"{base}.{alias.name}" if base else alias.name), node.lineno
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            yield node.args[0].value, node.lineno


def _modules(root: Path, room: str) -> dict[str, Path]:
    """Dotted name → file of every module of a room."""
    found = {}
    for path in sorted((root / room).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _check_room(root: Path, room: str) -> list[str]:
    return [
        violation
        for module, path in _modules(root, room).items()
        for violation in _violations(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_dependencies_run_one_way(room: str) -> None:
    assert len(_modules(REPOSITORY, room)) > 1
    assert _check_room(REPOSITORY, room) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("model.a", "import training.trainer", "imports training.trainer"),
        ("model.a", "def f():\n    from service import engine", "imports service.engine"),
        ("model.a", "from .. import service", "imports service"),
        ("model.a.b", "from ...training.batches import Batch", "imports training.batches.Batch"),
        ("model.a", "import importlib\nimportlib.import_module('faiss')", "imports faiss"),
        ("model.a", "__import__('typer')", "imports typer"),
        ("model.a", "from fastapi import FastAPI", "imports fastapi.FastAPI"),
        ("model.a", "if TYPE_CHECKING:\n    import sqlalchemy as sa", "imports sqlalchemy"),
        ("service.a", "from training.datasets.base import Dataset", "imports training.datasets.base.Dataset"),
        ("training.a", "from service.engine import Engine", "imports service.engine.Engine"),
        ("service.a", "import httpx", "imports httpx"),
        ("service.a", "from service.client.errors import NotFound", "imports service.client.errors.NotFound"),
        ("service.a", "from service import client", "imports service.client"),
        ("service.client.a", "from fastapi import FastAPI", "imports fastapi.FastAPI"),
        ("service.client", "import torch.nn", "imports torch.nn"),
    ],
)
def test_the_check_catches_a_planted_violation(module: str, source: str, found: str) -> None:
    lines = source.count("\n") + 1
    assert list(_violations(source, module)) == [f"{module}:{lines}: {found}"]


def test_the_check_lets_pass_what_is_allowed() -> None:
    assert list(_violations("import torch\nfrom model.items import Item", "service.a")) == []
    assert list(_violations("from . import training\nimport numpy", "model.a")) == []
    assert list(_violations("import model, typer, faiss", "training.a")) == []
    assert list(_violations("import httpx\nfrom service.client import calls", "service.client.a")) == []
    assert list(_violations("import httpx_auth\nfrom service import clients", "service.a")) == []


def test_the_check_walks_every_file(tmp_path: Path) -> None:
    deep = tmp_path / "service" / "inner" / "deep"
    deep.mkdir(parents=True)
    (deep / "__init__.py").write_text("from ....training import trainer\n", encoding="utf-8")
    assert _check_room(tmp_path, "service") == ["service.inner.deep:1: imports training.trainer"]


# --- wings ------------------------------------------------------------------------------------------

# From the top floor down: a wing, or a module that stands in no wing, imports only what stands below it.
FLOORS = {
    "service": (
        ("keys", "artifacts", "migrate", "backup"),  # the old spellings
        ("__main__",),
        ("api",),
        ("server",),
        ("lifecycle",),
        ("explore",),
        ("engine",),
        ("catalogue",),
        ("security",),
        ("registry",),
        ("index",),
        ("client",),
        ("metrics", "logs"),
        ("settings", "errors"),
        ("contract", "version"),
    ),
    "training": (
        ("__main__",),
        ("report",),
        ("baselines",),
        ("options", "console"),
        ("export",),
        ("fit",),
        ("evaluate",),
        ("datasets",),
        ("config",),
    ),
    "model": (
        ("golden",),
        ("artifact",),
        ("exposure", "neighbour_file", "item_table", "catalogue_map", "numpy_recommender", "tokenizer", "text"),
        ("store", "neighbours", "recommender", "quantizer"),
        ("manifest", "words", "postings", "packing", "dropout", "parquet", "chunks", "telling_words", "items"),
        ("config",),
    ),
}
# The client shares the contract with the service, and nothing else.
CLIENT = {"client", "contract", "version"}


def _package_imports(root: Path, package: str) -> dict[str, set[str]]:
    """Module → the modules of its own package that it imports, under TYPE_CHECKING or in a function too."""
    modules = _modules(root, package)
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = found[module] = set()
        for node in ast.walk(tree):
            for name, _ in _imported(node, module, path.name == "__init__.py"):
                while name and name not in modules:
                    name = name.rpartition(".")[0]
                if name and name != package:
                    imported.add(name)
    return found


def _upstairs(imports: dict[str, set[str]], floors: tuple[tuple[str, ...], ...]) -> list[str]:
    """Imports that run to the same floor of another wing, or up."""
    floor_of = {wing: floor for floor, wings in enumerate(floors) for wing in wings}
    out = []
    for module, imported in imports.items():
        wing = module.split(".")[1] if "." in module else None
        for name in imported if wing is not None else ():
            to = name.split(".")[1]
            if to != wing and floor_of[wing or ""] >= floor_of[to]:
                out.append(f"{module} -> {name}")
            if wing == "client" and to not in CLIENT:
                out.append(f"{module} -> {name}")
    return sorted(out)


def _circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that import each other in a circle."""
    reach: dict[str, set[str]] = {}
    for start in imports:
        seen, stack = set(), list(imports[start])
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                stack.extend(imports[name])
        reach[start] = seen
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in imports if a in reach[a]}
    return sorted(map(list, groups))


@pytest.mark.parametrize("package", ROOMS)
def test_imports_run_downstairs(package: str) -> None:
    assert list(_upstairs(_package_imports(REPOSITORY, package), FLOORS[package])) == []


@pytest.mark.parametrize("package", ROOMS)
def test_every_wing_has_its_floor_and_no_other(package: str) -> None:
    folder = REPOSITORY / package
    wings = {path.parent.name for path in folder.glob("*/*.py")} | {path.stem for path in folder.glob("*.py")}
    named = [wing for wings in FLOORS[package] for wing in wings]
    assert sorted(named) == sorted(wings - {"__init__"})


@pytest.mark.parametrize("package", ROOMS)
def test_no_modules_import_each_other(package: str) -> None:
    assert list(_circles(_package_imports(REPOSITORY, package))) == []


@pytest.mark.parametrize("package", ROOMS)
def test_every_wing_says_what_it_is_for_and_what_it_may_import(package: str) -> None:
    silent = [
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / package).glob("*/__init__.py")
        if len((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()) < 2
    ]
    assert silent == []


def test_an_import_upstairs_and_a_circle_are_found(tmp_path: Path) -> None:
    for name, source in {
        "service/__init__.py": "",
        "service/top/__init__.py": "",
        "service/top/a.py": "from service.low import b",
        "service/low/__init__.py": "",
        "service/low/b.py": "def f():\n    from service.low.c import g",
        "service/low/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import service.low.b",
        "service/low/d.py": "from service.top.a import x",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    imports = _package_imports(tmp_path, "service")
    assert _upstairs(imports, (("top",), ("low",))) == ["service.low.d -> service.top.a"]
    assert _circles(imports) == [["service.low.b", "service.low.c"]]


# --- importing does nothing ------------------------------------------------------------------------

# Runs in a process of its own, because an audit hook cannot be taken away again. What is tried is written
# down as well as refused, so that an `except` around it hides nothing. Network and writes are refused to
# everybody; the rest only to the modules themselves, since a library may prepare itself (numpy sets a
# variable for OpenBLAS).
_PROBE = """
import importlib, json, logging, os, sys, threading, traceback

root, modules = os.getcwd(), json.loads(sys.argv[1])
tried, current = [], ""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
REFUSED = set('''
    socket.connect socket.bind socket.getaddrinfo socket.gethostbyname sqlite3.connect
    os.mkdir os.remove os.rename os.rmdir os.truncate os.link os.symlink
'''.split())
REFUSED_TO_US = set("os.putenv os.unsetenv os.system os.fork os.exec os.posix_spawn subprocess.Popen".split())


def is_ours(frame):
    # The module-level code that runs innermost: a library's own, or that of the module under test?
    while frame and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    path = frame.f_code.co_filename if frame else ""
    return path.startswith(root + os.sep) and "site-packages" not in path


def hook(event, args):
    if not current:
        return
    if event == "open":
        path, mode, flags = args
        reads = not flags & WRITING and not (isinstance(mode, str) and set(mode) & set("wax+"))
        if reads or path == os.devnull:
            return
    elif event not in REFUSED and not (event in REFUSED_TO_US and is_ours(sys._getframe(1))):
        return
    tried.append(f"{current}: {event} {args[0]!r}")
    raise PermissionError(tried[-1])


sys.path.insert(0, root)
sys.addaudithook(hook)
for current in modules:
    try:
        importlib.import_module(current)
    except Exception:
        tried.append(f"{current}: {traceback.format_exc()}")
    if len(threads := threading.enumerate()) > 1:
        tried.append(f"{current}: threads {threads[1:]}")
    if logging.getLogger().handlers:
        tried.append(f"{current}: log handlers {logging.getLogger().handlers}")
current = ""
print("\\n" + json.dumps(tried))
"""


def _side_effects(root: Path, modules: list[str]) -> list[str]:
    """Import `modules` found under `root`, writes and network refused: what they tried, raised or printed."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", _PROBE, json.dumps(modules)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    printed, _, tried = done.stdout.strip("\n").rpartition("\n")
    found: list[str] = json.loads(tried)
    return found + [f"printed: {line}" for line in (printed + done.stderr).split("\n") if line]


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_module_does_nothing(room: str) -> None:
    assert _side_effects(REPOSITORY, list(_modules(REPOSITORY, room))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("open('x.txt', 'w')", "open 'x.txt'"),
        ("from pathlib import Path\nPath('x.txt').write_text('x')", "open 'x.txt'"),
        ("import os\ntry:\n    os.mkdir('x')\nexcept OSError:\n    pass", "os.mkdir"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 9), timeout=1)", "socket."),
        ("import subprocess\nsubprocess.run(['true'])", "subprocess.Popen"),
        ("import os\nos.environ['PLANTED'] = '1'", "os.putenv"),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(1,)).start()", "threads"),
        ("import logging\nlogging.basicConfig()", "log handlers"),
        ("print('hello')", "printed: hello"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_the_import_check_catches_a_planted_side_effect(tmp_path: Path, source: str, found: str) -> None:
    (tmp_path / "planted.py").write_text(source, encoding="utf-8")
    assert any(found in effect for effect in _side_effects(tmp_path, ["json", "planted"]))
    assert not (tmp_path / "x.txt").exists()
    assert not (tmp_path / "x").exists()
