"""`model` and `service` read nothing that can run code: no pickle under any name, no stored torch module or FAISS
index. ruff's S rules (pyproject.toml) see some of it; this sees imports, uses under other names, and flags.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.paths import REPOSITORY

ROOMS = ("model", "service")

# Modules that read or write pickles, or code.
MODULES = {
    "pickle", "_pickle", "cPickle", "pickletools", "cloudpickle", "dill", "joblib", "jsonpickle", "shelve", "marshal",
    "copyreg", "dbm", "multiprocessing.managers", "torch.package", "torch.hub", "sklearn.externals.joblib", "skops",
}  # fmt: skip
# Whatever they belong to, these names read pickles or code, or pass on what does.
NAMES = {
    "allow_pickle", "Unpickler", "Pickler", "PickleType", "read_pickle", "to_pickle", "read_index", "write_index",
    "read_index_binary", "deserialize_index", "unsafe_load", "full_load", "UnsafeLoader", "FullLoader", "weights_only",
}  # fmt: skip
# Names too common to be forbidden of everything.
CALLS = {
    "torch.load", "torch.save", "torch.jit.load", "torch.export.load", "torch.serialization.load", "numpy.fromregex",
    "yaml.load", "yaml.load_all", "faiss.load_index", "builtins.eval", "builtins.exec", "eval", "exec", "compile",
    "runpy.run_path", "runpy.run_module", "ctypes.CDLL", "ctypes.cdll.LoadLibrary",
}  # fmt: skip
# Of `numpy.load(file, mmap_mode, allow_pickle)` no third argument.
POSITIONAL = {"numpy.load": 2, "numpy.save": 2, "numpy.lib.format.read_array": 1}


def unsafe(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each thing in `source` that could read code."""
    tree = ast.parse(source)
    aliases = dict(_aliases(tree))
    for node in ast.walk(tree):
        for name in _names(node, aliases):
            parents = {name[:end] for end, letter in enumerate(name) if letter == "."} | {name}
            if parents & MODULES or name in CALLS or name.rpartition(".")[2] in NAMES | {"*"}:
                yield getattr(node, "lineno", 0), name
        if isinstance(node, ast.Call) and len(node.args) > POSITIONAL.get(_dotted(node.func, aliases), 99):
            yield node.lineno, "allow_pickle"


def _aliases(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each other name by which something imported goes, at whatever place of the module."""
    yield "np", "numpy"
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module or ''}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            name = _dotted(node.value, found)
            found |= {to.id: name for to in node.targets if isinstance(to, ast.Name) and name}
    yield from found.items()


def _names(node: ast.AST, aliases: dict[str, str]) -> Iterator[str]:
    """The dotted names that a node says: imported, used, passed, written as a text or asked for with getattr."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute | ast.Name):
        yield _dotted(node, aliases)
    elif isinstance(node, ast.keyword) and node.arg and not _is_false(node.value):
        yield node.arg
    elif isinstance(node, ast.Constant) and node.value in NAMES:
        yield str(node.value)
    elif isinstance(node, ast.Call) and (
        said := [repr(arg.value).strip("'") for arg in node.args if isinstance(arg, ast.Constant)]
    ):
        called = _dotted(node.func, aliases).rpartition(".")[2]
        if called in ("import_module", "__import__"):
            yield said[0]
        elif called == "getattr":
            yield f"{_dotted(node.args[0], aliases)}.{said[0]}"


def _texts(call: ast.Call) -> list[str]:
    values = (argument.value for argument in call.args if isinstance(argument, ast.Constant))
    return [value for value in values if isinstance(value, str)]


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    """`torch.load` for the expression of that name, by whatever name torch goes; "" where the head is no name."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, aliases)}.{node.attr}"
    return ""


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_that_can_run_code_is_read(room: str) -> None:
    files = sorted((REPOSITORY / room).rglob("*.py"))
    assert len(files) > 10
    found = [(path.name, *each) for path in files for each in unsafe(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import pickle", "pickle"),
        ("import pickle as json", "pickle"),
        ("from pickle import loads as parse", "pickle.loads"),
        ("def f():\n    import _pickle", "_pickle"),
        ("import joblib.numpy_pickle", "joblib.numpy_pickle"),
        ("from dill import *", "dill.*"),
        ("import importlib\nimportlib.import_module('cloudpickle')", "cloudpickle"),
        ("__import__('shelve')", "shelve"),
        ("import marshal", "marshal"),
        ("import torch\ntorch.load('x', weights_only=True)", "torch.load"),
        ("import torch as t\nread = t.load", "torch.load"),
        ("import torch\nt = torch\nt.load('x')", "torch.load"),
        ("from torch import load as f\nf('x')", "torch.load"),
        ("from torch import jit\njit.load('x')", "torch.jit.load"),
        ("import torch\ngetattr(torch, 'load')('x')", "torch.load"),
        ("from torch import *", "torch.*"),
        ("import torch.package", "torch.package"),
        ("import faiss\nfaiss.read_index('x')", "faiss.read_index"),
        ("from faiss import read_index as r", "faiss.read_index"),
        ("import faiss as f\nf.deserialize_index(x)", "faiss.deserialize_index"),
        ("import faiss\ngetattr(faiss, 'read_index')", "read_index"),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", "allow_pickle"),
        ("np.load('x', allow_pickle=flag)", "allow_pickle"),
        ("np.load('x', None, True)", "allow_pickle"),
        ("np.load('x', **{'allow_pickle': True})", "allow_pickle"),
        ("from numpy import load\nload('x', None, True)", "allow_pickle"),
        ("import pandas\npandas.read_pickle('x')", "pandas.read_pickle"),
        ("from sqlalchemy import PickleType", "sqlalchemy.PickleType"),
        ("import yaml\nyaml.load(x, Loader=yaml.UnsafeLoader)", "yaml.load"),
        ("import yaml\nyaml.load(x, yaml.UnsafeLoader)", "yaml.UnsafeLoader"),
        ("from yaml import unsafe_load", "yaml.unsafe_load"),
        ("eval('1')", "eval"),
        ("exec('1')", "exec"),
        ("import runpy\nrunpy.run_path('x')", "runpy.run_path"),
    ],
)
def test_a_planted_use_is_found(source: str, name: str) -> None:
    assert name in [found for _, found in unsafe(source)]


@pytest.mark.parametrize(
    "source",
    [
        "np.load('x', allow_pickle=False)",
        "np.load('x')",
        "import torch\nx.load('y')",
        "import json\njson.load(x)",
        "import yaml\nyaml.safe_load(x)",
        "import re\nre.compile('x')",
        "from safetensors.torch import load_file",
        "import faiss\nfaiss.IndexFlatIP(8)",
    ],
)
def test_what_is_safe_passes(source: str) -> None:
    assert list(unsafe(source)) == []
