"""Telling words: what sets a group of items apart from the catalogue, said in the words of their texts.

A word tells by p · log(p / q), of which p is its share of the group's items and q its share of the catalogue's: its
part in KL(p ‖ q). Only what the group says more often than all do is worth more than nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

_WORD = re.compile(r"[^\W\d_]{3,}")
_DIGITS = 12  # of a gain that count: equal gains reached by other divisions are equal, and alphabet decides


class TellingWords:
    """The words of a catalogue's texts, and which item says which.

    Rows 0 … n - 1 are the catalogue's items in their order, rows n, n + 1, … those of `with_more`.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._vectorizer = CountVectorizer(analyzer=_words, binary=True, dtype=np.bool_)
        try:
            self._said = self._vectorizer.fit_transform(texts)  # [n, words], bool
            self._vocabulary: list[str] = self._vectorizer.get_feature_names_out().tolist()  # in alphabetical order
        except ValueError:  # scikit-learn's word for: no word at all
            self._said, self._vocabulary = sparse.csr_matrix((len(texts), 0), dtype=np.bool_), []
        self._everywhere = np.bincount(self._said.indices, minlength=len(self._vocabulary))
        self._more = self._said[:0]

    def __len__(self) -> int:
        """The number of rows."""
        return int(self._said.shape[0] + self._more.shape[0])

    def with_more(self, texts: Sequence[str]) -> TellingWords:
        """With more items behind these, for groups to hold. What all say stays what the catalogue says.

        Words that no text of the catalogue has are left out: how common they are is unknown, and whatever were put for
        it would let one odd text, or one in another language, name a small group.
        """
        grown = TellingWords.__new__(TellingWords)
        grown.__dict__.update(self.__dict__)  # the catalogue's part is shared, and never changed
        if self._vocabulary and len(texts):
            added = self._vectorizer.transform(texts)
        else:
            added = sparse.csr_matrix((len(texts), len(self._vocabulary)), dtype=np.bool_)
        grown._more = sparse.vstack([self._more, added], format="csr")
        return grown

    def words(self, rows: NDArray[np.int64], count: int) -> list[str]:
        """The `count` most telling words of one group of items, the most telling first, equals in order of alphabet."""
        return self.of_groups(rows, np.zeros(len(rows), np.int64), 1, count)[0]

    def of_groups(
        self, rows: NDArray[np.int64], groups: NDArray[np.int64], n_groups: int, count: int
    ) -> list[list[str]]:
        """The most telling words of many groups: item rows[i] is in group groups[i], 0 … n_groups - 1. rows, groups
        [m].

        A group without items has no words, and an item may be in many groups. Raises IndexError for a row or a group
        that is not there.
        """
        _check(rows, len(self), "row")
        _check(groups, n_groups, "group")
        n_items = self._said.shape[0]
        new = rows >= n_items
        said = sparse.vstack([self._said[rows[~new]], self._more[rows[new] - n_items]], format="csr", dtype=np.int32)
        members = np.concatenate([groups[~new], groups[new]])
        places = (members, np.arange(len(members)))
        found = sparse.csr_matrix((np.ones(len(members), np.int32), places), (n_groups, len(members))) @ said
        of = np.repeat(np.arange(n_groups), np.diff(found.indptr))
        share = found.data / np.bincount(groups, minlength=n_groups)[of]
        gain = np.round(share * np.log(share / (self._everywhere[found.indices] / n_items)), _DIGITS)
        # By group, then by gain, then by alphabet, which is the order of the words' numbers.
        best = np.lexsort((found.indices, -gain, of))
        best = best[gain[best] > 0]
        starts = np.searchsorted(of[best], np.arange(n_groups + 1))
        return [
            [self._vocabulary[word] for word in found.indices[best[start : min(start + count, end)]]]
            for start, end in pairwise(starts)
        ]


def _words(text: str) -> list[str]:
    """Words of three letters or more; digits and underscores part words."""
    return [word.lower() for word in _WORD.findall(text)]


def _check(values: NDArray[Any], bound: int, what: str) -> None:
    if len(values) and not 0 <= values.min() <= values.max() < bound:
        raise IndexError(f"{what} {values[(values < 0) | (values >= bound)][0]} is not one of {bound}")
