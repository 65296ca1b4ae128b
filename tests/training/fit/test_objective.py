"""The joint objective against brute force: what is drawn, what is masked, where gradients go."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.packing import Run
from model.recommender import SequenceRecommender
from model.tokenizer import COLD, HybridTokenizer
from tests.support.tiny_training import TINY
from training.config import Recipe
from training.fit.batches import Batch
from training.fit.objective import JointModel, Losses

N_ITEMS = 12
UNTRAINED = (3, 8)


def recipe(**changes: Any) -> Recipe:
    small = {
        "semantic_dim": 4,
        "id_dim": 4,
        "hidden": (8,),
        "codebook_size": 4,
        "heads": 2,
        "dropout": 0.0,
        "cold_probability": 0.0,
        "reconstruction_share": 1.0,
    }
    return TINY.override(small | changes)


def joint(settings: Recipe) -> JointModel:
    torch.manual_seed(0)
    text = torch.randn(N_ITEMS, 6)
    tokenizer = HybridTokenizer(settings.tokenizer_config(6), N_ITEMS)
    recommender = SequenceRecommender(settings.recommender_config(tokenizer.dim))
    for module in (recommender, *([tokenizer.id_embeddings] if tokenizer.config.has_id else [])):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    trained = torch.ones(N_ITEMS, dtype=torch.bool)
    trained[list(UNTRAINED)] = False
    model = JointModel(tokenizer, recommender, text, trained)
    model.refresh_codes()
    return model


def batch() -> Batch:
    inputs = torch.tensor([9, 5, 1, 1, 2, 4])
    targets = torch.tensor([11, 1, 7, 2, 4, 5])
    return Batch(inputs, targets, (Run(1, 1), Run(1, 2), Run(1, 3)))


# (history, target) of every position of the batch.
POSITIONS = [([9], 11), ([5], 1), ([5, 1], 7), ([1], 2), ([1, 2], 4), ([1, 2, 4], 5)]


def scores(model: JointModel, history: list[int]) -> Tensor:
    """Scores of all items [n_items] for one history, from the items' codes."""
    table = model.catalogue()
    with torch.no_grad():
        state: Tensor = model.recommender(table[history], (Run(1, len(history)),))[-1]
        return (table @ state).double()


def run(model: JointModel, settings: Recipe) -> Losses:
    losses: Losses = model(batch(), settings)
    return losses


def brute_softmax(model: JointModel) -> float:
    kept = [item for item in range(N_ITEMS) if item not in UNTRAINED]
    values = []
    for history, target in POSITIONS:
        row = scores(model, history)
        values.append(float(torch.logsumexp(row[kept], 0) - row[target]))
    return sum(values) / len(values)


@pytest.mark.parametrize("tokens", ["hybrid", "id", "semantic"])
def test_the_full_softmax_is_over_the_trained_items(tokens: str) -> None:
    settings = recipe(loss="softmax", tokens=tokens)
    model = joint(settings).eval()
    assert run(model, settings).recommendation.item() == pytest.approx(brute_softmax(model), rel=1e-4)


def test_weights_count_each_position() -> None:
    settings = recipe(loss="softmax")
    model = joint(settings).eval()
    weights = torch.tensor([4.0, 0.5, 0.0, 0.0, 2.0, 1.0])
    losses: Losses = model(batch()._replace(weights=weights), settings)
    kept = model.candidates
    values = []
    for history, target in POSITIONS:
        row = scores(model, history)
        values.append(torch.logsumexp(row[kept], 0) - row[target])
    counts = weights.double()
    expected = (torch.stack(values) * counts).sum() / counts.sum()
    assert losses.recommendation.item() == pytest.approx(expected.item(), rel=1e-4)
    nothing: Losses = model(batch()._replace(weights=torch.zeros(6)), settings)
    assert nothing.recommendation.item() == 0.0


def drawn(model: JointModel, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The negatives that the model draws from here on."""
    out: list[Tensor] = []
    draw = model._draw_negatives

    def spy(targets: Tensor, settings: Recipe) -> Tensor:
        out.append(draw(targets, settings))
        return out[-1]

    monkeypatch.setattr(model, "_draw_negatives", spy)
    return out


def test_bce_against_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe(loss="bce", negatives=3)
    model = joint(settings).eval()
    negatives = drawn(model, monkeypatch)
    found = run(model, settings).recommendation.item()
    assert negatives[0].shape == (6, 3)
    positive, negative = [], []
    for (history, target), row in zip(POSITIONS, negatives[0].tolist(), strict=True):
        score = scores(model, history)
        positive.append(-torch.log(torch.sigmoid(score[target])))
        negative += [-torch.log(1 - torch.sigmoid(score[item])) for item in row]
    expected = torch.stack(positive).mean() + torch.stack(negative).mean()
    assert found == pytest.approx(expected.item(), rel=1e-4)


def test_sampled_softmax_masks_accidental_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe(loss="sampled_softmax", negatives=64)
    model = joint(settings).eval()
    negatives = drawn(model, monkeypatch)
    found = run(model, settings).recommendation.item()
    row = negatives[0].tolist()
    assert len(row) == 64
    assert {target for _, target in POSITIONS} <= set(row)  # every target is drawn as a negative too
    values = []
    for history, target in POSITIONS:
        score = scores(model, history)
        logits = [score[target], *(score[item] for item in row if item != target)]
        values.append(torch.logsumexp(torch.stack(logits), 0) - score[target])
    assert found == pytest.approx(torch.stack(values).mean().item(), rel=1e-4)


@pytest.mark.parametrize("loss", ["bce", "sampled_softmax"])
def test_negatives_are_trained_items_each_as_likely(loss: str) -> None:
    settings = recipe(loss=loss, negatives=4)
    model = joint(settings)
    targets = torch.full((2500,), 4) if loss == "bce" else torch.tensor([4])
    negatives = model._draw_negatives(targets, settings if loss == "bce" else recipe(loss=loss, negatives=10_000))
    counts = torch.bincount(negatives.flatten(), minlength=N_ITEMS)
    # bce never draws the target; sampled softmax shares one draw among all positions and masks it there.
    absent = {*UNTRAINED, 4} if loss == "bce" else {*UNTRAINED}
    assert {item for item in range(N_ITEMS) if counts[item] == 0} == absent
    expected = 10_000 / (N_ITEMS - len(absent))
    assert bool((counts[counts > 0] - expected).abs().max() < 6 * expected**0.5)


def test_bce_never_draws_the_target_whatever_it_is() -> None:
    settings = recipe(loss="bce", negatives=50)
    model = joint(settings)
    targets = model.candidates.repeat(20)
    assert not bool((model._draw_negatives(targets, settings) == targets[:, None]).any())


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce"])
def test_untrained_items_get_no_gradient(loss: str) -> None:
    settings = recipe(loss=loss, negatives=40)
    model = joint(settings)
    run(model, settings).total.backward()  # type: ignore[no-untyped-call]
    gradient = model.tokenizer.id_embeddings.weight.grad
    assert gradient is not None
    moved = gradient.abs().sum(1) > 0
    assert [item for item in range(N_ITEMS) if not moved[item]] == list(UNTRAINED)


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce"])
def test_the_recommendation_loss_alone_reaches_everything_but_the_decoder(loss: str) -> None:
    settings = recipe(loss=loss, negatives=8)
    model = joint(settings)
    run(model, settings).recommendation.backward()  # type: ignore[no-untyped-call]
    reached = {
        name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    for name, _ in model.named_parameters():
        unused = name.startswith("tokenizer.decoder") or name == "tokenizer.cold_vector"
        assert (name in reached) is not unused, name


def test_the_cold_vector_learns_when_items_are_masked() -> None:
    settings = recipe(loss="softmax", cold_probability=0.5)
    model = joint(settings)
    torch.manual_seed(0)
    run(model, settings).recommendation.backward()  # type: ignore[no-untyped-call]
    assert model.tokenizer.cold_vector.grad is not None
    assert bool(model.tokenizer.cold_vector.grad.any())


@pytest.mark.parametrize(
    ("changes", "training", "rate"),
    [
        ({"cold_probability": 0.3}, True, 0.3),
        ({"cold_probability": 0.0}, True, 0.0),
        ({"cold_probability": 0.3}, False, 0.0),
        ({"cold_probability": 0.3, "tokens": "id"}, True, 0.0),
    ],
)
def test_the_share_of_masked_items(
    changes: dict[str, Any], training: bool, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = recipe(loss="softmax", **changes)
    model = joint(settings).train(training)
    seen: list[Tensor] = []
    embed = model.tokenizer.embed_items

    def spy(semantic: Tensor | None, index: Tensor) -> Tensor:
        seen.append(index)
        return embed(semantic, index)

    monkeypatch.setattr(model.tokenizer, "embed_items", spy)
    for _ in range(300):
        run(model, settings)
    index = torch.stack(seen)
    assert index.shape == (300, N_ITEMS - len(UNTRAINED))
    assert (index == COLD).double().mean().item() == pytest.approx(rate, abs=0.04 if rate else 0)
    warm = index != COLD
    assert torch.equal(index[warm], model.candidates.expand(300, -1)[warm])  # the others keep their own


def test_the_total_is_the_weighted_sum_and_the_weights_come_from_the_recipe() -> None:
    settings = recipe(commitment_weight=2.0, codebook_weight=3.0, reconstruction_weight=5.0)
    losses = run(joint(settings).eval(), settings)
    parts = (losses.recommendation, losses.commitment, losses.codebook, losses.reconstruction)
    assert all(part.item() > 0 for part in parts)
    expected = sum(weight * part.item() for weight, part in zip((1, 2, 3, 5), parts, strict=True))
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce"])
def test_tokenizer_losses_are_means_over_the_distinct_items(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe(loss=loss, negatives=2)
    model = joint(settings).eval()
    negatives = drawn(model, monkeypatch)
    losses = run(model, settings)
    items = model.candidates
    if loss != "softmax":  # which needs all of them
        items = torch.tensor(sorted({1, 2, 4, 5, 7, 9, 11, *negatives[0].flatten().tolist()}))
    quantized = model.tokenizer.quantize(model.text[items])
    assert losses.commitment.item() == pytest.approx(quantized.commitment.item(), rel=1e-5)
    error = (model.tokenizer.decode(quantized.semantic) - model.text[items]).square().sum(1).mean()
    assert losses.reconstruction.item() == pytest.approx(error.item(), rel=1e-5)
    assert run(model, recipe(loss=loss, reconstruction=False)).reconstruction.item() == 0.0


def test_a_step_brings_the_codes_of_its_items_up_to_date() -> None:
    settings = recipe()
    model = joint(settings)
    fresh = model.codes.clone()
    model.codes.fill_(0)
    run(model, settings)
    touched = [1, 2, 4, 5, 7, 9, 11]
    assert torch.equal(model.codes[touched], fresh[touched])
    model.refresh_codes()
    assert torch.equal(model.codes, fresh)


def test_the_catalogue_embeds_untrained_items_as_cold() -> None:
    settings = recipe(cold_policy="learned")
    model = joint(settings)
    torch.nn.init.normal_(model.tokenizer.cold_vector)
    table = model.catalogue()
    assert torch.equal(table[list(UNTRAINED), 4:], model.tokenizer.cold_vector.detach().expand(2, -1))
    assert torch.equal(table[4, 4:], model.tokenizer.id_embeddings.weight[4].detach())
    torch.testing.assert_close(table[:, :4], model.tokenizer.quantize(model.text).semantic.detach())


def test_the_catalogue_lets_untrained_items_borrow_from_trained_ones() -> None:
    model = joint(recipe(cold_policy="neighbour"))
    table = model.catalogue()
    trained = [item for item in range(N_ITEMS) if item not in UNTRAINED]
    for item in UNTRAINED:
        cosines = torch.nn.functional.cosine_similarity(table[trained, :4], table[item, :4].unsqueeze(0))
        # Items with one semantic ID are equally near, but for rounding: any of them may lend.
        nearest = [trained[at] for at in (cosines > cosines.max() - 1e-6).nonzero().flatten().tolist()]
        lent = [model.tokenizer.id_embeddings.weight[each].detach() for each in nearest]
        assert any(torch.equal(table[item, 4:], each) for each in lent)
        assert len(nearest) < len(trained)
