"""Write a trained model as an artifact: best weights, catalogue, metrics and golden samples."""

from __future__ import annotations

import io
import platform
import time
from dataclasses import replace
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from model.artifact import Artifact
from model.golden import make_golden
from model.item_table import ItemTable
from model.manifest import FORMAT_VERSION, DatasetEntry, Manifest, TextEncoderEntry
from training.evaluate.health import token_parameters, tokenizer_health
from training.evaluate.metrics import summary
from training.evaluate.negatives import can_sample
from training.evaluate.splits import EvaluationCases
from training.export.card import model_card
from training.export.catalogue_map import catalogue_map
from training.fit.trainer import Trainer

_LIBRARIES = ("torch", "numpy", "scikit-learn", "safetensors", "pyarrow")


def export(trainer: Trainer, root: Path, *, evaluation_data: bool = True) -> Artifact:
    """Write the trainer's best weights as a new current version below `root`.

    evaluation_data: store the sequences (item numbers only, no user identifiers) beside the model, so that `evaluate`
    needs no other data.
    """
    dataset, model, recipe = trainer.dataset, trainer.model.cpu().eval(), trainer.recipe
    codes = model.codes.numpy()
    moment = time.gmtime()
    stamp = time.strftime("%Y%m%d-%H%M%S", moment)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        version=f"{stamp}-{recipe.name}-{dataset.fingerprint()[:8]}",
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", moment),
        tokenizer=model.tokenizer.config,
        recommender=model.recommender.config,
        neighbours=dict(trainer.neighbours.configs),
        text_encoder=TextEncoderEntry(
            spec=trainer.text_encoder.spec(),
            dim=trainer.text_encoder.dim,
            fingerprint=trainer.text_encoder.fingerprint,
        ),
        dataset=DatasetEntry(
            name=dataset.name,
            fingerprint=dataset.fingerprint(),
            n_users=dataset.n_users,
            n_items=dataset.n_items,
            n_interactions=dataset.n_interactions,
        ),
        n_items=dataset.n_items,
        recipe=recipe.model_dump(mode="json"),
        seed=trainer.seed,
        metrics=_metrics(trainer),
        tokens={
            **tokenizer_health(codes, model.tokenizer.config),
            "parameters": token_parameters(model.tokenizer.config, dataset.n_items),
        },
        training=_training(trainer),
        libraries={name: library_version(name) for name in _LIBRARIES},
        files={},
    )
    artifact = Artifact(
        manifest=manifest,
        tokenizer=model.tokenizer,
        recommender=model.recommender,
        text_encoder=trainer.text_encoder,
        neighbours=trainer.neighbours,
        items=ItemTable(dataset.items, codes, trainer.popularity),
        error_quantiles=_error_quantiles(trainer),
        golden=b"",
        evaluation=evaluation_parquet(trainer) if evaluation_data else None,
    )
    histories = [history.tolist() for history in trainer.split.test.histories[:8]]
    artifact = replace(artifact, golden=make_golden(artifact, histories), positions=_positions(artifact))
    folder = artifact.save(root, model_card(manifest))
    return replace(artifact, path=folder)


def _metrics(trainer: Trainer) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    splits: dict[str, EvaluationCases] = {"valid": trainer.split.valid, "test": trainer.split.test}
    protocols = ["full"]
    if can_sample(trainer.evaluated_sequences, trainer.dataset.n_items):
        protocols.append("sampled")
    for split, cases in splits.items():
        for protocol in protocols:
            out[f"{split}/{protocol}"] = summary(trainer.ranks(cases, protocol))
    return out


def _training(trainer: Trainer) -> dict[str, Any]:
    return {
        "epochs": len(trainer.history),
        "best_epoch": int(np.argmax([entry["monitored"] for entry in trainer.history])),
        "seconds_per_epoch": round(float(np.median([entry["seconds"] for entry in trainer.history])), 2),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "device": str(trainer.device),
    }


def _error_quantiles(trainer: Trainer) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Percentiles 0 … 100 of the quantization error over the items with a text, float32 [101]."""
    model = trainer.model
    if not model.tokenizer.config.has_semantic:
        return np.zeros(101, dtype=np.float32)
    with_text = model.text.square().sum(-1) > 0
    error = model.tokenizer.quantizer.encode(model.latents())[1][with_text if with_text.any() else ...]
    return np.asarray(np.percentile(error.numpy(), np.arange(101)), dtype=np.float32)


def _positions(artifact: Artifact) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The map of the catalogue [n_items, 2], by semantic embeddings, or by ID embeddings if there are no codes."""
    config = artifact.manifest.tokenizer
    embeddings = artifact.catalogue_embeddings()
    return catalogue_map(
        embeddings[:, : config.semantic_dim] if config.has_semantic else embeddings, artifact.manifest.seed
    )


def evaluation_parquet(trainer: Trainer) -> bytes:
    """The evaluated users' whole sequences of item indices: ends with the validation target and the test target."""
    sequences = [sequence.tolist() for sequence in trainer.evaluated_sequences]
    sink = io.BytesIO()
    pq.write_table(pa.table({"sequence": pa.array(sequences, pa.list_(pa.int32()))}), sink, compression="zstd")
    return sink.getvalue()
