"""GRU4Rec: a recurrent network over the history.

Hidasi, Karatzoglou, Baltrunas and Tikk, "Session-based recommendations with recurrent neural networks", ICLR 2016
(arXiv 1511.06939). Here: one GRU layer over 64-d item embeddings, a linear layer back to them, tied input and output
embeddings. We unroll whole histories instead of session-parallel mini-batches, as later comparisons do. The loss is
SASRec's binary cross-entropy with one random negative, not BPR over the batch.

We are not sure of any published figure on this protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.packing import Runs
from training.baselines.neural import Neural
from training.baselines.ranker import Batches, NeuralSettings, Ranker
from training.baselines.sampling import Negatives, bce, by_length
from training.datasets.base import Dataset, Indices
from training.evaluate.splits import Split
from training.fit.batches import Batch, TrainingBatches


@dataclass(frozen=True)
class Gru4RecSettings(NeuralSettings):
    hidden: int = 128
    negatives: int = 1


class Gru4RecRanker(Ranker[Batch]):
    def __init__(self, n_items: int, settings: Gru4RecSettings, negatives: Negatives) -> None:
        super().__init__()
        self._negatives, self._count = negatives, settings.negatives
        self.item = nn.Embedding(n_items, settings.dim)
        self.gru = nn.GRU(settings.dim, settings.hidden, batch_first=True)
        self.out = nn.Linear(settings.hidden, settings.dim)
        self.dropout = nn.Dropout(settings.dropout)
        nn.init.normal_(self.item.weight, std=0.02)

    def states(self, items: Tensor, runs: Runs) -> Tensor:
        """States [tokens, dim] of packed histories [tokens]; state t has read items 0 … t of its history."""
        embedded = self.dropout(self.item(items))
        parts = torch.split(embedded, [run.tokens for run in runs])
        hidden = [
            self.gru(part.view(run.histories, run.length, -1))[0].flatten(0, 1)
            for part, run in zip(parts, runs, strict=True)
        ]
        projected: Tensor = self.out(self.dropout(torch.cat(hidden)))
        return projected

    def loss(self, batch: Batch) -> Tensor:
        states = self.states(batch.inputs, batch.runs)
        positive = (states * self.item(batch.targets)).sum(-1)
        negatives = self._negatives.draw(batch.targets, self._count)
        negative = torch.einsum("pd,pnd->pn", states, self.item(negatives))
        return bce(positive, negative).mean()

    def query(self, users: Tensor, histories: Sequence[Indices]) -> Tensor:
        out = self.item.weight.new_empty(len(histories), self.item.embedding_dim)
        for members, items in by_length(histories, users.device):
            out[members] = self.out(self.gru(self.item(items))[1][0])
        return out

    def catalogue(self) -> Tensor:
        return self.item.weight


class Gru4Rec(Neural[Batch, Gru4RecSettings]):
    name = "gru4rec"

    def __init__(self, settings: Gru4RecSettings | None = None, device: torch.device | None = None) -> None:
        super().__init__(settings or Gru4RecSettings(), device)

    def build(self, dataset: Dataset, split: Split) -> tuple[Gru4RecRanker, Batches[Batch]]:
        settings = self.settings
        model = Gru4RecRanker(dataset.n_items, settings, Negatives(split, dataset.n_items))
        return model, TrainingBatches(split.train, batch_size=settings.batch_size, max_length=settings.length)
