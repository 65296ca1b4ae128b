"""What the service's tests share: an artifact in a second without training, a live server, a plain HTTP
client.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from model.artifact import Artifact
from model.config import RecommenderConfig, TokenizerConfig, TokenType
from model.golden import make_golden
from model.item_table import ItemTable
from model.items import Item
from model.manifest import FORMAT_VERSION, DatasetEntry, Manifest, TextEncoderEntry
from model.recommender import SequenceRecommender
from model.text import TfidfEncoder
from model.tokenizer import HybridTokenizer
from service.api.app import create_app
from service.contract.answers import ItemRegistered, RecommendResponse
from service.contract.problems import ProblemDetails
from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.errors import ItemConflict
from service.explore.explorer import Explorer
from service.server.server import Server, configuration
from service.settings import Settings
from training.config import RECIPES
from training.fit.neighbours import count_neighbours

KINDS = ("soap", "lamp", "novel", "kettle", "scarf", "guitar")
BRANDS = ("Alba", "Borea", "Corvo", "Dune")
WORDS = ("red", "blue", "small", "large", "soft", "bright", "classic", "travel", "deluxe", "organic")


def make_items(count: int = 240) -> list[Item]:
    """Items of six kinds and four brands, each with a text of its own; the ids are item-0, item-1, …"""
    rng = np.random.default_rng(7)
    items = []
    for index in range(count):
        kind, brand = KINDS[index % len(KINDS)], BRANDS[index // len(KINDS) % len(BRANDS)]
        words = " ".join(rng.choice(WORDS, 3, replace=False))
        items.append(
            Item(
                f"item-{index}",
                title=f"{words} {kind} {index}",
                brand=brand,
                categories=("Home", kind),
                price=float(5 + index % 20),
                attributes={"stock": index % 3, "new": index % 2 == 0, "tags": [kind, words.split()[0]]},
            )
        )
    return items


def make_artifact(
    root: Path,
    version: str = "v1",
    seed: int = 0,
    items: Sequence[Item] | None = None,
    tokens: TokenType = "hybrid",
    untrained: int = 4,
    evaluated: bool = False,
    mapped: bool = False,
    together: float = 1.5,
    alike: float = 1.0,
) -> Artifact:
    """Write an artifact with random weights below `root` and make it current.

    Its answers mean nothing, but they are answers like any other: for tests of the service, not of the model.
    The last `untrained` items were in no sequence. Codewords are latents, so that they differ as texts do.
    """
    items = make_items() if items is None else list(items)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    encoder = TfidfEncoder.fit([item.to_text() for item in items], dim=16)
    config = TokenizerConfig(
        tokens=tokens, text_dim=encoder.dim, hidden=(32,), semantic_dim=16, codebook_size=16, id_dim=8
    )
    tokenizer = HybridTokenizer(config, len(items))
    texts = torch.from_numpy(encoder.encode([item.to_text() for item in items]))
    codes, error = np.zeros((len(items), 0), np.int64), np.zeros(len(items), np.float32)
    with torch.no_grad():
        if config.has_semantic:
            residual = tokenizer.encode(texts)
            for level in range(config.levels):
                book = tokenizer.quantizer.level(level)
                book.codewords.copy_(residual[torch.randperm(len(items), generator=generator)[: config.codebook_size]])
                residual = residual - book.codewords[book.nearest(residual)]
            found = tokenizer.tokenize(texts)
            codes, error = found.codes.numpy(), found.error.numpy()
        if config.has_id:
            tokenizer.id_embeddings.weight.normal_(std=0.3)
            tokenizer.cold_vector.normal_(std=0.3)
    popularity = np.arange(len(items), 0, -1, dtype=np.int64)
    popularity[len(items) - untrained :] = 0
    rng = np.random.default_rng(seed)
    sequences = [rng.choice(len(items) - untrained, 5, replace=False).astype(np.int32) for _ in range(len(items))]
    recipe = RECIPES["paper"].override(
        {"tokens": tokens, "together_weight": together, "alike_weight": alike, "neighbours": 6}
    )
    neighbours = count_neighbours(sequences, [item.to_text() for item in items], recipe)
    artifact = Artifact(
        manifest=Manifest(
            format_version=FORMAT_VERSION,
            version=version,
            created="2026-01-01T00:00:00+00:00",
            tokenizer=config,
            recommender=RecommenderConfig(dim=config.dim, max_length=8),
            neighbours=dict(neighbours.configs),
            text_encoder=TextEncoderEntry(spec=encoder.spec(), dim=encoder.dim, fingerprint=encoder.fingerprint),
            dataset=DatasetEntry(name="made up", fingerprint="0", n_users=1, n_items=len(items), n_interactions=1),
            n_items=len(items),
            recipe={},
            seed=seed,
            metrics={},
            tokens={},
            training={},
            libraries={},
            files={},
        ),
        tokenizer=tokenizer.eval(),
        recommender=SequenceRecommender(RecommenderConfig(dim=config.dim, max_length=8)).eval(),
        text_encoder=encoder,
        neighbours=neighbours,
        items=ItemTable(items, codes, popularity),
        error_quantiles=np.percentile(error, np.arange(101)).astype(np.float32),
        golden=b"",
        evaluation=_evaluation(sequences) if evaluated else None,
        positions=rng.uniform(-1, 1, (len(items), 2)).astype(np.float32) if mapped else None,
    )
    artifact.golden = make_golden(artifact, [[0, 1, 2], [5]])
    root.mkdir(parents=True, exist_ok=True)
    artifact.save(root, "# Random weights, for tests\n")
    return Artifact.load(root)


def _evaluation(sequences: Sequence[NDArray[np.int32]]) -> bytes:
    sink = io.BytesIO()
    lists = pa.array([sequence.tolist() for sequence in sequences], pa.list_(pa.int32()))
    pq.write_table(pa.table({"sequence": lists}), sink)
    return sink.getvalue()


def make_settings(root: Path, folder: Path, **changes: Any) -> Settings:
    """Settings for an artifact root, with a registry and a free port of their own."""
    values: dict[str, Any] = {
        "artifacts": root,
        "database_url": f"sqlite:///{folder}/registry.db",
        "port": 0,
        "drain": 0,
        "shutdown_grace": 5,
    }
    return Settings(**(values | changes))


class Starter:
    """Starts engines on one registry, each after the one before was closed."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._engine: Engine | None = None

    def __call__(self, root: Path | None = None, **changes: Any) -> Engine:
        self.close()
        self._engine = Engine.start(make_settings(root or self._root, self._folder, **changes))
        return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()


def ask(engine: Engine, *history: str, **options: Any) -> RecommendResponse:
    return engine.recommend(RecommendRequest(history=list(history), **options))


def add(engine: Engine, item: Item) -> ItemRegistered:
    """Register one item; raises its ItemConflict."""
    return _one(engine, item, replacing=False)


def put(engine: Engine, item: Item) -> ItemRegistered:
    """Register or replace one item."""
    return _one(engine, item, replacing=True)


def _one(engine: Engine, item: Item, replacing: bool) -> ItemRegistered:
    (result,) = engine.writer.write([item], replacing).results
    if isinstance(result, ItemConflict):
        raise result
    return result


_explorers: WeakKeyDictionary[Engine, Explorer] = WeakKeyDictionary()


def explorer_of(engine: Engine) -> Explorer:
    """The explorer of an engine, the same at each call."""
    if engine not in _explorers:
        _explorers[engine] = Explorer.beside(engine)
    return _explorers[engine]


def ids(answer: RecommendResponse) -> list[str]:
    return [item.item_id for item in answer.items]


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def fits(answer: type[Any], body: bytes) -> Any:
    """`body` read as JSON, once it is what the contract says; a member that the contract does not name fails."""
    TypeAdapter(answer).validate_json(body)
    return json.loads(body)


def refused(reply: Reply, status: int, kind: str, field: str | None = None) -> Any:
    """The problem of a reply, once it is the one expected and safe to show."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    problem = fits(ProblemDetails, reply.body)
    assert problem["type"] == f"/problems/{kind}", problem
    assert problem.get("field") == field, problem
    assert len(reply.body) < 2000
    assert "Traceback" not in problem["detail"]
    return problem


class Client:
    """One raw connection to a server. Bodies go out as they are given: bytes raw, all else as JSON."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"  # for the client that callers have, service.client
        self.key = ""  # sent with each request, unless that has one of its own
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        sent = dict(headers or {})
        if self.key:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def get(self, path: str, **headers: str) -> Reply:
        return self("GET", path, headers=headers)

    def post(self, path: str, body: Any) -> Reply:
        return self("POST", path, body)

    def put(self, path: str, body: Any) -> Reply:
        return self("PUT", path, body)

    def delete(self, path: str) -> Reply:
        return self("DELETE", path)

    def recommend(self, *history: str, **options: Any) -> Any:
        """The answer to /recommend, which has to be 200."""
        reply = self.post("/recommend", {"history": list(history), **options})
        assert reply.status == 200, reply.body
        return reply.json()

    def until_ready(self, seconds: float = 60) -> Client:
        """Wait for /readyz to say 200."""
        end = time.monotonic() + seconds
        while self.get("/readyz").status != 200:
            assert time.monotonic() < end, self.get("/readyz").body
            time.sleep(0.02)
        return self

    def close(self) -> None:
        self._connection.close()


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What a condition returns, once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def item_path(item_id: str) -> str:
    return "/items/" + quote(item_id)


@contextmanager
def serving(settings: Settings, ready: bool = True, **clocks: Callable[[], float]) -> Iterator[Client]:
    """The service on a real port in a thread of this process; with `ready`, once it is."""
    server = Server(configuration(create_app(settings, **clocks), settings))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        end = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.01)
        client = Client(listener.getsockname()[1])
        try:
            yield client.until_ready() if ready else client
        finally:
            client.close()
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
    assert not thread.is_alive()
