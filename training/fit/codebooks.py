"""Codebooks: k-means initialisation over the catalogue, and replacement of dead codewords."""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional as F

from model.quantizer import Codebook, ResidualQuantizer
from model.tokenizer import HybridTokenizer


@torch.no_grad()
def scale_latents(tokenizer: HybridTokenizer, latents: Tensor) -> Tensor:
    """Scale the encoder's last layer so that the catalogue's latents [n, dim] have mean length 1; returns them scaled.

    Latents, codewords and ID embeddings then start at a scale that suits the step size of the optimiser.
    """
    last = cast(nn.Linear, tokenizer.encoder[-1])
    norm: Tensor = latents.norm(dim=-1).mean().clamp_min(1e-12)
    last.weight.div_(norm)
    last.bias.div_(norm)
    return latents / norm


@torch.no_grad()
def initialise_codebooks(quantizer: ResidualQuantizer, latents: Tensor, seed: int) -> None:
    """Set every level's codewords to k-means centres of the catalogue's residuals [n, dim], level by level.

    A cosine level clusters directions (unit vectors). Its codewords are the means of the unscaled members, which
    leave the smallest residual after subtraction. If the catalogue has fewer distinct residuals than codewords, the
    remaining codewords are jittered copies, which `replace_dead_codewords` can use.
    """
    residual = latents
    for level in range(quantizer.levels):
        book = quantizer.level(level)
        points = F.normalize(residual, dim=-1) if book.metric == "cosine" else residual
        assignment, clusters = _kmeans(points, len(book.codewords), seed + level)
        sums = torch.zeros(clusters, residual.shape[1], device=residual.device).index_add_(0, assignment, residual)
        counts = torch.bincount(assignment, minlength=clusters).clamp_min(1).unsqueeze(-1)
        means = sums / counts
        book.codewords[:clusters] = means
        if clusters < len(book.codewords):
            book.codewords[clusters:] = _jittered(means, len(book.codewords) - clusters, seed + level)
        residual = residual - book.codewords[book.nearest(residual)]


def _kmeans(points: Tensor, clusters: int, seed: int) -> tuple[Tensor, int]:
    """The cluster of each point [n], and the number of clusters (at most one per distinct point)."""
    array = points.detach().cpu().numpy().astype(np.float32)
    clusters = min(clusters, len(np.unique(array, axis=0)))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # near-duplicates merge; we replace the dead codewords later
        labels = KMeans(clusters, n_init=1, max_iter=50, random_state=seed).fit(array).labels_
    return torch.from_numpy(labels.astype(np.int64)).to(points.device), clusters


def _jittered(means: Tensor, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    picks = torch.randint(len(means), (count,), generator=generator)
    noise = torch.randn(count, means.shape[1], generator=generator).to(means.device)
    return means[picks.to(means.device)] + 1e-2 * means.std() * noise


@torch.no_grad()
def replace_dead_codewords(
    quantizer: ResidualQuantizer, latents: Tensor, generator: torch.Generator, rounds: int = 8
) -> int:
    """Move every codeword that no item of the catalogue [n, dim] chooses onto a badly served residual; returns how many
    moved.

    Goes level by level from the first, because a change in one level changes the residuals of the next. Draws items
    in proportion to their squared distance from their codeword (k-means++), which helps crowded and far regions.
    """
    if not torch.isfinite(latents).all():
        raise FloatingPointError("latents are no longer finite; try a lower learning rate")
    replaced = 0
    residual = latents
    for level in range(quantizer.levels):
        book = quantizer.level(level)
        codes = book.nearest(residual)
        for _ in range(rounds):
            counts = torch.bincount(codes, minlength=len(book.codewords))
            dead = (counts == 0).nonzero().squeeze(-1)
            if len(dead) == 0:
                break
            distance = _distance(book, residual, codes).cpu()
            candidates = int((distance > 0).sum())
            if candidates == 0:
                break  # fewer distinct residuals than codewords: every one is already served
            picks = torch.multinomial(distance, min(len(dead), candidates), generator=generator)
            book.codewords[dead[: len(picks)]] = residual[picks.to(residual.device)]
            replaced += len(picks)
            codes = book.nearest(residual)
        residual = residual - book.codewords[codes]
    return replaced


def _distance(book: Codebook, residual: Tensor, codes: Tensor) -> Tensor:
    """Distance of each residual [n, dim] from its codeword by the level's own metric; [n], zero or more."""
    chosen = book.codewords[codes]
    if book.metric == "cosine":
        # A zero residual (its item already is a codeword) has no direction; a codeword placed there would stay dead.
        gap = (1.0 - F.cosine_similarity(residual, chosen, dim=-1)) * residual.any(-1)
    else:
        gap = (residual - chosen).square().sum(-1)
    # Residuals that equal their codeword up to rounding are well served; a codeword placed there would be a duplicate.
    return torch.where(gap > 1e-6, gap, torch.zeros_like(gap))
