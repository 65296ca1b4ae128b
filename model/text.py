"""Frozen text encoders: item text → text embedding. The tokenizer sees nothing else of a text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sparse
import torch
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from torch import Tensor

from model.words import vectorizer

Embeddings = NDArray[np.float32]

_NGRAMS = (1, 2)  # words and word pairs

# The tensors of TfidfEncoder.state(): type and number of dimensions by name.
_STATE = {"components": (torch.float32, 2), "idf": (torch.float64, 1), "vocabulary": (torch.uint8, 1)}


class TextEncoder(Protocol):
    """Turns texts into embeddings. Encoders with equal fingerprints give equal embeddings."""

    @property
    def kind(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """Text embeddings [n, dim] float32, rows of length 1. A text that is empty or has no known term gives zeros."""
        ...

    def spec(self) -> dict[str, Any]:
        """JSON-ready settings; `build_text_encoder` makes the encoder again from them and `state`."""
        ...

    def state(self) -> dict[str, Tensor]:
        """The tensors that the encoder learned from the catalogue."""
        ...


class TfidfEncoder:
    """TF-IDF over words and word pairs, reduced by truncated SVD. It is fitted on the catalogue and needs no download.

    components: [terms, dim], the right singular vectors. idf: [terms]. vocabulary: the terms in column order.
    """

    kind = "tfidf"

    def __init__(self, vocabulary: Sequence[str], idf: NDArray[np.float64], components: Embeddings) -> None:
        self._vocabulary = list(vocabulary)
        self._components = np.ascontiguousarray(components, dtype=np.float32)
        numbered = dict(zip(self._vocabulary, range(len(vocabulary)), strict=True))
        self._vectorizer = vectorizer(ngram_range=_NGRAMS, vocabulary=numbered)
        self._vectorizer.idf_ = np.asarray(idf, dtype=np.float64)
        self._fingerprint: str | None = None

    @classmethod
    def fit(cls, texts: Sequence[str], dim: int = 384, max_terms: int = 20_000, seed: int = 0) -> TfidfEncoder:
        """Learn terms, their weights and `dim` directions from the catalogue's texts.

        A catalogue with fewer texts or terms than `dim` gives fewer directions. Raises ValueError for texts without any
        term.
        """
        counted = vectorizer(ngram_range=_NGRAMS, max_features=max_terms, min_df=2 if len(texts) > 100 else 1)
        try:
            weights = counted.fit_transform(texts)
        except ValueError as error:
            raise ValueError(f"texts: no usable term in {len(texts)} item texts ({error})") from error
        rank = max(1, min(dim, weights.shape[0] - 1, weights.shape[1] - 1))
        svd = TruncatedSVD(rank, n_iter=4, random_state=seed).fit(weights)
        return cls(
            [str(term) for term in counted.get_feature_names_out()],
            counted.idf_,
            svd.components_.T.astype(np.float32),
        )

    @property
    def dim(self) -> int:
        return int(self._components.shape[1])

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for name, tensor in sorted(self.state().items()):
                digest.update(name.encode() + tensor.numpy().tobytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def encode(self, texts: Sequence[str]) -> Embeddings:
        weights = self._vectorizer.transform(texts)
        # Take the rows in use first. To multiply by a double-precision matrix, SciPy copies all of a single-precision
        # one: 25 ms for one text.
        terms, columns = np.unique(weights.indices, return_inverse=True)
        used = sparse.csr_matrix((weights.data, columns, weights.indptr), shape=(weights.shape[0], len(terms)))
        dense = np.asarray(used @ self._components[terms], dtype=np.float32)
        norms = np.linalg.norm(dense, axis=1, keepdims=True)
        return np.asarray(dense / np.where(norms > 0, norms, 1.0), dtype=np.float32)

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def state(self) -> dict[str, Tensor]:
        terms = np.frombuffer("\n".join(self._vocabulary).encode(), dtype=np.uint8)
        return {
            "components": torch.from_numpy(self._components),
            "idf": torch.from_numpy(self._vectorizer.idf_),
            "vocabulary": torch.from_numpy(terms.copy()),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> TfidfEncoder:
        """The encoder with this `state()`. Raises ValueError if a tensor is missing, unexpected or of a wrong shape."""
        if missing := sorted(set(_STATE) - set(state)):
            raise ValueError(f"text encoder: tensor {missing[0]!r} is missing")
        if unknown := sorted(set(state) - set(_STATE)):
            raise ValueError(f"text encoder: tensor {unknown[0]!r} is unexpected")
        for name, (dtype, dimensions) in _STATE.items():
            if state[name].dtype != dtype or state[name].dim() != dimensions:
                raise ValueError(f"text encoder: tensor {name!r} is not {dtype} of {dimensions} dimensions")
            if not torch.isfinite(state[name]).all():
                raise ValueError(f"text encoder: tensor {name!r} holds NaN or infinity")
        vocabulary = state["vocabulary"].numpy().tobytes().decode().split("\n")
        terms = len(vocabulary)
        if state["components"].shape[0] != terms or state["idf"].shape != (terms,):
            raise ValueError(
                f"text encoder: {terms} terms, but components {tuple(state['components'].shape)} "
                f"and idf {tuple(state['idf'].shape)}"
            )
        return cls(vocabulary, state["idf"].numpy(), state["components"].numpy())


class SentenceEncoder:
    """Any sentence-transformers model, by name or folder (the extra `sentence`)."""

    kind = "sentence"

    def __init__(self, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ImportError(
                f"the text encoder {name!r} needs sentence-transformers, the extra `sentence`: make setup LOCK=sentence"
            ) from error
        self._name = name
        self._model = SentenceTransformer(name, device="cpu")
        self._fingerprint: str | None = None

    @property
    def dim(self) -> int:
        return int(self._model.get_embedding_dimension() or 0)

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for name, tensor in sorted(self._model.state_dict().items()):
                digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def encode(self, texts: Sequence[str]) -> Embeddings:
        filled = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False, batch_size=64)
        out = np.array(filled, dtype=np.float32).reshape(len(texts), self.dim)
        # A model gives even the empty text a direction, which says nothing about the item.
        out[[not text for text in texts]] = 0.0
        return out

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self._name}

    def state(self) -> dict[str, Tensor]:
        return {}


class NoText:
    """The text encoder of a model that reads no text (ID tokens alone): every text gives zeros."""

    kind, dim, fingerprint = "none", 1, "none"

    def encode(self, texts: Sequence[str]) -> Embeddings:
        return np.zeros((len(texts), self.dim), dtype=np.float32)

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def state(self) -> dict[str, Tensor]:
        return {}


def build_text_encoder(spec: Mapping[str, Any], state: Mapping[str, Tensor]) -> TextEncoder:
    """The encoder with this `spec()` and `state()`. Raises ValueError for an unknown kind."""
    if spec.get("kind") == TfidfEncoder.kind:
        return TfidfEncoder.from_state(state)
    if spec.get("kind") == SentenceEncoder.kind:
        return SentenceEncoder(str(spec["name"]))
    if spec.get("kind") == NoText.kind:
        return NoText()
    raise ValueError(f"text encoder: unknown kind {spec.get('kind')!r}, known: tfidf, sentence, none")
