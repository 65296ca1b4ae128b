"""Residual quantization with one distance per level.

Level l picks the codeword nearest to the residual r_l = z − Σ_{j<l} c_j; the semantic embedding is ẑ = Σ c_l and the
codes are the semantic ID. The early levels compare by cosine, which keeps every codeword in use. The last level
compares by Euclidean distance, which tells the remaining residuals apart (arXiv 2502.16474, "unified distance").
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.chunks import row_chunks
from model.config import Metric

_CELLS = 2**25  # scores of residuals in memory at once: 128 MiB, 32,768 items at 1,024 codewords
_ROUNDING = 1e-5  # of a latent's length: a shorter residual is nothing but rounding in single precision


class Quantized(NamedTuple):
    """A batch of quantized latents.

    semantic: [n, dim], value Σ c_l; gradients reach the codewords and, straight through, the latent.
    codes: [n, levels] int64.
    commitment: scalar, mean over items of Σ_l ‖r_l − sg(c_l)‖²; pulls the encoder to the codewords.
    codebook: scalar, mean over items of Σ_l ‖sg(r_l) − c_l‖²; pulls the codewords to the residuals.
    error: [n], ‖z − ẑ‖², detached: the quantization error.
    """

    semantic: Tensor
    codes: Tensor
    commitment: Tensor
    codebook: Tensor
    error: Tensor


class Codebook(nn.Module):
    """One level: `codewords` [size, dim] and the metric that finds the nearest one."""

    def __init__(self, size: int, dim: int, metric: Metric) -> None:
        super().__init__()
        self.metric = metric
        self.codewords = nn.Parameter(torch.empty(size, dim))
        nn.init.normal_(self.codewords, std=dim**-0.5)

    def scores(self, residual: Tensor) -> Tensor:
        """Closeness of each residual [n, dim] to each codeword, [n, size]; larger is nearer, by the level's metric."""
        if self.metric == "cosine":
            return F.normalize(residual, dim=-1) @ F.normalize(self.codewords, dim=-1).T
        # argmin ‖r − c‖² = argmax r·c − ‖c‖²/2: ‖r‖² is the same for every codeword.
        return residual @ self.codewords.T - 0.5 * self.codewords.square().sum(-1)

    @torch.no_grad()
    def nearest(self, residual: Tensor) -> Tensor:
        """Codes [n] of the codewords nearest to residual [n, dim]; a tie always goes to the same one."""
        if residual.shape[0] * self.codewords.shape[0] <= _CELLS:
            return self.scores(residual).argmax(dim=-1)
        chunks = row_chunks(len(residual), len(self.codewords), _CELLS)
        return torch.cat([self.scores(residual[rows]).argmax(dim=-1) for rows in chunks])


class ResidualQuantizer(nn.Module):
    """`metrics[l]` is the distance of level l; every level holds `size` codewords of width `dim`."""

    def __init__(self, metrics: tuple[Metric, ...], size: int, dim: int) -> None:
        super().__init__()
        self.codebooks = nn.ModuleList(Codebook(size, dim, metric) for metric in metrics)

    def level(self, index: int) -> Codebook:
        return cast(Codebook, self.codebooks[index])

    @property
    def levels(self) -> int:
        return len(self.codebooks)

    def forward(self, latent: Tensor) -> Quantized:
        """Quantize latents [n, dim]."""
        residual = latent
        semantic = torch.zeros_like(latent)
        codes: list[Tensor] = []
        commitment = codebook = latent.new_zeros(())
        for index in range(self.levels):
            book = self.level(index)
            code = book.nearest(residual)
            codeword = F.embedding(code, book.codewords)
            commitment = commitment + (residual - codeword.detach()).square().sum(-1).mean()
            codebook = codebook + (residual.detach() - codeword).square().sum(-1).mean()
            # The residual passes the encoder's gradient and stops the codeword's. So a level learns from its own
            # residual alone, not from those of later levels.
            residual = residual - codeword.detach()
            semantic = semantic + codeword
            codes.append(code)
        # A straight-through estimator that also lets the recommendation loss reach the codewords: the value is Σ c_l,
        # the gradient goes to both Σ c_l and z.
        semantic = semantic + (latent - latent.detach())
        error = residual.detach().square().sum(-1)
        return Quantized(semantic, torch.stack(codes, dim=-1), commitment, codebook, error)

    def lookup(self, codes: Tensor) -> Tensor:
        """Semantic embeddings [..., dim] of codes [..., levels]; gradients reach the codewords."""
        total = F.embedding(codes[..., 0], self.level(0).codewords)
        for index in range(1, self.levels):
            total = total + F.embedding(codes[..., index], self.level(index).codewords)
        return total

    @torch.no_grad()
    def encode(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [n, levels] and quantization errors [n] of latents [n, dim], without gradients.

        The same as `forward`, except that a residual counts as zero if it is nothing but rounding. A codeword may equal
        an item's latent (`training.fit.codebooks` makes such codewords). There a cosine level would find a direction in
        the rounding, and that direction would change with the number of texts in the batch.
        """
        least = _ROUNDING * latent.norm(dim=-1, keepdim=True)
        residual = latent
        codes: list[Tensor] = []
        for index in range(self.levels):
            book = self.level(index)
            code = book.nearest(torch.where(residual.norm(dim=-1, keepdim=True) > least, residual, 0.0))
            residual = residual - F.embedding(code, book.codewords)
            codes.append(code)
        return torch.stack(codes, dim=-1), residual.square().sum(-1)
