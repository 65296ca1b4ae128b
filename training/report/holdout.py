"""The cold hold-out: ranks of warm and cold targets before and after the cold items join the catalogue.

A share ε (the exposure) of ten recommended places is reserved for items that training never saw; the best known items
take the others. With ε = .1 they take nine. TIGER (arXiv 2305.05065, section 4.4) defines ε as the greatest share of
unseen items among the recommended ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import TEXT_SIMILARITY
from model.exposure import cold_boosts
from model.neighbours import Neighbours
from model.tokenizer import COLD
from training.baselines.base import baseline_ranks
from training.datasets.base import Dataset
from training.evaluate.metrics import Ranks, hit
from training.evaluate.ranking import boosts_of, queries
from training.evaluate.splits import ColdCase, EvaluationCases, cold_holdout
from training.fit.trainer import Trainer

PLACES = 10
RESERVED = 1  # ε = .1

Scores = Callable[[EvaluationCases, slice], Tensor]
"""Cases and rows → scores [rows, items]; histories and items have the numbers of the scores' columns."""


@dataclass(frozen=True, eq=False)
class World:
    """A data set without its cold items, and with them. known: the data for training. extended: the same interactions,
    with the held-out items after the known ones.

    cases: every user with three interactions and a known item in the history, in the numbering of `extended`. cold:
    [cases] whether the target is held out. valid: users whose validation target is held out, to choose settings by.
    left_out: number of users without a known item in their history.
    """

    known: Dataset
    extended: Dataset
    cases: EvaluationCases
    cold: NDArray[np.bool_]
    valid: EvaluationCases
    left_out: int

    @property
    def n_known(self) -> int:
        return self.known.n_items

    def known_only(self, cases: EvaluationCases) -> EvaluationCases:
        """The cases as they are before the held-out items join."""
        kept = [history[history < self.n_known] for history in cases.histories]
        return EvaluationCases(cases.users, kept, cases.targets)


def cold_world(dataset: Dataset, fraction: float, seed: int) -> World:
    """Hold out a share of the distinct test targets; raises ValueError if there is none to hold out."""
    holdout = cold_holdout(dataset, fraction, seed)
    extended = replace(
        holdout.train, name=f"{holdout.train.name}, listed", items=[*holdout.train.items, *holdout.held_out]
    )
    index_of = {item.item_id: index for index, item in enumerate(extended.items)}
    n_known = holdout.train.n_items
    every = [*holdout.cases, *holdout.warm_cases]
    cases = _numbered(every, index_of, n_known)
    valid = _numbered(holdout.valid_cases, index_of, n_known)
    return World(holdout.train, extended, cases, cases.targets >= n_known, valid, len(every) - len(cases))


def _numbered(cases: Sequence[ColdCase], index_of: Mapping[str, int], n_known: int) -> EvaluationCases:
    """Cases by number, without those that have no known item in their history."""
    histories = [np.array([index_of[item] for item in case.history], dtype=np.int32) for case in cases]
    rows = [row for row, history in enumerate(histories) if (history < n_known).any()]
    targets = np.array([index_of[cases[row].target] for row in rows], dtype=np.int32)
    return EvaluationCases(np.arange(len(rows), dtype=np.int32), [histories[row] for row in rows], targets)


class HoldoutRanks(NamedTuple):
    """Ranks of a hold-out. before, after: warm targets among the known items. cold: cold targets among the cold items.
    valid: cold validation targets among the cold items.

    free: all targets (the cold ones first) among all items, without a reserved place; None if scores of known and cold
    items are not comparable.
    """

    before: Ranks
    after: Ranks
    cold: Ranks
    valid: Ranks
    free: Ranks | None


def measure(
    world: World,
    before: Scores,
    after: Scores,
    reserved: Scores | None = None,
    *,
    comparable: bool = True,
) -> HoldoutRanks:
    """Ranks of every target. before: scores [rows, known] of histories of known items. after: scores [rows, all].

    reserved: scores [rows, all] that order cold items among themselves; by default `after` does.
    """
    warm, cold = world.cases.take(~world.cold), world.cases.take(world.cold)
    everything = world.extended.n_items
    return HoldoutRanks(
        before=_ranks(before, world.known_only(warm), 0, world.n_known),
        after=_ranks(after, warm, 0, world.n_known),
        cold=_ranks(reserved or after, cold, world.n_known, everything),
        valid=_ranks(reserved or after, world.valid, world.n_known, everything),
        free=_ranks(after, world.cases, 0, everything) if comparable else None,
    )


def cold_values(world: World, places: HoldoutRanks) -> dict[str, NDArray[np.float64]]:
    """Recall@10 per user: of cold targets, and of all users before and after, with and without reserved places."""
    n_cold = int(world.cold.sum())
    found_cold = hit(places.cold, RESERVED)
    missed = np.zeros(n_cold)  # nothing can recommend cold items before they join
    values = {
        "cold, reserved, validation": hit(places.valid, RESERVED),
        "cold, reserved": found_cold,
        "all users, before": np.concatenate([missed, hit(places.before, PLACES)]),
        "all users, reserved": np.concatenate([found_cold, hit(places.after, PLACES - RESERVED)]),
        "warm users, before": hit(places.before, PLACES),
        "warm users, reserved": hit(places.after, PLACES - RESERVED),
    }
    if places.free is not None:
        free = hit(places.free, PLACES)
        values |= {"cold, free": free[:n_cold], "all users, free": free}
    return values


def our_scores(trainer: Trainer, world: World) -> tuple[Scores, Scores, Scores]:
    """Scores of a trained model before the held-out items join, after they join by their texts alone, and for their
    reserved places.
    """
    model = trainer.model
    known = model.catalogue()
    tokenizer = model.tokenizer
    held_out = world.extended.items[world.n_known :]
    texts = [item.to_text() for item in held_out]
    text = torch.from_numpy(trainer.text_encoder.encode(texts)).to(known.device)
    index = torch.full((len(held_out),), COLD, device=known.device)
    semantic = None
    with torch.no_grad():
        if tokenizer.config.has_semantic:
            semantic = tokenizer.semantic_embeddings(tokenizer.tokenize(text).codes)
            trained = tokenizer.trained_items(tokenizer.semantic_embeddings(model.codes), model.trained)
            index = tokenizer.borrow(semantic, index, trained)
        everything = torch.cat([known, tokenizer.embed_items(semantic, index)])

    joined = trainer.neighbours.extended(trainer.neighbours.of_texts(texts))
    cold = np.arange(world.n_known, len(everything))

    def scores(catalogue: Tensor, neighbours: Neighbours, reserved: bool = False) -> Scores:
        def of(cases: EvaluationCases, rows: slice) -> Tensor:
            histories = cases.histories[rows]
            query = queries(model.recommender, catalogue, histories)
            products = query @ catalogue.T
            boosts = boosts_of(neighbours, histories, trainer.recipe.max_length)
            if boosts is not None:
                products += boosts(slice(None)).to(products.device)
            if reserved and TEXT_SIMILARITY in neighbours.configs:
                half = tokenizer.config.semantic_dim
                latest = [history[-trainer.recipe.max_length :] for history in histories]
                added = torch.from_numpy(cold_boosts(neighbours, latest, cold)).to(products.device)
                products[:, cold] = query[:, :half] @ catalogue[cold, :half].T + added
            return products

        return of

    return scores(known, trainer.neighbours), scores(everything, joined), scores(everything, joined, reserved=True)


def nearest_in_the_last_place(world: World, sequential: Scores, nearest: Scores) -> Scores:
    """Known items by a model without cold items, cold items by their text. The two scores are not comparable."""

    def scores(cases: EvaluationCases, rows: slice) -> Tensor:
        known = sequential(world.known_only(cases), rows)
        return torch.cat([known, nearest(cases, rows)[:, world.n_known :].to(known.device)], dim=1)

    return scores


class _Columns:
    """Some columns of a method's scores."""

    name = "columns"

    def __init__(self, scores: Scores, cases: EvaluationCases, columns: slice) -> None:
        self._scores, self._cases, self._columns = scores, cases, columns

    def scores(self, cases: EvaluationCases, rows: slice) -> Tensor:
        return self._scores(self._cases, rows)[:, self._columns].clone()


def _ranks(scores: Scores, cases: EvaluationCases, start: int, stop: int) -> Ranks:
    """Ranks of the targets among the items start … stop − 1; empty if there are no cases."""
    if not len(cases):
        return Ranks(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    seen = [history[(history >= start) & (history < stop)] - start for history in cases.histories]
    inside = EvaluationCases(cases.users, seen, cases.targets - start)
    return baseline_ranks(_Columns(scores, cases, slice(start, stop)), inside, None)["full"]
