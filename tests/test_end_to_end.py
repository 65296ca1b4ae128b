"""Train, export, serve, register items that training never saw, and see them recommended to those who chose them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from service.engine import Engine
from tests.conftest import train_tiny
from tests.service_support import make_settings, serving
from training.config import RECIPES
from training.datasets import cold_holdout, load_dataset
from training.export import export
from training.trainer import Trainer

K = 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_held_out_items_registered_from_their_text_reach_the_users_who_chose_them(
    real_data: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 % of Beauty's test targets are unknown to training; their text alone has to bring them to the right users."""
    holdout = cold_holdout(load_dataset(real_data("beauty")), fraction=0.05, seed=0)
    recipe = RECIPES["default"].override({"epochs": 3})
    trainer = Trainer(holdout.train, recipe, seed=0, device=torch.device("cpu"))
    trainer.fit()
    root = tmp_path / "artifacts"
    export(trainer, root)
    held_out = [item.item_id for item in holdout.held_out]
    known = {item.item_id for item in holdout.train.items}
    assert not known & set(held_out)

    settings = make_settings(root, tmp_path, batch_max=256)
    with serving(settings) as client:
        before = client.get(f"/items/{held_out[0]}")
        assert before.status == 404
        for item in holdout.held_out:
            reply = client.post("/items", item.to_dict())
            assert reply.status == 201, reply.body
            assert reply.json()["cold"] is True
        entries = [
            {"history": [item for item in case.history if item in known], "k": K}
            for case in holdout.cases
            if known & set(case.history)
        ]
        targets = [case.target for case in holdout.cases if known & set(case.history)]
        answers = []
        for start in range(0, len(entries), 128):
            reply = client.post("/recommend/batch", {"requests": entries[start : start + 128]})
            assert reply.status == 200, reply.body
            answers += reply.json()["results"]
    shown = [[item["item_id"] for item in answer["result"]["items"]] for answer in answers]
    recall = float(np.mean([target in items for target, items in zip(targets, shown, strict=True)]))
    # What a random cold item reaches with the same users, expected exactly: it is shown as often as cold items are.
    random_cold = float(np.mean([len(set(items) & set(held_out)) for items in shown])) / len(held_out)
    chance = K / (len(known) + len(held_out))
    with capsys.disabled():
        print(
            f"\ncold start: {len(held_out)} items, {len(targets)} users, R@10 {recall:.4f}, "
            f"a random cold item {random_cold:.4f}, chance {chance:.4f}"
        )
    assert recall > 10 * chance
    assert recall > 5 * random_cold

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
