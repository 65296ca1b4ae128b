"""Text encoders: what they learn can be stored and found again, and no text is too strange for them."""

from __future__ import annotations

import sys
import tracemalloc
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.text import NoText, SentenceEncoder, TfidfEncoder, build_text_encoder

CATALOGUE = [
    "red kettle for the kitchen",
    "blue kettle, small",
    "red scarf of wool",
    "blue scarf of silk",
    "desk lamp with a switch",
    "floor lamp, large",
    "crème brûlée torch",
]


@pytest.fixture(scope="module")
def tfidf() -> TfidfEncoder:
    return TfidfEncoder.fit(CATALOGUE, dim=5)


def test_rows_have_length_one_and_say_what_is_alike(tfidf: TfidfEncoder) -> None:
    out = tfidf.encode([*CATALOGUE, "a red kettle"])
    assert out.shape == (8, tfidf.dim) == (8, 5)
    assert out.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1.0, rtol=1e-5)
    assert (out[:7] @ out[7]).argmax() == 0


def test_the_embedding_is_the_projected_tf_idf_by_hand() -> None:
    # Two texts, terms "a", "a b", "b": idf = ln(3 / (1 + df)) + 1; "a" in both, "b" and "a b" in one.
    state = {
        "vocabulary": torch.tensor(list(b"a\na b\nb"), dtype=torch.uint8),
        "idf": torch.tensor([1.0, np.log(1.5) + 1, np.log(1.5) + 1], dtype=torch.float64),
        "components": torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
    }
    encoder = TfidfEncoder.from_state(state)
    rare = np.log(1.5) + 1
    # Sublinear term frequency: "a" twice weighs 1 + ln 2. The TF-IDF row's own length cancels out.
    expected = np.array([1 + np.log(2), 2 * rare])
    out = encoder.encode(["a a b"])[0]
    np.testing.assert_allclose(out, expected / np.linalg.norm(expected), rtol=1e-6)


def test_one_text_does_not_take_a_copy_of_all_that_was_learned() -> None:
    terms, dim = 5_000, 384
    components = np.random.default_rng(0).standard_normal((terms, dim)).astype(np.float32)
    encoder = TfidfEncoder([f"word{number}" for number in range(terms)], np.ones(terms), components)
    encoder.encode(["word7 word9"])  # what is made at first alone
    tracemalloc.start()
    try:
        found = encoder.encode(["word7 word9"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < components.nbytes / 10
    both = components[7] + components[9]
    np.testing.assert_allclose(found[0], both / np.linalg.norm(both), rtol=1e-5)


@pytest.mark.parametrize("text", ["", "   ", "zzz qqq", "!!! ;;;", "日本"])
def test_an_empty_or_unknown_text_gives_zeros(tfidf: TfidfEncoder, text: str) -> None:
    out = tfidf.encode([text, CATALOGUE[0]])
    assert not out[0].any()
    assert out[1].any()


def test_strange_texts_are_encoded(tfidf: TfidfEncoder) -> None:
    texts = ["red \ud800 kettle", "red\x00kettle", "\udfff", "kettle " * 50_000, "\u202ered kettle", "Ｋettle"]
    out = tfidf.encode(texts)
    assert np.isfinite(out).all()
    assert out[[0, 1, 3, 4, 5]].any(axis=1).all()
    assert not out[2].any()


def test_accents_and_case_make_no_difference(tfidf: TfidfEncoder) -> None:
    first, second = tfidf.encode(["CREME BRULEE", "crème brûlée"])
    assert first.any()
    np.testing.assert_array_equal(first, second)


def test_state_and_spec_build_an_equal_encoder(tfidf: TfidfEncoder) -> None:
    again = build_text_encoder(tfidf.spec(), tfidf.state())
    texts = [*CATALOGUE, "", "red"]
    assert np.array_equal(again.encode(texts), tfidf.encode(texts))
    assert again.fingerprint == tfidf.fingerprint
    assert (again.kind, again.dim) == ("tfidf", 5)
    assert len(tfidf.fingerprint) == 64


def test_the_fingerprint_says_what_was_learned(tfidf: TfidfEncoder) -> None:
    assert TfidfEncoder.fit(CATALOGUE, dim=5).fingerprint == tfidf.fingerprint
    others = [
        TfidfEncoder.fit(CATALOGUE, dim=4),
        TfidfEncoder.fit(CATALOGUE[:-1], dim=5),
        TfidfEncoder.from_state(tfidf.state() | {"idf": tfidf.state()["idf"] + 1e-9}),
    ]
    assert len({encoder.fingerprint for encoder in (tfidf, *others)}) == 4


def test_a_small_catalogue_gives_fewer_directions() -> None:
    assert TfidfEncoder.fit(["red kettle", "blue lamp", "green scarf"], dim=384).dim == 2
    assert TfidfEncoder.fit(CATALOGUE, dim=384, max_terms=4).dim == 3


def test_words_of_one_item_only_are_left_out_of_a_large_catalogue() -> None:
    encoder = TfidfEncoder.fit([f"common word{n}" for n in range(101)] + ["common twice", "common twice"], dim=3)
    assert encoder.encode(["twice"]).any()
    assert not encoder.encode(["word5"]).any()


@pytest.mark.parametrize("texts", [[], [""], ["", "!!!"]])
def test_a_catalogue_without_a_term_is_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=f"no usable term in {len(texts)} item texts"):
        TfidfEncoder.fit(texts)


def _without(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize("name", ["components", "idf", "vocabulary"])
def test_a_missing_tensor_is_named(tfidf: TfidfEncoder, name: str) -> None:
    with pytest.raises(ValueError, match=f"tensor '{name}' is missing"):
        TfidfEncoder.from_state(_without(name, tfidf.state()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": torch.zeros(1)}, "tensor 'extra' is unexpected"),
        ({"idf": torch.ones(3, dtype=torch.float64)}, "components .* and idf"),
        ({"idf": torch.ones(3)}, "tensor 'idf' is not torch.float64"),
        ({"components": torch.ones(3)}, "tensor 'components' is not torch.float32 of 2 dimensions"),
        ({"components": torch.ones(3, 2)}, "components .* and idf"),
        ({"components": torch.ones(3, 2, dtype=torch.bfloat16)}, "tensor 'components' is not torch.float32"),
        ({"components": torch.full((3, 2), float("nan"))}, "tensor 'components' holds NaN"),
        ({"vocabulary": torch.tensor([255, 254], dtype=torch.uint8)}, "utf-8"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tfidf: TfidfEncoder, change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TfidfEncoder.from_state(tfidf.state() | change)


@pytest.mark.parametrize("spec", [{}, {"kind": "pickle"}, {"kind": None}])
def test_an_unknown_kind_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown kind .* known: tfidf, sentence, none"):
        build_text_encoder(spec, {})


class FakeModel:
    """Stands in for sentence_transformers.SentenceTransformer: an embedding of three counts."""

    def __init__(self, name: str, device: str = "") -> None:
        self.name = name

    def get_embedding_dimension(self) -> int:
        return 3

    def state_dict(self) -> dict[str, Tensor]:
        return {"weight": torch.tensor([float(len(self.name))])}

    def encode(self, texts: list[str], normalize_embeddings: bool, **_: Any) -> NDArray[np.float32]:
        assert normalize_embeddings
        rows = np.array([[1.0, len(text), text.count("e")] for text in texts], dtype=np.float32).reshape(-1, 3)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_without_sentence_transformers_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match="'some-model' needs sentence-transformers, the extra `sentence`"):
        build_text_encoder({"kind": "sentence", "name": "some-model"}, {})


def test_a_sentence_encoder_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("sentence_transformers")
    monkeypatch.setattr(fake, "SentenceTransformer", FakeModel, raising=False)
    monkeypatch.setitem(sys.modules, "sentence_transformers", fake)
    encoder = SentenceEncoder("tiny")
    out = encoder.encode(["red kettle", "", "lamp"])
    assert out.shape == (3, encoder.dim) == (3, 3)
    assert not out[1].any()
    assert encoder.encode([]).shape == (0, 3)
    np.testing.assert_allclose(np.linalg.norm(out[[0, 2]], axis=1), 1.0, rtol=1e-6)
    again = build_text_encoder(encoder.spec(), encoder.state())
    assert again.fingerprint == encoder.fingerprint != SentenceEncoder("another").fingerprint
    assert np.array_equal(again.encode(["lamp"]), out[2:])


def test_the_encoder_that_reads_no_text() -> None:
    encoder = build_text_encoder(NoText().spec(), NoText().state())
    assert encoder.encode(["red kettle", ""]).tolist() == [[0.0], [0.0]]
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert encoder.fingerprint == NoText().fingerprint
