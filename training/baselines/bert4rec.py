"""BERT4Rec: a bidirectional transformer that fills in masked items; to predict, append a mask.

Sun, Liu, Wu, Pei, Lin, Ou and Jiang, "BERT4Rec: sequential recommendation with bidirectional encoder representations
from transformer", CIKM 2019 (arXiv 1904.06690): 2 layers, 2 heads, 64-d, GELU, 60 % of the items of a history masked
(its value for Beauty), softmax over the catalogue. Some histories have only the last item masked, as in use.

We are not sure of any published figure on this protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.baselines.neural import Neural
from training.baselines.ranker import Batches, NeuralSettings, Ranker
from training.baselines.sampling import by_length
from training.baselines.windows import with_bias, with_one
from training.datasets.base import Dataset, Indices
from training.evaluate.splits import Split
from training.fit.batches import Batch, TrainingBatches


@dataclass(frozen=True)
class Bert4RecSettings(NeuralSettings):
    """masked: share of the items of a history. last_only: share of histories with only the last item masked."""

    dropout: float = 0.2
    blocks: int = 2
    heads: int = 2
    masked: float = 0.6
    last_only: float = 0.1


class Bert4RecRanker(Ranker[Batch]):
    def __init__(self, n_items: int, settings: Bert4RecSettings) -> None:
        super().__init__()
        self._settings = settings
        self.mask = n_items
        self.item = nn.Embedding(n_items + 1, settings.dim)
        self.position = nn.Embedding(settings.length, settings.dim)
        self.norm = nn.LayerNorm(settings.dim)
        self.dropout = nn.Dropout(settings.dropout)
        block = nn.TransformerEncoderLayer(
            settings.dim, settings.heads, 4 * settings.dim, settings.dropout, F.gelu, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(block, settings.blocks, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.Linear(settings.dim, settings.dim), nn.GELU(), nn.LayerNorm(settings.dim))
        self.bias = nn.Parameter(torch.zeros(n_items))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def states(self, items: Tensor) -> Tensor:
        """States [n, length, dim] of histories of one length [n, length]; `self.mask` marks unknown items."""
        embedded = self.item(items) + self.position.weight[: items.shape[1]]
        encoded: Tensor = self.encoder(self.dropout(self.norm(embedded)))
        return encoded

    def loss(self, batch: Batch) -> Tensor:
        states, targets = [], []
        for items in whole_histories(batch):
            hidden = self.draw_mask(items)
            states.append(self.states(items.masked_fill(hidden, self.mask))[hidden])
            targets.append(items[hidden])
        logits = with_one(self.head(torch.cat(states))) @ self.catalogue().T
        return F.cross_entropy(logits, torch.cat(targets))

    def draw_mask(self, items: Tensor) -> Tensor:
        """Which items [n, length] to hide, bool: at least one per history."""
        hidden = torch.rand(items.shape, device=items.device) < self._settings.masked
        last = torch.zeros_like(hidden)
        last[:, -1] = True
        last_only = torch.rand(len(items), 1, device=items.device) < self._settings.last_only
        return torch.where(last_only | ~hidden.any(1, keepdim=True), last, hidden)

    def query(self, users: Tensor, histories: Sequence[Indices]) -> Tensor:
        out = self.bias.new_empty(len(histories), self.item.embedding_dim + 1)
        kept = [history[-(self._settings.length - 1) :] for history in histories]
        for members, items in by_length(kept, users.device):
            asked = F.pad(items, (0, 1), value=self.mask)
            out[members] = with_one(self.head(self.states(asked)[:, -1]))
        return out

    def catalogue(self) -> Tensor:
        return with_bias(self.item.weight[:-1], self.bias)


def whole_histories(batch: Batch) -> list[Tensor]:
    """The training sequences of a batch, one tensor [n, length] per length: the inputs and the last target."""
    sizes = [run.tokens for run in batch.runs]
    parts = zip(torch.split(batch.inputs, sizes), torch.split(batch.targets, sizes), batch.runs, strict=True)
    return [
        torch.cat([inputs.view(-1, run.length), targets.view(-1, run.length)[:, -1:]], dim=1)
        for inputs, targets, run in parts
    ]


class Bert4Rec(Neural[Batch, Bert4RecSettings]):
    name = "bert4rec"

    def __init__(self, settings: Bert4RecSettings | None = None, device: torch.device | None = None) -> None:
        super().__init__(settings or Bert4RecSettings(), device)

    def build(self, dataset: Dataset, split: Split) -> tuple[Bert4RecRanker, Batches[Batch]]:
        settings = self.settings
        model = Bert4RecRanker(dataset.n_items, settings)
        # With its last target, a sequence of max_length inputs is one item longer.
        return model, TrainingBatches(split.train, batch_size=settings.batch_size, max_length=settings.length - 1)
