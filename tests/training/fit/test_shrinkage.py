"""ID embeddings shrunk to the cold vector by how often training met the item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.artifact import Artifact
from model.config import TokenizerConfig
from model.tokenizer import HybridTokenizer
from tests.support.tiny_training import TINY, checkerboard, train_tiny
from training.fit.progress import Progress
from training.fit.shrinkage import make_permanent, shrink
from training.fit.trainer import Trainer


def tokenizer() -> HybridTokenizer:
    torch.manual_seed(0)
    config = TokenizerConfig(text_dim=6, hidden=(8,), semantic_dim=4, id_dim=3, codebook_size=4, cold_policy="learned")
    made = HybridTokenizer(config, 4)
    torch.nn.init.normal_(made.cold_vector)
    return made


def test_shares_by_hand_and_folded() -> None:
    made = tokenizer()
    own, cold = made.id_embeddings.weight.detach().clone(), made.cold_vector.detach()
    shrink(made, torch.tensor([0, 1, 4, 12]), 4.0)
    expected = torch.stack([cold, 0.2 * own[1] + 0.8 * cold, 0.5 * own[2] + 0.5 * cold, 0.75 * own[3] + 0.25 * cold])
    torch.testing.assert_close(made.id_embeddings.weight, expected)
    make_permanent(made)
    torch.testing.assert_close(made.id_embeddings.weight.detach(), expected)
    assert "id_embeddings.weight" in made.state_dict()
    assert not [name for name in made.state_dict() if "parametrizations" in name]
    make_permanent(made)  # and once more changes nothing
    torch.testing.assert_close(made.id_embeddings.weight.detach(), expected)


def test_gradients_reach_both_by_their_shares() -> None:
    made = tokenizer()
    shrink(made, torch.tensor([0, 1, 4, 12]), 4.0)
    made.id_embeddings.weight[3].sum().backward()  # type: ignore[no-untyped-call]
    (raw,) = [value for name, value in made.named_parameters() if name.endswith("original")]
    assert raw.grad is not None
    assert made.cold_vector.grad is not None
    torch.testing.assert_close(raw.grad[3], torch.full((3,), 0.75))
    torch.testing.assert_close(made.cold_vector.grad, torch.full((3,), 0.25))


def test_what_is_exported_is_what_was_trained(tmp_path: Path) -> None:
    recipe = TINY.override({"id_shrinkage": 5.0, "epochs": 2})
    trainer = Trainer(checkerboard(), recipe, seed=0, device=torch.device("cpu"))
    trainer.fit()
    artifact: Artifact = train_tiny(tmp_path, recipe=recipe)
    np.testing.assert_allclose(artifact.catalogue_embeddings(), trainer.model.catalogue().numpy(), rtol=1e-5, atol=1e-6)
    plain = train_tiny(tmp_path / "plain", recipe=TINY.override({"epochs": 2}))
    spread = [np.std(each.tokenizer.id_embeddings.weight.numpy(), axis=0).mean() for each in (artifact, plain)]
    assert spread[0] < spread[1]  # drawn to one point


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    recipe = TINY.override({"id_shrinkage": 5.0, "epochs": 3})

    def trained(checkpoint: Path | None, **changes: Any) -> Trainer:
        trainer = Trainer(checkerboard(), recipe.override(changes), seed=0, device=torch.device("cpu"))
        trainer.fit(checkpoint)
        return trainer

    whole = trained(None)
    path = tmp_path / "run.safetensors"
    halted = Trainer(checkerboard(), recipe, seed=0, device=torch.device("cpu"))

    class Stop(Exception):
        pass

    def stop(report: Any) -> None:
        if report.epoch == 1:
            raise Stop

    with pytest.raises(Stop):
        halted.fit(path, Progress(epoch=stop))
    again = trained(path)
    assert torch.equal(again.model.catalogue(), whole.model.catalogue())


def test_without_a_cold_vector_they_are_drawn_to_zero() -> None:
    config = TokenizerConfig(text_dim=6, hidden=(8,), semantic_dim=4, id_dim=3, codebook_size=4, cold_policy="zero")
    made = HybridTokenizer(config, 2)
    own = made.id_embeddings.weight.detach().clone()
    shrink(made, torch.tensor([0, 4]), 4.0)
    torch.testing.assert_close(made.id_embeddings.weight.detach(), torch.stack([0 * own[0], own[1] / 2]))


@pytest.mark.parametrize("changes", [{"tokens": "semantic"}, {"cold_policy": "predicted"}, {"cold_policy": "mean"}])
def test_every_kind_of_token_and_policy_trains_with_it(changes: dict[str, Any]) -> None:
    recipe = TINY.override({"id_shrinkage": 5.0, "epochs": 1} | changes)
    Trainer(checkerboard(), recipe, seed=0, device=torch.device("cpu")).fit()


def test_a_negative_strength_is_refused() -> None:
    with pytest.raises(ValidationError, match="id_shrinkage"):
        TINY.override({"id_shrinkage": -1.0})
