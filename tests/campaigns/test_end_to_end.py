"""Train, export, serve, register items that training never saw, and see them recommended to those who chose them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import pytest

from service.client import Client, NotFound, RecommendOptions, RecommendQuery, RecommendResponse
from service.engine.engine import Engine
from tests.campaigns.conftest import Trained
from tests.support.service import make_settings, serving
from tests.support.tiny_training import train_tiny
from training.evaluate.splits import ColdCase

K = 10


@pytest.mark.timeout(900)
def test_held_out_items_registered_from_their_text_reach_the_users_who_chose_them(
    beauty: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 % of Beauty's test targets are unknown to training; their text alone has to bring them to the right users."""
    holdout = beauty.holdout
    held_out = [item.item_id for item in holdout.held_out]
    known = {item.item_id for item in holdout.train.items}
    assert not known & set(held_out)

    settings = make_settings(beauty.root, tmp_path, batch_max=256)
    with serving(settings) as raw, Client(raw.url) as client:
        with pytest.raises(NotFound):
            client.get_item(held_out[0])
        for item in holdout.held_out:
            added = client.add_item(**item.to_dict())
            assert (added.outcome, added.cold) == ("created", True)
        cases = [case for case in holdout.cases if known & set(case.history)]
        shown, with_a_place = recommended(client, cases), recommended(client, cases, cold_share=1 / K)
    recall, reserved = (
        float(np.mean([case.target in items for case, items in zip(cases, found, strict=True)]))
        for found in (shown, with_a_place)
    )
    # What a random cold item reaches with the same users, expected exactly: it is shown as often as cold items are.
    random_cold = float(np.mean([len(set(items) & set(held_out)) for items in shown])) / len(held_out)
    chance = K / (len(known) + len(held_out))
    with capsys.disabled():
        print(
            f"\ncold start: {len(held_out)} items, {len(cases)} users, R@10 {recall:.4f}, with one place of ten "
            f"reserved {reserved:.4f}, a random cold item {random_cold:.4f}, chance {chance:.4f}"
        )
    assert recall > 10 * chance
    assert recall > 5 * random_cold
    assert reserved > 10 / len(held_out)  # one of the held-out items by chance

    # The registry keeps text, not embeddings: another artifact tokenizes the same rows anew.
    train_tiny(tmp_path / "other")
    engine = Engine.start(make_settings(tmp_path / "other", tmp_path))
    try:
        served = engine.get(held_out[0])
        codes = engine.artifact.encode_new([holdout.held_out[0]]).codes[0]
        assert served.cold
        assert served.semantic_id == codes.tolist()
    finally:
        engine.close()


def recommended(client: Client, cases: Sequence[ColdCase], **options: Unpack[RecommendOptions]) -> list[list[str]]:
    """The ids recommended after the history of each case, in which held-out items count as well."""
    entries: list[RecommendQuery] = [{"history": case.history, "k": K, **options} for case in cases]
    found: list[list[str]] = []
    for start in range(0, len(entries), 128):
        for answer in client.recommend_batch(entries[start : start + 128]):
            assert isinstance(answer, RecommendResponse), answer
            found.append([item.item_id for item in answer.items])
    return found
