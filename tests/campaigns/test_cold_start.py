"""Cold start, watched: items that training never saw are recommended from their text alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.artifact import Artifact
from tests.support.tiny_training import checkerboard, train_tiny
from training.evaluate.splits import ColdCase, ColdHoldout, cold_holdout

K = 10


@pytest.fixture(scope="module")
def hold() -> ColdHoldout:
    return cold_holdout(checkerboard(n_users=400), fraction=0.1, seed=1)


@pytest.fixture(scope="module")
def artifact(hold: ColdHoldout, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root: Path = tmp_path_factory.mktemp("cold")
    return train_tiny(root, dataset=hold.train)


class Catalogue:
    """The trained catalogue with the held-out items registered behind it."""

    def __init__(self, artifact: Artifact, hold: ColdHoldout) -> None:
        self.artifact = artifact
        new = artifact.encode_new(hold.held_out)
        self.embeddings = np.concatenate([artifact.catalogue_embeddings(), new.embeddings])
        ids = [*artifact.items.item_ids, *(item.item_id for item in hold.held_out)]
        self.index_of = {item_id: index for index, item_id in enumerate(ids)}

    def top(self, case: ColdCase) -> list[int]:
        """The K items recommended after a history, in which held-out items count, too."""
        history = [self.index_of[item_id] for item_id in case.history]
        scores = (self.artifact.query([self.embeddings[history]]) @ self.embeddings.T)[0]
        scores[history] = -np.inf
        return [int(index) for index in np.argsort(-scores, kind="stable")[:K]]


def test_the_artifact_knows_nothing_of_the_held_out_items(artifact: Artifact, hold: ColdHoldout) -> None:
    assert len(hold.held_out) == 11
    assert len(artifact.items) == 109
    assert not {item.item_id for item in hold.held_out} & set(artifact.items.item_ids)


def test_held_out_items_are_recommended_to_those_who_bought_them(artifact: Artifact, hold: ColdHoldout) -> None:
    catalogue = Catalogue(artifact, hold)
    rng = np.random.default_rng(0)
    hits, chance, random_hits = [], [], []
    for case in hold.cases:
        top = catalogue.top(case)
        unseen = [index for item_id, index in catalogue.index_of.items() if item_id not in case.history]
        hits.append(catalogue.index_of[case.target] in top)
        chance.append(K / len(unseen))
        random_hits.append(np.mean([index in top for index in rng.choice(unseen, 20)]))
    warm = np.mean([catalogue.index_of[case.target] in catalogue.top(case) for case in hold.warm_cases])
    recall = np.mean(hits)
    print(
        f"cold R@{K} {recall:.3f} of {len(hits)} users (chance {np.mean(chance):.3f}, a random item "
        f"{np.mean(random_hits):.3f}); warm R@{K} {warm:.3f}"
    )
    assert len(hits) >= 25
    assert recall > 2.5 * np.mean(chance)
    assert recall > 2.5 * np.mean(random_hits)


def test_held_out_items_are_recommended_within_their_colour_only(artifact: Artifact, hold: ColdHoldout) -> None:
    """A user of another colour is not offered them: their text decides, not that they are new."""
    catalogue = Catalogue(artifact, hold)
    colour = [index % 4 for index in range(120)]
    colour_of = {f"item-{index}": colour[index] for index in range(120)}
    names = {index: item_id for item_id, index in catalogue.index_of.items()}
    held_out = {catalogue.index_of[item.item_id] for item in hold.held_out}
    same = other = 0
    for case in hold.cases + hold.warm_cases:
        for index in set(catalogue.top(case)) & held_out:
            matches = colour_of[names[index]] == colour_of[case.target]
            same, other = same + matches, other + (not matches)
    print(f"held-out items recommended within the user's colour {same} times, beyond it {other} times")
    assert same > 100
    assert other < 0.1 * same


def test_a_held_out_item_in_the_history_moves_the_recommendation(artifact: Artifact, hold: ColdHoldout) -> None:
    catalogue = Catalogue(artifact, hold)
    moved = 0
    for item in hold.held_out:
        colour = int(item.item_id.removeprefix("item-")) % 4
        case = ColdCase("u", (item.item_id,), item.item_id)
        names = {index: name for name, index in catalogue.index_of.items()}
        top = [int(names[index].removeprefix("item-")) % 4 for index in catalogue.top(case)]
        moved += top.count(colour) > K / 2
    assert moved >= 9
