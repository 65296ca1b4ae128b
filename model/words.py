"""The words of item texts: what the nearness of two texts is measured by.

A text embedding generalises: two lipsticks lie close, whatever their names. Which of them is the same lipstick in
another colour is told by the words that few texts have. So nearness is the cosine of bags of words, a word's weight its
squared inverse document frequency, with the frequency in the text on a logarithmic scale: not reduced to fewer
dimensions, unlike the TF-IDF encoder's. docs/results/tried.md has what that brought over text embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

Bags: TypeAlias = sparse.csr_matrix
"""Bags of words as rows, [n, words] float32, of length 1; a text without a known word is a row of zeros."""

_MOST_WORDS = 100_000  # of the catalogue's: the most frequent
_COMMON = 10  # a word that more than one text in so many has says nothing, and would be most of the work


class Bag(NamedTuple):
    """One row of bags: the numbers of its words [m] int32, and their weights [m] float32."""

    words: NDArray[np.int32]
    weights: NDArray[np.float32]


EMPTY = Bag(np.empty(0, np.int32), np.empty(0, np.float32))


class Words:
    """The words of a catalogue's texts. vocabulary: by number. weights [words] float64: squared, above zero."""

    def __init__(self, vocabulary: Sequence[str], weights: NDArray[np.float64]) -> None:
        self.vocabulary, self.weights = list(vocabulary), weights
        self._vectorizer = vectorizer(vocabulary=dict(zip(self.vocabulary, range(len(vocabulary)), strict=True)))
        if self.vocabulary:
            self._vectorizer.idf_ = weights

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Words:
        """Words of at least two texts, and of a tenth at most; of a hundred texts or fewer, every word."""
        few = len(texts) <= 100
        counted = vectorizer(
            max_features=_MOST_WORDS, min_df=1 if few else 2, max_df=1.0 if few else max(100, len(texts) // _COMMON)
        )
        try:
            counted.fit(texts)
        except ValueError:  # scikit-learn's word for: no such word at all
            return cls([], np.empty(0))
        return cls([str(word) for word in counted.get_feature_names_out()], np.square(counted.idf_))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def bags(self, texts: Sequence[str]) -> Bags:
        """The bags of texts, a row each."""
        if not self.vocabulary or not len(texts):
            return stack([EMPTY] * len(texts), len(self))
        return self._vectorizer.transform(texts).astype(np.float32)


def vectorizer(**options: Any) -> TfidfVectorizer:
    """How texts are cut into words, and how often a word counts that is there more than once."""
    return TfidfVectorizer(strip_accents="unicode", token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, **options)


def stack(bags: Sequence[Bag], words: int) -> Bags:
    """Bags as the rows of one matrix over so many words."""
    offsets = np.cumsum([0, *(len(bag.words) for bag in bags)])
    numbers = np.concatenate([EMPTY.words, *(bag.words for bag in bags)])
    weights = np.concatenate([EMPTY.weights, *(bag.weights for bag in bags)])
    return sparse.csr_matrix((weights, numbers, offsets), shape=(len(bags), words))


def bag_at(bags: Bags, at: int) -> Bag:
    """One row of a matrix of bags."""
    part = slice(bags.indptr[at], bags.indptr[at + 1])
    return Bag(bags.indices[part], bags.data[part])


NO_WORDS = Words([], np.empty(0))
