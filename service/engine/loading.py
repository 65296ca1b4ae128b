"""Loading: the artifact, and its catalogue overlaid with the registry. An engine starts from both."""

from __future__ import annotations

from functools import partial

import faiss
import numpy as np
import torch

from model.artifact import Artifact
from model.golden import check_golden
from service.catalogue.catalogue import Catalogue
from service.catalogue.records import Record, catalogue_records, encode, registered_record
from service.index.item_index import ItemIndex
from service.index.scan import Floats
from service.registry.registry import Registry
from service.settings import Settings

_BATCH = 512  # registry rows tokenized at once


def load_artifact(settings: Settings) -> Artifact:
    """Load and verify the artifact, and replay its golden samples. Raises ArtifactError."""
    torch.set_num_threads(settings.threads)
    faiss.omp_set_num_threads(settings.threads)
    artifact = Artifact.load(settings.artifacts)
    check_golden(artifact)
    return artifact


def load_catalogue(artifact: Artifact, registry: Registry, settings: Settings) -> tuple[Catalogue, dict[str, int]]:
    """The artifact's items overlaid with the registry's rows, which this artifact tokenizes; and, by item id, the
    revision of each row.

    An id whose row has a flaw is not served at all: somebody had replaced what the artifact says. The revisions leave
    it out, so that the feed takes the row over once it is an item again.
    """
    records: list[Record | None] = list(catalogue_records(artifact))
    vectors: list[Floats] = []
    overlaid: list[Record] = []
    revisions: dict[str, int] = {}
    for rows in registry.rows(_BATCH):
        for row in rows:
            if row.flaw is None:
                revisions[row.item_id] = row.revision
            if (index := artifact.items.index_of.get(row.item_id)) is not None:
                records[index] = None
        active = [(row, row.item) for row in rows if row.item is not None]
        encoded = encode(artifact, [item for _, item in active])
        for (row, item), code in zip(active, encoded, strict=True):
            overlaid.append(registered_record(artifact, item, code, row.seq, row.revision))
            vectors.append(code.embedding)
    kept = [record for record in records if record is not None]
    base = artifact.catalogue_embeddings()[[record.order for record in kept]]
    every = np.concatenate([base, np.array(vectors, np.float32).reshape(len(vectors), base.shape[1])])
    config = artifact.tokenizer.config
    build = partial(
        ItemIndex,
        split=config.semantic_dim if config.has_semantic else 0,
        kind=settings.index,
        ef_search=settings.index_ef_search,
        probes=settings.index_probes,
    )
    return Catalogue([*kept, *overlaid], every, build, artifact.neighbours), revisions
