"""Published figures to compare with, and their sources. All are HIT@10 (= Recall@10) and NDCG@10 on the test split.

We collected them from the literature. A mark applies only to the data set of its source, which we recognise by its
numbers of users, items and interactions.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from training.datasets.base import Dataset

DATA = {
    "beauty": (22_363, 12_101, 198_502),
    "sports": (35_598, 18_357, 296_337),
    "toys": (19_412, 11_924, 167_597),
}

Protocol = Literal["sampled", "full"]


class Mark(NamedTuple):
    method: str
    source: str
    protocol: Protocol
    values: dict[str, tuple[float, float | None]]
    """data set → HIT@10, NDCG@10"""


_UNIFIED = "arXiv 2502.16474"
# The table in its repository, blondered/transformer_benchmark. Its SASRec has one block and one head, width 256 and
# dropout .2; the 256 negatives are drawn anew for each position.
_ESASREC = "arXiv 2508.06450"
# The logs in its repository, xhy963319431/WEARec. On Beauty they hold a grid of settings, measured on test; its other
# points reach .094 to .102.
_WEAREC = "arXiv 2511.07028; Beauty: the best of a grid on test"

MARKS = (
    Mark(
        "popularity",
        _UNIFIED,
        "sampled",
        {"beauty": (0.3386, 0.1803), "sports": (0.3423, 0.1902), "toys": (0.3008, 0.1618)},
    ),
    Mark("FM", _UNIFIED, "sampled", {"beauty": (0.2311, 0.1207), "sports": (0.2491, 0.1334), "toys": (0.1715, 0.0850)}),
    Mark(
        "SASRec",
        _UNIFIED,
        "sampled",
        {"beauty": (0.4696, 0.3156), "sports": (0.4622, 0.2869), "toys": (0.4663, 0.3136)},
    ),
    Mark(
        "FDSA", _UNIFIED, "sampled", {"beauty": (0.5096, 0.3324), "sports": (0.5136, 0.3170), "toys": (0.5129, 0.3271)}
    ),
    Mark(
        "ID tokens only",
        _UNIFIED,
        "sampled",
        {"beauty": (0.4654, None), "sports": (0.4582, None), "toys": (0.4603, None)},
    ),
    Mark(
        "semantic tokens only",
        _UNIFIED,
        "sampled",
        {"beauty": (0.4956, None), "sports": (0.4704, None), "toys": (0.4644, None)},
    ),
    Mark(
        "unified",
        _UNIFIED,
        "sampled",
        {"beauty": (0.5318, 0.3440), "sports": (0.5247, 0.3168), "toys": (0.5456, 0.3501)},
    ),
    Mark(
        "S3-Rec",
        "its authors' rerun",
        "sampled",
        {"beauty": (0.5687, 0.3816), "sports": (0.5664, 0.3559), "toys": (0.5593, 0.3695)},
    ),
    Mark(
        "SASRec (BCE)",
        "S3-Rec paper, arXiv 2008.07873",
        "full",
        {"beauty": (0.0605, 0.0318), "sports": (0.0350, 0.0192), "toys": (0.0675, 0.0374)},
    ),
    Mark(
        "TIGER",
        "arXiv 2305.05065",
        "full",
        {"beauty": (0.0648, 0.0384), "sports": (0.0400, 0.0225), "toys": (0.0712, 0.0432)},
    ),
    Mark(
        "LIGER",
        "arXiv 2411.18814",
        "full",
        {"beauty": (0.0745, 0.0402), "sports": (0.0440, 0.0243), "toys": (0.0714, 0.0376)},
    ),
    Mark("ActionPiece", "arXiv 2502.13581", "full", {"beauty": (0.0775, 0.0424), "sports": (0.0500, 0.0264)}),
    Mark(
        "SASRec, sampled softmax, 256 negatives",
        _ESASREC,
        "full",
        {"beauty": (0.0921, 0.0531), "sports": (0.0569, 0.0314), "toys": (0.0970, 0.0580)},
    ),
    Mark(
        "eSASRec",
        _ESASREC,
        "full",
        {"beauty": (0.0928, 0.0523), "sports": (0.0560, 0.0323), "toys": (0.0939, 0.0538)},
    ),
    Mark(
        "ICSRec",
        "its authors' repository, QinHsiu/ICSRec",
        "full",
        {"beauty": (0.0959, 0.0578), "sports": (0.0565, 0.0335), "toys": (0.1055, 0.0657)},
    ),
    Mark(
        "WEARec (ID only)",
        _WEAREC,
        "full",
        {"beauty": (0.1041, 0.0614), "sports": (0.0631, 0.0367)},
    ),
    Mark(
        "LLM cross-encoder (Qwen3-0.6B)",
        "collected from the literature, source not checked",
        "full",
        {"beauty": (0.0957, 0.0473), "sports": (0.0677, 0.0365), "toys": (0.1223, 0.0682)},
    ),
)


class Goal(NamedTuple):
    """A goal for the `default` recipe, as the median over seeds: HIT@10 and NDCG@10; None if there is no goal."""

    name: Literal["must", "goal", "dream"]
    sampled: tuple[float, float] | None
    full: tuple[float, float] | None


GOALS: dict[str, tuple[Goal, ...]] = {
    "beauty": (
        Goal("must", (0.5687, 0.3816), (0.0921, 0.0531)),
        Goal("goal", (0.60, 0.41), (0.1041, 0.0614)),
        Goal("dream", None, (0.115, 0.068)),
    ),
    "toys": (
        Goal("must", (0.5593, 0.3695), (0.0970, 0.0580)),
        Goal("goal", None, (0.1055, 0.0657)),
        Goal("dream", None, (0.130, 0.078)),
    ),
    "sports": (
        Goal("must", (0.5247, 0.3168), (0.0569, 0.0314)),
        Goal("goal", None, (0.0631, 0.0367)),
        Goal("dream", None, (0.073, 0.042)),
    ),
}

# The paper's table of distances on Beauty: level-1 codewords in use, distinct semantic IDs over items.
DISTANCES = {
    "all cosine": (1.0, 0.7013),
    "all Euclidean": (0.0586, 0.9267),
    "cosine, then Euclidean last": (1.0, 0.8327),
}

# The paper's token parameters against an ID-only table of width 64.
TOKEN_SAVING = {"beauty": 0.8115, "sports": 0.8541, "toys": 0.8106}

# R@10 on cold targets, Beauty, 5 % of the distinct test targets held out: TIGER's protocol, rerun by others.
COLD = {"TIGER": 0.0, "text nearest neighbour": 0.0565, "SASRec-CE, nearest neighbour in the last place": 0.0811}
COLD_ALL_USERS = (0.0807, 0.0804)  # of the last, before and after
COLD_GOALS = {"must": 0.0811, "goal": 0.10}


def known_data(dataset: Dataset) -> str | None:
    """The name of a data set in the marks, None for any other data."""
    counts = (dataset.n_users, dataset.n_items, dataset.n_interactions)
    return next((name for name, expected in DATA.items() if expected == counts), None)


def marks_for(name: str | None, protocol: Protocol) -> list[tuple[str, str, float, float | None]]:
    """Method, source, HIT@10 and NDCG@10 of every mark on that data set; none for None."""
    return [
        (mark.method, mark.source, *mark.values[name])
        for mark in MARKS
        if name is not None and mark.protocol == protocol and name in mark.values
    ]
