"""Compares the kinds of index: build time, memory, search latency and recall, and writes beside searches.

    python -m benchmarks.index_kinds --artifacts <root> [--items 100000,1000000] [--kinds flat,hnsw,ivfpq]

This measures the service's own index (`service/index/item_index.py`) with its default settings, over embeddings that
lie as the artifact's do (`benchmarks/embeddings.py`), with query vectors of its users. It leaves out what neighbours
add to scores, because made-up items have none. Each size and kind runs in a process of its own, one after another:

build_s               time to build the index; build_processor_s: its CPU time
memory_mib, peak_mib  of the built index with its copy of the embeddings; during the build, with the caller's copy
p50_ms, p99_ms        of a search alone, k = 10, one query at a time
processor_ms          CPU time of the median search, which is its duration on an idle machine
recall                share of the exact ten best
writes_per_second     of one thread that registers, replaces and deletes items in turn, as fast as it can, while another
                      searches without a pause; the figures of that searching begin with `searching_`
after_p50_ms, …       of a search alone, after the writer has added `rows_added`
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, get_args

import faiss
import numpy as np

from benchmarks.embeddings import catalogue_of, more_of, queries_of
from benchmarks.service_process import memory_mib
from model.artifact import Artifact
from service.contract.operation_answers import IndexKind
from service.index.item_index import ItemIndex
from service.index.scan import Floats, Rows
from service.settings import Settings

K = 10
_RECALL_QUERIES = 200
_CELLS = 20_000_000  # exact scores held at once, to bound memory


class Case(NamedTuple):
    """One measurement. embeddings, queries: files of arrays [n, D] and [q, D]. split: number of semantic columns."""

    kind: IndexKind
    embeddings: Path
    queries: Path
    split: int
    ef_search: int
    probes: int
    seconds: float
    threads: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, then one line of JSON. Returns 1 if a kind failed or did not finish in time."""
    options = _parse(arguments)
    artifact = Artifact.load(options.artifacts)
    config = artifact.tokenizer.config
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        queries = Path(name) / "queries.npy"
        np.save(queries, queries_of(artifact, options.queries))
        for items in options.items:
            embeddings = Path(name) / f"{items}.npy"
            np.save(embeddings, catalogue_of(artifact, items))
            for kind in options.kinds:
                split = config.semantic_dim if config.has_semantic else 0
                how = options.ef_search, options.probes, options.seconds, options.threads
                case = Case(kind, embeddings, queries, split, *how)
                figures.append({"items": items, "kind": kind} | _in_a_process(case, options.limit))
                print("  ".join(f"{key} {value}" for key, value in figures[-1].items()), flush=True)
            embeddings.unlink()
    line = json.dumps({"dim": config.dim, "threads": options.threads, "cores": os.cpu_count(), "kinds": figures})
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(any("failed" in one for one in figures))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--items", type=_counts, default=[100_000, 1_000_000], help="sizes, separated by commas")
    parser.add_argument("--kinds", type=_kinds, default=list(get_args(IndexKind)), help="separated by commas")
    fields = Settings.model_fields
    parser.add_argument("--ef-search", type=int, default=fields["index_ef_search"].default, help="of hnsw")
    parser.add_argument("--probes", type=int, default=fields["index_probes"].default, help="of ivfpq")
    parser.add_argument("--queries", type=int, default=1000, help="how many searches to time")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of writing beside searching")
    parser.add_argument("--threads", type=int, default=1, help="of FAISS, as KINDRED_THREADS")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds that one size and kind may take")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    if unknown := set(kinds) - set(get_args(IndexKind)):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: expected {', '.join(get_args(IndexKind))}")
    return kinds


def _in_a_process(case: Case, limit: float) -> dict[str, Any]:
    """Return the figures of a case, or the reason under `failed`."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(case, sending))
    process.start()
    sending.close()
    try:
        if not receiving.poll(limit):
            return {"failed": f"not finished after {limit:g} s"}
        figures: dict[str, Any] = receiving.recv()
        return figures
    except EOFError:
        process.join()
        return {"failed": f"exit code {process.exitcode}"}
    finally:
        receiving.close()
        process.kill()
        process.join()


def _report(case: Case, sending: Connection) -> None:
    sending.send(measure(case))
    sending.close()


def measure(case: Case) -> dict[str, float]:
    """Return the figures of a case. Memory is this process's, so it should do nothing else."""
    faiss.omp_set_num_threads(case.threads)
    queries = np.load(case.queries)
    before = memory_mib("VmRSS")
    vectors = np.load(case.embeddings)
    began, spent = time.perf_counter(), time.process_time()
    index = ItemIndex(vectors, np.arange(len(vectors)), case.split, case.kind, case.ef_search, case.probes)
    built, spent = time.perf_counter() - began, time.process_time() - spent
    peak = memory_mib("VmHWM") - before
    del vectors
    gc.collect()
    figures = {"build_s": built, "build_processor_s": spent}
    figures |= {"memory_mib": memory_mib("VmRSS") - before, "peak_mib": peak}
    _searches(index, queries[:50])  # warm-up
    figures |= _searches(index, queries).percentiles()
    figures["recall"] = _recall(index, queries[:_RECALL_QUERIES])
    figures |= _write_beside_searches(index, queries, case.seconds)
    figures |= _searches(index, queries).percentiles("after_")
    return {name: round(value, 3) for name, value in figures.items()}


@dataclass
class _Times:
    """Seconds and CPU seconds of each search."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def percentiles(self, name: str = "") -> dict[str, float]:
        """Return milliseconds; `processor_ms` is the median CPU time of a search."""
        found = {f"{name}p{percent}_ms": float(np.percentile(self.seconds, percent)) * 1000 for percent in (50, 99)}
        return found | {f"{name}processor_ms": float(np.median(self.processor)) * 1000}


def _searches(index: ItemIndex, queries: Floats, times: _Times | None = None) -> _Times:
    """Search for each query alone and add to `times`."""
    times = times or _Times()
    for place in range(len(queries)):
        began, spent = time.perf_counter(), time.thread_time()
        index.snapshot.search(queries[place : place + 1], K)
        times.seconds.append(time.perf_counter() - began)
        times.processor.append(time.thread_time() - spent)
    return times


def _recall(index: ItemIndex, queries: Floats) -> float:
    """Return the share of the exact best that a search finds; exact means products in double precision."""
    snapshot = index.snapshot
    exact = np.full((len(queries), 0), -np.inf)
    step = max(1, _CELLS // len(queries))
    for start in range(0, snapshot.n, step):
        part = queries.astype(np.float64) @ snapshot.vectors[start : min(snapshot.n, start + step)].astype(np.float64).T
        exact = np.sort(np.hstack([exact, part]))[:, -K:]
    _, scores = snapshot.search(queries, K)
    # Compares scores and not rows: of items with equal embeddings, any one is right.
    return float((scores >= exact[:, :1] - 1e-9).mean())


def _write_beside_searches(index: ItemIndex, queries: Floats, seconds: float) -> dict[str, float]:
    """Write in one thread and search in another, both without a pause."""
    before = index.snapshot.n
    fresh = more_of(index.snapshot.vectors[:before], 10_000)
    ending = threading.Event()
    searched = _Times()
    writes: list[float] = []

    def search() -> None:
        while not ending.is_set():
            _searches(index, queries[len(searched.seconds) % len(queries) :][:1], searched)

    def write() -> None:
        rng = np.random.default_rng(3)
        none = np.empty((0, fresh.shape[1]), np.float32), np.empty(0, np.int64)
        while not ending.is_set():
            one = fresh[len(writes) % len(fresh)][None]
            order: Rows = np.array([index.snapshot.n])
            gone = [int(rng.integers(before))]
            began = time.perf_counter()
            match len(writes) % 3:
                case 0:
                    index.update(one, order)
                case 1:
                    index.update(one, order, gone)
                case _:
                    index.update(*none, gone)
            writes.append(time.perf_counter() - began)

    threads = [threading.Thread(target=search), threading.Thread(target=write)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    ending.set()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    return {
        "writes_per_second": len(writes) / elapsed,
        "write_max_ms": max(writes) * 1000,
        **searched.percentiles("searching_"),
        "rows_added": index.snapshot.n - before,
    }


if __name__ == "__main__":
    sys.exit(main())
