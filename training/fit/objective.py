"""The training objective: L = L_rec + λ·commitment + codebook + reconstruction, end to end.

The encoder runs once per distinct item of a step, not per position: a Beauty step of 256 users has 38,400 padded
inputs, targets and negatives, but only about 2,600 items.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.recommender import SequenceRecommender
from model.tokenizer import COLD, HybridTokenizer
from training.config import Recipe
from training.fit.batches import Batch


@dataclass(frozen=True)
class Losses:
    """Scalars of one step; training minimises `total`, their weighted sum."""

    total: Tensor
    recommendation: Tensor
    commitment: Tensor
    codebook: Tensor
    reconstruction: Tensor


class JointModel(nn.Module):
    """Tokenizer and recommender with the frozen text embeddings of the catalogue and its current semantic IDs.

    text: [n_items, T]. codes: [n_items, levels]; each step updates its items, `refresh_codes` updates all. trained:
    [n_items] bool, the items in training sequences. The others are never negatives (they would only learn to be
    unwanted), and the model embeds them as cold items.
    """

    text: Tensor
    codes: Tensor
    trained: Tensor
    candidates: Tensor

    def __init__(
        self, tokenizer: HybridTokenizer, recommender: SequenceRecommender, text: Tensor, trained: Tensor
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.recommender = recommender
        levels = tokenizer.config.levels if tokenizer.config.has_semantic else 0
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("trained", trained, persistent=False)
        self.register_buffer("candidates", trained.nonzero().squeeze(-1), persistent=False)
        self.register_buffer("codes", torch.zeros(len(text), levels, dtype=torch.int64))

    @torch.no_grad()
    def latents(self, chunk: int = 8192) -> Tensor:
        """Latents of the whole catalogue, [n_items, D2]."""
        return torch.cat([self.tokenizer.encode(part) for part in torch.split(self.text, chunk)])

    @torch.no_grad()
    def refresh_codes(self) -> None:
        """Tokenize the whole catalogue with the current weights."""
        if self.tokenizer.config.has_semantic:
            for start in range(0, len(self.text), 8192):
                part = slice(start, start + 8192)
                self.codes[part] = self.tokenizer.tokenize(self.text[part]).codes

    @torch.no_grad()
    def catalogue(self) -> Tensor:
        """Hybrid embeddings of all items from their codes, [n_items, D], as we evaluate and export them."""
        items = torch.where(self.trained, torch.arange(len(self.text), device=self.text.device), COLD)
        if not self.tokenizer.config.has_semantic:
            return self.tokenizer.embed_items(None, items)
        semantic = self.tokenizer.semantic_embeddings(self.codes)
        trained = self.tokenizer.trained_items(semantic, self.trained)
        return self.tokenizer.embed_items(semantic, self.tokenizer.borrow(semantic, items, trained))

    def forward(self, batch: Batch, recipe: Recipe) -> Losses:
        """Losses of one batch. Draws negatives and cold items from torch's global generator."""
        inputs, targets = batch.inputs, batch.targets
        negatives = self._draw_negatives(targets, recipe)
        # The full softmax encodes every candidate. Reading those outside the batch from their codes would save work,
        # but then targets and negatives train different parts of the tokenizer, and latents and codewords drift apart
        # (on Beauty, half of the codewords were dead after an epoch).
        rows = self.candidates if recipe.loss == "softmax" else self._distinct(inputs, targets, negatives)
        semantic, losses = self._quantize(rows, recipe)
        row_of = torch.zeros(len(self.text), dtype=torch.int64, device=inputs.device)
        row_of[rows] = torch.arange(len(rows), device=inputs.device)
        table = self.tokenizer.embed_items(semantic, self._with_cold(rows, recipe))
        hidden = self.recommender(table.index_select(0, row_of[inputs]), batch.runs)
        # Full precision again: bfloat16 would round scores to a few hundredths, which changes a softmax.
        with torch.autocast(hidden.device.type, enabled=False):
            each = _recommendation_losses(hidden.float(), table.float(), row_of[targets], row_of[negatives], recipe)
        recommendation = each.mean()
        if batch.weights is not None:
            recommendation = (each * batch.weights).sum() / batch.weights.sum().clamp_min(1e-12)
        commitment, codebook, reconstruction = losses
        total = (
            recommendation
            + recipe.commitment_weight * commitment
            + recipe.codebook_weight * codebook
            + recipe.reconstruction_weight * reconstruction
        )
        return Losses(total, recommendation, commitment, codebook, reconstruction)

    def tokenizer_loss(self, items: Tensor, recipe: Recipe) -> Tensor:
        """Quantization and reconstruction losses of items [n]: the objective of the warm-up."""
        commitment, codebook, reconstruction = self._quantize(items, recipe)[1]
        return (
            recipe.commitment_weight * commitment
            + recipe.codebook_weight * codebook
            + recipe.reconstruction_weight * reconstruction
        )

    def _quantize(self, items: Tensor, recipe: Recipe) -> tuple[Tensor | None, tuple[Tensor, Tensor, Tensor]]:
        """Semantic embeddings [n, D2] of distinct items [n] with gradients, and the tokenizer's three losses."""
        zero = self.text.new_zeros(())
        if not self.tokenizer.config.has_semantic:
            return None, (zero, zero, zero)
        # Full precision: eight bits of bfloat16 cannot tell which of two close codewords is nearer.
        with torch.autocast(self.text.device.type, enabled=False):
            text = self.text.index_select(0, items)
            quantized = self.tokenizer.quantize(text)
            with torch.no_grad():
                self.codes[items] = quantized.codes
            reconstruction = zero
            if recipe.reconstruction:
                some = torch.randperm(len(items), device=text.device)[: ceil(recipe.reconstruction_share * len(items))]
                error = self.tokenizer.decode(quantized.semantic.index_select(0, some)) - text.index_select(0, some)
                reconstruction = error.square().sum(-1).mean()
        return quantized.semantic, (quantized.commitment, quantized.codebook, reconstruction)

    def _distinct(self, *items: Tensor) -> Tensor:
        """The distinct items, ascending; marking items in the catalogue is quicker than sorting."""
        marked = torch.zeros(len(self.text), dtype=torch.bool, device=self.text.device)
        for each in items:
            marked[each.flatten()] = True
        return marked.nonzero().squeeze(-1)

    def _with_cold(self, items: Tensor, recipe: Recipe) -> Tensor:
        """Item indices with a random share replaced by COLD, so that the model learns to work without ID embeddings."""
        if not (self.training and recipe.cold_probability and self.tokenizer.config.tokens == "hybrid"):
            return items
        cold = torch.rand(len(items), device=items.device) < recipe.cold_probability
        return torch.where(cold, COLD, items)

    def _draw_negatives(self, targets: Tensor, recipe: Recipe) -> Tensor:
        """bce: [positions, negatives], none equal to its target; sampled_softmax: [negatives]; softmax: [0]."""
        count, device = len(self.candidates), targets.device
        if recipe.loss == "bce":
            return draw_others(self.candidates, targets, recipe.negatives)
        if recipe.loss == "sampled_softmax":
            return self.candidates[torch.randint(count, (recipe.negatives,), device=device)]
        return targets.new_empty(0)


def draw_others(candidates: Tensor, targets: Tensor, count: int) -> Tensor:
    """Negatives [*, count] for targets [*], uniform over the distinct candidates [n ≥ 2] other than the target."""
    n, shape = len(candidates), (*targets.shape, count)
    pick = torch.randint(n, shape, device=targets.device)
    # If we picked the target itself, step 1 … n − 1 places on; all other items are equally likely.
    step = torch.randint(1, n, shape, device=targets.device)
    return candidates[torch.where(candidates[pick] == targets.unsqueeze(-1), (pick + step) % n, pick)]


def _recommendation_losses(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor, recipe: Recipe) -> Tensor:
    """Loss of each position, [positions], of hidden states [positions, D] against a table of items [rows, D].

    targets [positions] and negatives (see `_draw_negatives`) are rows of the table.
    """
    if recipe.loss == "softmax":
        return F.cross_entropy(hidden @ table.T, targets, reduction="none")
    # index_select instead of [ ]: its gradient adds up in parallel.
    positive = (hidden * table.index_select(0, targets)).sum(-1)
    if recipe.loss == "bce":
        others = table.index_select(0, negatives.flatten()).view(*negatives.shape, -1)
        negative = torch.einsum("pd,pnd->pn", hidden, others)
        return F.softplus(-positive) + F.softplus(negative).mean(dim=-1)
    logits = hidden @ table.index_select(0, negatives).T
    # Mask negatives that equal the target: the loss would push down the score that it should raise.
    logits = logits.masked_fill(negatives == targets.unsqueeze(-1), float("-inf"))
    return torch.logsumexp(torch.cat([positive.unsqueeze(-1), logits], dim=-1), dim=-1) - positive
