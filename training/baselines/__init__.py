"""Published methods to compare with, on our split, our negatives and our metric code.

May import options, console, export, fit, evaluate, datasets, config and `model`.

Why no library (tried on 2026-11-21 with the versions in pyproject.toml: Python 3.11, torch 2.13.0, numpy 2.4.6):
RecBole 1.2.1 installs but does not import. Its ray 2.6.3 needs `pkg_resources`, which setuptools dropped; with an older
setuptools it needs `numpy.bool8`, which numpy 2 dropped; and torch 2.6 and later do not load its checkpoints
(https://github.com/RUCAIBox/RecBole/issues/2215). RecTools 0.19.0 does not install: on Python 3.11 it needs numpy < 2.
It also lacks GRU4Rec, Caser, HGN and FM. So we wrote minimal implementations, one file per method. Each names its paper
and the published figures that we are sure of. SASRec is our own trainer with ID embeddings.
"""

from __future__ import annotations

from collections.abc import Callable

from training.baselines.base import Baseline, baseline_ranks, cap_epochs
from training.baselines.bert4rec import Bert4Rec
from training.baselines.caser import Caser
from training.baselines.fm import FactorizationMachine
from training.baselines.gru4rec import Gru4Rec
from training.baselines.hgn import Hgn
from training.baselines.item_knn import ItemKnn
from training.baselines.popularity import Popularity
from training.baselines.sasrec import SOFTMAX, SasRec
from training.baselines.text_nn import TextNearestNeighbour

__all__ = ["BASELINES", "Baseline", "baseline_ranks", "cap_epochs"]

BASELINES: dict[str, Callable[[], Baseline]] = {
    "popularity": Popularity,
    "item-knn": ItemKnn,
    "text-nn": TextNearestNeighbour,
    "fm": FactorizationMachine,
    "gru4rec": Gru4Rec,
    "caser": Caser,
    "sasrec": SasRec,
    "sasrec-softmax": lambda: SasRec(SOFTMAX),
    "bert4rec": Bert4Rec,
    "hgn": Hgn,
}
