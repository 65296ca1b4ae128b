"""The store of finished runs, a JSON of figures and an npz of arrays each, so that an interrupted report can resume."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from training.evaluate.metrics import Ranks
from training.fit.checkpoint import write_atomically
from training.report.result import RunResult, run_key

Arrays = dict[str, NDArray[Any]]


class StoreError(ValueError):
    """A kept run is unusable; the message names the file and says what to do."""


@dataclass(frozen=True)
class RunStore:
    """`folder` has <key>.json and <key>.npz of each finished run, and <key>.safetensors of each interrupted one."""

    folder: Path

    def checkpoint(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def get(self, key: str) -> RunResult | None:
        """The run with that key, None if there is none; StoreError if the file is damaged or holds another run."""
        path = self.folder / f"{key}.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            result = RunResult.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise StoreError(
                f"{path}: no result of a run ({where}: {problem['msg']}); delete it to run it again"
            ) from error
        found = run_key(result.fingerprint, result.method, result.settings, result.seed)
        if not result.key == found == key:
            raise StoreError(f"{path}: holds the run {found}, made by other settings, data or code; delete it")
        return result

    def put(self, result: RunResult, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a finished run and drop its checkpoint. Writes the JSON last: without it there is no run."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_atomically(self.folder / f"{result.key}.npz", buffer.getvalue())
        text = json.dumps(result.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_atomically(self.folder / f"{result.key}.json", text.encode())
        self.checkpoint(result.key).unlink(missing_ok=True)

    def arrays(self, result: RunResult) -> Arrays:
        """The arrays of a kept run; StoreError if they are missing or damaged."""
        path = self.folder / f"{result.key}.npz"
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise StoreError(
                f"{path}: cannot be read ({error}); delete it and {result.key}.json to run it again"
            ) from error

    def ranks(self, result: RunResult, protocol: str) -> Ranks:
        """Ranks of every test user of a kept run."""
        arrays = self.arrays(result)
        try:
            ranks = Ranks(arrays[f"{protocol}_greater"], arrays[f"{protocol}_ties"])
        except KeyError as error:
            raise StoreError(f"{self.folder / result.key}.npz: has no {error.args[0]}; delete the run") from error
        if not len(ranks.greater) == len(ranks.ties) == result.users:
            raise StoreError(f"{self.folder / result.key}.npz: not the ranks of {result.users} users; delete the run")
        return ranks

    def finished(self) -> Iterator[RunResult]:
        """All kept runs, in the order of their keys."""
        for path in sorted(self.folder.glob("*.json")):
            if (result := self.get(path.stem)) is not None:
                yield result


def rank_arrays(ranks: Mapping[str, Ranks]) -> Arrays:
    """Turn ranks by protocol into the arrays that `RunStore.ranks` reads."""
    out: Arrays = {}
    for protocol, found in ranks.items():
        out[f"{protocol}_greater"] = found.greater.astype(np.int32)
        out[f"{protocol}_ties"] = found.ties.astype(np.int32)
    return out
