"""Bags of words of item texts: they measure how similar two texts are.

A text embedding generalises: any two lipsticks are close. Rare words tell which of them is the same lipstick in another
colour. So the similarity of two texts is the cosine of their bags of words. A word's weight is its squared inverse
document frequency times 1 + log of its frequency in the text. Unlike in the TF-IDF encoder, no dimensions are reduced.
docs/results/tried.md shows the gain over text embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

Bags: TypeAlias = sparse.csr_matrix
"""Bags of words as rows, [n, words] float32, of length 1. A text without a known word is a row of zeros."""

_MOST_WORDS = 100_000  # the most frequent ones of the catalogue
_COMMON = 10  # a word in more than one text of so many says nothing, and would be most of the work


class Bag(NamedTuple):
    """One row of bags: the numbers of its words [m] int32 and their weights [m] float32."""

    words: NDArray[np.int32]
    weights: NDArray[np.float32]


EMPTY = Bag(np.empty(0, np.int32), np.empty(0, np.float32))


class Words:
    """The words of a catalogue's texts.

    vocabulary: the words by number. weights [words] float64: squared inverse document frequencies, above zero.
    """

    def __init__(self, vocabulary: Sequence[str], weights: NDArray[np.float64]) -> None:
        self.vocabulary, self.weights = list(vocabulary), weights
        self._vectorizer = vectorizer(vocabulary=dict(zip(self.vocabulary, range(len(vocabulary)), strict=True)))
        if self.vocabulary:
            self._vectorizer.idf_ = weights

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Words:
        """The words that at least two texts and at most a tenth of them have; for up to a hundred texts, every word."""
        few = len(texts) <= 100
        counted = vectorizer(
            max_features=_MOST_WORDS, min_df=1 if few else 2, max_df=1.0 if few else max(100, len(texts) // _COMMON)
        )
        try:
            counted.fit(texts)
        except ValueError:  # raised by scikit-learn where there is no such word
            return cls([], np.empty(0))
        return cls([str(word) for word in counted.get_feature_names_out()], np.square(counted.idf_))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def bags(self, texts: Sequence[str]) -> Bags:
        """The bags of texts [n], a row each: [n, words]."""
        if not self.vocabulary or not len(texts):
            return stack([EMPTY] * len(texts), len(self))
        return self._vectorizer.transform(texts).astype(np.float32)


def vectorizer(**options: Any) -> TfidfVectorizer:
    """A vectorizer with the rules that all of Kindred uses to split and count words."""
    return TfidfVectorizer(strip_accents="unicode", token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, **options)


def stack(bags: Sequence[Bag], words: int) -> Bags:
    """Bags as the rows of one matrix, [len(bags), words]."""
    offsets = np.cumsum([0, *(len(bag.words) for bag in bags)])
    numbers = np.concatenate([EMPTY.words, *(bag.words for bag in bags)])
    weights = np.concatenate([EMPTY.weights, *(bag.weights for bag in bags)])
    return sparse.csr_matrix((weights, numbers, offsets), shape=(len(bags), words))


def bag_at(bags: Bags, at: int) -> Bag:
    """The bag in row `at` of a matrix of bags."""
    part = slice(bags.indptr[at], bags.indptr[at + 1])
    return Bag(bags.indices[part], bags.data[part])


NO_WORDS = Words([], np.empty(0))
