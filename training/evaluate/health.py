"""Health of a tokenizer: codebook usage, collisions, and the number of token parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import TokenizerConfig

REFERENCE_ID_DIM = 64  # the ID-only baseline of the paper


def tokenizer_health(codes: NDArray[np.int64], config: TokenizerConfig) -> dict[str, Any]:
    """Figures of the semantic IDs [n_items, levels] of a catalogue, JSON-ready.

    usage: share of codewords that at least one item chooses, per level. perplexity: 2^entropy of the codes, per level.
    unique: share of items whose semantic ID no other item has. distinct: distinct semantic IDs divided by items (the
    "unique semantic IDs" of the paper). largest_collision: items that share the most common semantic ID.
    """
    if not config.has_semantic:
        return {}
    usage, perplexity = [], []
    for level in range(config.levels):
        share = np.bincount(codes[:, level], minlength=config.codebook_size) / len(codes)
        usage.append(float((share > 0).mean()))
        present = share[share > 0]
        perplexity.append(float(2 ** -(present * np.log2(present)).sum()))
    counts = np.unique(codes, axis=0, return_counts=True)[1]
    return {
        "usage": usage,
        "perplexity": perplexity,
        "distinct": float(len(counts) / len(codes)),
        "unique": float((counts == 1).sum() / len(codes)),
        "largest_collision": int(counts.max()),
    }


def token_parameters(config: TokenizerConfig, n_items: int) -> dict[str, float]:
    """Parameters that represent items, as the paper counts them: codebooks and ID embeddings, against a 64-d ID table.

    Encoder and decoder do not count: they do not grow with the catalogue, and serving a known item needs neither.
    """
    codebooks = config.has_semantic * config.levels * config.codebook_size * config.semantic_dim
    ids = config.has_id * n_items * config.id_dim
    reference = n_items * REFERENCE_ID_DIM
    return {
        "codebooks": codebooks,
        "id_embeddings": ids,
        "total": codebooks + ids,
        "id_only_64": reference,
        "saving": 1.0 - (codebooks + ids) / reference,
    }
