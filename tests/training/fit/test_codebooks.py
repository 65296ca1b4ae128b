"""Care of the codebooks: k-means finds the clusters, dead codewords come to life, odd catalogues do no harm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import Metric, TokenizerConfig
from model.quantizer import ResidualQuantizer
from model.tokenizer import HybridTokenizer
from training.fit.codebooks import initialise_codebooks, replace_dead_codewords, scale_latents


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def usage(module: ResidualQuantizer, latents: Tensor) -> list[int]:
    """Codewords in use, by level."""
    codes = module.encode(latents)[0]
    return [len(set(codes[:, level].tolist())) for level in range(module.levels)]


def latents(count: int = 600, dim: int = 8) -> Tensor:
    """Latents in a cone, as ReLU networks give them: far from spherical."""
    return torch.randn(count, dim, generator=generator()).abs() + torch.linspace(0, 2, dim)


def test_latents_are_scaled_to_mean_length_one_and_the_encoder_with_them() -> None:
    torch.manual_seed(0)
    tokenizer = HybridTokenizer(TokenizerConfig(text_dim=6, hidden=(8,), semantic_dim=4, codebook_size=4), 3)
    torch.nn.init.normal_(tokenizer.encoder[-1].bias)  # type: ignore[arg-type]
    text = 30 * torch.randn(50, 6)
    before = tokenizer.encode(text).detach()
    scaled = scale_latents(tokenizer, before)
    assert scaled.norm(dim=1).mean().item() == pytest.approx(1.0)
    torch.testing.assert_close(tokenizer.encode(text).detach(), scaled)
    torch.testing.assert_close(scaled / scaled.norm(), before / before.norm())


def test_a_euclidean_level_starts_at_the_centres_of_the_clusters() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = centres.repeat_interleave(20, 0) + 0.1 * torch.randn(60, 2, generator=generator())
    module = ResidualQuantizer(("euclidean",), 3, 2)
    initialise_codebooks(module, points, seed=0)
    found = module.level(0).codewords.detach()
    means = points.view(3, 20, 2).mean(1)
    nearest = torch.cdist(means, found).argmin(1)
    assert sorted(nearest.tolist()) == [0, 1, 2]
    torch.testing.assert_close(found[nearest], means)


def test_a_cosine_level_clusters_directions_and_starts_at_the_means_of_their_members() -> None:
    # Two directions, each with lengths 1 and 9: by distance the clusters would be the short and the long.
    points = torch.tensor([[1.0, 0.0], [9.0, 0.0], [0.0, 1.0], [0.0, 9.0]])
    module = ResidualQuantizer(("cosine",), 2, 2)
    initialise_codebooks(module, points, seed=0)
    assert sorted(module.level(0).codewords.tolist()) == [[0.0, 5.0], [5.0, 0.0]]


def test_every_level_clusters_what_the_levels_before_it_left() -> None:
    points = latents()
    module = ResidualQuantizer(("cosine", "cosine", "euclidean"), 16, 8)
    with torch.no_grad():
        random_error = module.encode(points)[1].mean()
    initialise_codebooks(module, points, seed=0)
    errors = []
    residual = points
    for level in range(3):
        book = module.level(level)
        residual = residual - book.codewords[book.nearest(residual)]
        errors.append(residual.square().sum(1).mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.25 * points.sub(points.mean(0)).square().sum(1).mean()
    assert errors[-1] < 0.25 * random_error


def test_initialisation_follows_its_seed() -> None:
    books = []
    for seed in (0, 0, 1):
        module = ResidualQuantizer(("cosine", "euclidean"), 16, 8)
        initialise_codebooks(module, latents(), seed)
        books.append(torch.cat([module.level(level).codewords.detach() for level in range(2)]))
    assert torch.equal(books[0], books[1])
    assert not torch.equal(books[0], books[2])


@pytest.mark.parametrize("metrics", [("cosine", "cosine", "euclidean"), ("euclidean",) * 3, ("cosine",) * 3])
def test_replacement_brings_every_codeword_into_use(metrics: tuple[Metric, ...]) -> None:
    torch.manual_seed(0)
    module = ResidualQuantizer(metrics, 64, 8)
    for level in range(3):
        module.level(level).codewords.data.mul_(0.01).add_(5.0)  # a crowd in one corner: almost all are dead
    points = latents()
    before = usage(module, points)
    assert max(before) < 32
    error = module.encode(points)[1].mean()
    replaced = replace_dead_codewords(module, points, generator())
    assert usage(module, points) == [64, 64, 64]
    assert replaced >= 3 * 64 - sum(before)
    assert module.encode(points)[1].mean() < error


def test_a_codebook_in_full_use_is_left_alone() -> None:
    module = ResidualQuantizer(("cosine", "euclidean"), 8, 8)
    initialise_codebooks(module, latents(), 0)
    replace_dead_codewords(module, latents(), generator())
    before = [module.level(level).codewords.detach().clone() for level in range(2)]
    assert replace_dead_codewords(module, latents(), generator(1)) == 0
    assert all(torch.equal(module.level(level).codewords, before[level]) for level in range(2))


def test_only_dead_codewords_are_replaced_and_by_residuals() -> None:
    module = ResidualQuantizer(("euclidean",), 3, 2)
    module.level(0).codewords.data = torch.tensor([[0.0, 0.0], [100.0, 100.0], [10.0, 0.0]])
    points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [10.0, 0.0], [0.0, 7.0]])
    assert replace_dead_codewords(module, points, generator()) == 1
    # The only residual that is badly served is (0, 7).
    assert module.level(0).codewords.tolist() == [[0.0, 0.0], [0.0, 7.0], [10.0, 0.0]]


def test_replacement_follows_its_generator() -> None:
    def replaced(seed: int) -> Tensor:
        torch.manual_seed(0)
        module = ResidualQuantizer(("cosine",), 64, 8)
        replace_dead_codewords(module, latents(), generator(seed))
        return module.level(0).codewords.detach()

    assert torch.equal(replaced(1), replaced(1))
    assert not torch.equal(replaced(1), replaced(2))


@pytest.mark.parametrize("distinct", [1, 2, 5])
@pytest.mark.parametrize("metrics", [("cosine", "cosine", "euclidean"), ("euclidean",)])
def test_fewer_distinct_items_than_codewords(distinct: int, metrics: tuple[Metric, ...]) -> None:
    points = latents(distinct).repeat_interleave(4, 0)
    module = ResidualQuantizer(metrics, 8, 8)
    initialise_codebooks(module, points, seed=0)
    replaced = replace_dead_codewords(module, points, generator())
    assert 0 <= replaced <= 8 * 8 * len(metrics)
    codes, error = module.encode(points)
    assert all(bool(torch.isfinite(module.level(level).codewords).all()) for level in range(module.levels))
    assert len(set(map(tuple, codes.tolist()))) == distinct
    assert error.max().item() < 1e-6 * points.square().sum(1).max().item()


def test_items_whose_latent_is_zero() -> None:
    points: Any = torch.cat([torch.zeros(10, 8), latents(50)])
    module = ResidualQuantizer(("cosine", "euclidean"), 16, 8)
    initialise_codebooks(module, points, seed=0)
    replace_dead_codewords(module, points, generator())
    codes, error = module.encode(points)
    assert bool(torch.isfinite(error).all())
    assert len(set(map(tuple, codes[:10].tolist()))) == 1
    assert all(bool(torch.isfinite(module.level(level).codewords).all()) for level in range(2))
    assert usage(module, points)[0] == 16
