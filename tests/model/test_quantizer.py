"""The residual quantizer against cases worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import Metric
from model.quantizer import Codebook, ResidualQuantizer


def book(metric: Metric, codewords: list[list[float]]) -> Codebook:
    out = Codebook(len(codewords), len(codewords[0]), metric)
    out.codewords.data = torch.tensor(codewords)
    return out


def quantizer(*levels: tuple[Metric, list[list[float]]]) -> ResidualQuantizer:
    out = ResidualQuantizer(tuple(metric for metric, _ in levels), len(levels[0][1]), len(levels[0][1][0]))
    for index, (_, codewords) in enumerate(levels):
        out.level(index).codewords.data = torch.tensor(codewords)
    return out


# z = (1, 0.9). Level 1 by cosine: (10, 0) at .743 against (0, 1) at .669, so code 0, though (0, 1) is nearer by
# distance. Residual (−9, 0.9). Level 2 by Euclid: (−9, 1) is at distance 0.1, so code 0, though (−1, 0.1) has exactly
# the residual's direction. ẑ = (1, 1).
FIRST = [[10.0, 0.0], [0.0, 1.0]]
SECOND = [[-9.0, 1.0], [-1.0, 0.1]]


def by_hand() -> ResidualQuantizer:
    return quantizer(("cosine", FIRST), ("euclidean", SECOND))


def grad(tensor: Tensor) -> Any:
    return [] if tensor.grad is None else tensor.grad.tolist()


def near(value: Tensor, expected: Any) -> None:
    torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-5, atol=1e-4)


def test_the_metric_decides_the_codeword() -> None:
    z = torch.tensor([[1.0, 0.9]])
    assert book("cosine", FIRST).nearest(z).tolist() == [0]
    assert book("euclidean", FIRST).nearest(z).tolist() == [1]
    residual = torch.tensor([[-9.0, 0.9]])
    assert book("cosine", SECOND).nearest(residual).tolist() == [1]
    assert book("euclidean", SECOND).nearest(residual).tolist() == [0]


def test_cosine_scores_are_cosines_and_euclidean_scores_order_by_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    points, words = torch.randn(50, 5, generator=generator), torch.randn(9, 5, generator=generator) * 3
    cosine = book("cosine", words.tolist())
    expected = (points @ words.T) / (points.norm(dim=1)[:, None] * words.norm(dim=1))
    torch.testing.assert_close(cosine.scores(points), expected)
    euclidean = book("euclidean", words.tolist())
    assert torch.equal(euclidean.nearest(points), torch.cdist(points, words).argmin(dim=1))
    assert not torch.equal(cosine.nearest(points), euclidean.nearest(points))


def test_codes_residuals_and_losses_by_hand() -> None:
    out = by_hand()(torch.tensor([[1.0, 0.9]]))
    assert out.codes.tolist() == [[0, 0]]
    near(out.semantic, [[1.0, 1.0]])
    near(out.error, [0.01])
    # ‖r_1 − c_1‖² + ‖r_2 − c_2‖² = 81 + 0.81 + 0.01, for the commitment and the codebook loss alike.
    near(out.commitment, 81.82)
    near(out.codebook, 81.82)


def test_losses_are_means_over_items_and_sums_over_levels() -> None:
    # (0, 2) takes (0, 1) at level 1, leaves (0, 1), which is nearer to (−1, 0.1) at level 2: 1 and 1 + 0.81.
    out = by_hand()(torch.tensor([[1.0, 0.9], [0.0, 2.0]]))
    assert out.codes.tolist() == [[0, 0], [1, 1]]
    near(out.semantic, [[1.0, 1.0], [-1.0, 1.1]])
    near(out.error, [0.01, 1.81])
    near(out.commitment, (81.82 + 1.0 + 1.81) / 2)
    near(out.codebook, (81.82 + 1.0 + 1.81) / 2)


def test_the_straight_through_gradient_reaches_latent_and_chosen_codewords() -> None:
    module = by_hand()
    latent = torch.tensor([[1.0, 0.9], [0.0, 2.0]], requires_grad=True)
    weights = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    (module(latent).semantic * weights).sum().backward()
    assert grad(latent) == weights.tolist()
    # The first item chose row 0 of both levels, the second row 1: each row gets the gradient of those who chose it.
    assert grad(module.level(0).codewords) == weights.tolist()
    assert grad(module.level(1).codewords) == weights.tolist()


def test_codewords_that_nobody_chose_get_no_gradient() -> None:
    module = by_hand()
    module(torch.tensor([[1.0, 0.9]])).semantic.sum().backward()
    for level in range(2):
        assert grad(module.level(level).codewords) == [[1.0, 1.0], [0.0, 0.0]]


def test_a_level_s_codebook_loss_reaches_its_own_codewords_only() -> None:
    module = by_hand()
    latent = torch.tensor([[1.0, 0.9]], requires_grad=True)
    module(latent).codebook.backward()
    assert latent.grad is None
    # 2 (c − r): if level 2's loss reached level 1 through the residual, (18, −1.8) would be (18, −1.6).
    near(torch.tensor(grad(module.level(0).codewords)), [[18.0, -1.8], [0.0, 0.0]])
    near(torch.tensor(grad(module.level(1).codewords)), [[0.0, 0.2], [0.0, 0.0]])


def test_the_commitment_loss_reaches_the_latent_only() -> None:
    module = by_hand()
    latent = torch.tensor([[1.0, 0.9]], requires_grad=True)
    module(latent).commitment.backward()
    # 2 (r_1 − c_1) + 2 (r_2 − c_2) = (−18, 1.8) + (0, −0.2)
    assert latent.grad is not None
    near(latent.grad, [[-18.0, 1.6]])
    assert all(module.level(level).codewords.grad is None for level in range(2))


def test_the_error_carries_no_gradient() -> None:
    latent = torch.tensor([[1.0, 0.9]], requires_grad=True)
    assert not by_hand()(latent).error.requires_grad


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_of_equally_near_codewords_one_is_always_taken(metric: Metric) -> None:
    words = book(metric, [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    alone = words.nearest(torch.tensor([[2.0, 0.5]]))
    many = words.nearest(torch.tensor([[2.0, 0.5]]).repeat(65, 1))
    assert alone.item() in (1, 2, 3)
    assert set(many.tolist()) == {alone.item()}


def test_a_zero_vector_is_quantized_without_nan() -> None:
    module = by_hand()
    latent = torch.zeros(1, 2, requires_grad=True)
    out = module(latent)
    # No direction: every cosine is 0 and the first codeword is taken. Residual (−10, 0), nearest to (−9, 1).
    assert out.codes.tolist() == [[0, 0]]
    near(out.error, [2.0])
    (out.semantic.sum() + out.commitment + out.codebook).backward()
    assert torch.isfinite(latent.grad if latent.grad is not None else torch.tensor(float("nan"))).all()


def test_a_zero_codeword_is_never_nearest_by_cosine_to_a_direction_that_another_shares() -> None:
    assert book("cosine", [[0.0, 0.0], [1e-3, 1e-3]]).nearest(torch.tensor([[1.0, 0.0]])).tolist() == [1]


def test_lookup_gives_the_semantic_embedding_of_the_codes() -> None:
    module = ResidualQuantizer(("cosine", "cosine", "euclidean"), 7, 4)
    latent = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    out = module(latent)
    torch.testing.assert_close(module.lookup(out.codes), out.semantic)
    nested = module.lookup(out.codes.view(4, 5, 3))
    torch.testing.assert_close(nested, out.semantic.view(4, 5, 4))
    nested.sum().backward()  # type: ignore[no-untyped-call]
    counts = torch.bincount(out.codes[:, 2], minlength=7).float()
    gradient = module.level(2).codewords.grad
    assert gradient is not None
    torch.testing.assert_close(gradient[:, 0], counts)


def test_encode_is_the_forward_pass_without_gradients() -> None:
    module = by_hand()
    latent = torch.tensor([[1.0, 0.9], [0.0, 2.0]], requires_grad=True)
    codes, error = module.encode(latent)
    assert codes.tolist() == [[0, 0], [1, 1]]
    assert codes.dtype == torch.int64
    near(error, [0.01, 1.81])
    assert not error.requires_grad


def test_a_text_has_the_same_codes_whatever_it_is_tokenized_with() -> None:
    """A latent that is a codeword leaves no residual, or what rounding leaves of it, which points nowhere."""
    generator = torch.Generator().manual_seed(4)
    levels = torch.randn(3, 64, 8, generator=generator) * torch.tensor([1.0, 0.3, 0.1])[:, None, None]
    made = quantizer(("cosine", levels[0].tolist()), ("cosine", levels[1].tolist()), ("euclidean", levels[2].tolist()))
    latent = levels[0]
    together, _ = made.encode(latent)
    for off in (3e-7, -3e-7):
        rounded = latent * (1 + off * torch.randn(latent.shape, generator=generator))
        assert torch.equal(made.encode(rounded)[0], together)
    assert (together[:, 0] == torch.arange(64)).all()
    # What is more than rounding is quantized as ever.
    further = latent + 1e-3 * torch.randn(latent.shape, generator=generator)
    assert torch.equal(made.encode(further)[0], made(further).codes)
