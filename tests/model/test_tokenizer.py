"""The hybrid tokenizer: how the two halves are joined, and what stands in for the ID half of a cold item."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from model.config import ColdPolicy, TokenizerConfig
from model.tokenizer import COLD, HybridTokenizer

N_ITEMS = 5
POLICIES: tuple[ColdPolicy, ...] = get_args(ColdPolicy)


def tokenizer(**changes: Any) -> HybridTokenizer:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "text_dim": 6,
        "hidden": (8,),
        "semantic_dim": 4,
        "id_dim": 3,
        "codebook_size": 4,
        "metrics": ("cosine", "euclidean"),
    }
    out = HybridTokenizer(TokenizerConfig(**settings | changes), N_ITEMS)
    if hasattr(out, "cold_vector"):
        torch.nn.init.normal_(out.cold_vector)
    return out


def texts(count: int = 7) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(3))


def expected_cold(module: HybridTokenizer, semantic: Tensor) -> Tensor:
    """[n, D1] by the definition of each policy."""
    policy = module.config.cold_policy
    if policy in ("learned", "neighbour"):  # without `borrow`, which goes before
        return module.cold_vector.expand(len(semantic), -1)
    if policy == "mean":
        return torch.stack(list(module.id_embeddings.weight)).sum(0).div(N_ITEMS).expand(len(semantic), -1)
    if policy == "predicted":
        return semantic @ module.cold_predictor.weight.T + module.cold_predictor.bias
    return torch.zeros(len(semantic), 3)


def test_hybrid_is_the_semantic_half_then_the_id_half() -> None:
    module = tokenizer()
    semantic = torch.randn(2, 3, 4)
    index = torch.tensor([[0, 4, 2], [2, 2, 1]])
    out = module.embed_items(semantic, index)
    assert out.shape == (2, 3, module.dim) == (2, 3, 7)
    assert torch.equal(out[..., :4], semantic)
    for place in ((0, 0), (0, 1), (1, 2)):
        assert torch.equal(out[place][4:], module.id_embeddings.weight[index[place]])


def test_the_id_type_has_no_semantic_half() -> None:
    module = tokenizer(tokens="id")
    assert not hasattr(module, "encoder")
    assert torch.equal(module.embed_items(None, torch.tensor([3, 1])), module.id_embeddings.weight[[3, 1]])
    assert torch.equal(module.embed_items(torch.ones(2, 4), torch.tensor([3, 1])), module.id_embeddings.weight[[3, 1]])


def test_the_semantic_type_has_no_id_half() -> None:
    module = tokenizer(tokens="semantic")
    assert not hasattr(module, "id_embeddings")
    semantic = torch.randn(2, 4)
    assert torch.equal(module.embed_items(semantic, torch.tensor([COLD, 1])), semantic)


@pytest.mark.parametrize("tokens", ["hybrid", "semantic"])
def test_a_missing_semantic_half_is_an_error(tokens: str) -> None:
    with pytest.raises(ValueError, match=f"semantic: needed for the token type '{tokens}'"):
        tokenizer(tokens=tokens).embed_items(None, torch.tensor([0]))


@pytest.mark.parametrize("policy", POLICIES)
def test_cold_rows_follow_the_policy_and_warm_rows_do_not(policy: ColdPolicy) -> None:
    module = tokenizer(cold_policy=policy)
    semantic = torch.randn(4, 4)
    index = torch.tensor([COLD, 0, COLD, 4])
    out = module.embed_items(semantic, index)
    assert torch.equal(out[:, :4], semantic)
    assert torch.equal(out[[1, 3], 4:], module.id_embeddings.weight[[0, 4]])
    torch.testing.assert_close(out[[0, 2], 4:], expected_cold(module, semantic[[0, 2]]))
    nested = module.embed_items(semantic.view(2, 2, 4), index.view(2, 2))
    assert torch.equal(nested.view(4, 7), out)
    alone = module.embed_items(semantic[[0, 2]], torch.full((2,), COLD))
    torch.testing.assert_close(alone, out[[0, 2]])


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_works_for_the_id_type(policy: ColdPolicy) -> None:
    module = tokenizer(tokens="id", cold_policy=policy)
    out = module.embed_items(None, torch.tensor([COLD, 2]))
    # Without a semantic half there is nothing to predict from: zero.
    expected = {
        "learned": getattr(module, "cold_vector", None),
        "neighbour": getattr(module, "cold_vector", None),  # nor a neighbour to find
        "mean": module.id_embeddings.weight.mean(0),
        "zero": torch.zeros(3),
        "predicted": torch.zeros(3),
    }[policy]
    assert expected is not None
    torch.testing.assert_close(out[0], expected)
    assert torch.equal(out[1], module.id_embeddings.weight[2])


def test_a_cold_row_sends_its_gradient_to_the_cold_vector_and_to_no_item() -> None:
    module = tokenizer()
    module.embed_items(torch.zeros(3, 4), torch.tensor([COLD, 2, COLD])).sum().backward()  # type: ignore[no-untyped-call]
    assert module.cold_vector.grad is not None
    assert module.id_embeddings.weight.grad is not None
    assert module.cold_vector.grad.tolist() == [2.0, 2.0, 2.0]
    assert module.id_embeddings.weight.grad.sum(1).tolist() == [0.0, 0.0, 3.0, 0.0, 0.0]


def test_the_predicted_cold_half_is_learned_through_the_semantic_embedding() -> None:
    module = tokenizer(cold_policy="predicted")
    semantic = torch.randn(1, 4, requires_grad=True)
    module.embed_items(semantic, torch.tensor([COLD]))[:, 4:].sum().backward()  # type: ignore[no-untyped-call]
    assert semantic.grad is not None
    assert semantic.grad.abs().sum() > 0
    assert module.cold_predictor.weight.grad is not None


def test_the_gradient_of_the_hybrid_embedding_reaches_encoder_codebooks_and_id_embeddings() -> None:
    module = tokenizer()
    out = module.embed_items(module.quantize(texts(5)).semantic, torch.arange(5))
    (out * torch.randn_like(out)).sum().backward()  # type: ignore[no-untyped-call]
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    for name in (
        "encoder.0.weight",
        "encoder.2.weight",
        "quantizer.codebooks.0.codewords",
        "quantizer.codebooks.1.codewords",
        "id_embeddings.weight",
    ):
        gradient = gradients[name]
        assert gradient is not None, name
        assert gradient.abs().sum() > 0, name
    assert gradients["decoder.0.weight"] is None


def test_tokenize_gives_codes_and_errors_without_gradients() -> None:
    module = tokenizer()
    tokens = module.tokenize(texts())
    quantized = module.quantize(texts())
    assert torch.equal(tokens.codes, quantized.codes)
    assert tokens.codes.shape == (7, 2)
    assert tokens.codes.dtype == torch.int64
    assert not tokens.error.requires_grad
    semantic = module.semantic_embeddings(tokens.codes)
    torch.testing.assert_close(semantic, quantized.semantic)
    torch.testing.assert_close(tokens.error, (module.encode(texts()) - semantic).square().sum(1).detach())


def test_tokenizing_depends_on_each_text_alone() -> None:
    module = tokenizer()
    together = module.tokenize(texts()).codes
    alone = torch.cat([module.tokenize(text.unsqueeze(0)).codes for text in texts()])
    assert torch.equal(together, alone)
    assert len(set(map(tuple, together.tolist()))) > 1


def test_the_encoder_has_relu_between_its_layers_and_the_decoder_mirrors_it() -> None:
    module = tokenizer(hidden=(8, 5))
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert [shapes[f"encoder.{place}.weight"] for place in (0, 2, 4)] == [(8, 6), (5, 8), (4, 5)]
    assert [shapes[f"decoder.{place}.weight"] for place in (0, 2, 4)] == [(5, 4), (8, 5), (6, 8)]
    state = module.state_dict()
    hidden = torch.relu(texts() @ state["encoder.0.weight"].T)
    hidden = torch.relu(hidden @ state["encoder.2.weight"].T)
    expected = hidden @ state["encoder.4.weight"].T  # biases begin at zero
    torch.testing.assert_close(module.encode(texts()).detach(), expected)
    assert module.decode(module.encode(texts())).shape == (7, 6)


def test_no_hidden_layer_is_a_linear_map() -> None:
    module = tokenizer(hidden=())
    weight = module.state_dict()["encoder.0.weight"]
    torch.testing.assert_close(module.encode(texts()).detach(), texts() @ weight.T)


def test_a_cold_item_borrows_the_id_embedding_of_the_nearest_trained_item() -> None:
    module = tokenizer(cold_policy="neighbour")
    semantic = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0], [1.0, 1.0, 0, 0]])
    trained = module.trained_items(semantic, torch.tensor([True, True, False, True, False]))
    # By direction, not by length or distance; the untrained items 2 and 4 are never borrowed from.
    new = torch.tensor([[0.1, 9.0, 0, 0], [0.2, 0, 5.0, 0.1], [0, 0, 0, 3.0]])
    index = module.borrow(new, torch.tensor([COLD, COLD, 2]), trained)
    assert index.tolist() == [1, 0, 2]
    out = module.embed_items(new, index)
    assert torch.equal(out[:, :4], new)
    assert torch.equal(out[:, 4:], module.id_embeddings.weight[[1, 0, 2]])


def test_without_a_trained_item_or_under_another_policy_nothing_is_borrowed() -> None:
    module = tokenizer(cold_policy="neighbour")
    semantic, index = torch.randn(5, 4), torch.full((5,), COLD)
    nothing = module.trained_items(semantic, torch.zeros(5, dtype=torch.bool))
    assert torch.equal(module.borrow(semantic, index, nothing), index)
    torch.testing.assert_close(module.embed_items(semantic, index)[:, 4:], module.cold_vector.expand(5, 3))
    for policy in set(POLICIES) - {"neighbour"}:
        other = tokenizer(cold_policy=policy)
        everything = other.trained_items(semantic, torch.ones(5, dtype=torch.bool))
        assert torch.equal(other.borrow(semantic, index, everything), index)
