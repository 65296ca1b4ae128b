"""HGN: gates choose features and items of the recent history; products compare the items.

Ma, Kang and Liu, "Hierarchical gating networks for sequential recommendation", KDD 2019 (arXiv 1906.09217): feature
gating, instance gating, average pooling, item-item products and a matrix factorization term; BPR; L = 5, T = 3.
The width is 64 here, as in all methods that we compare.

We are not sure of any published figure on this protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.baselines.neural import Neural
from training.baselines.ranker import Batches, NeuralSettings
from training.baselines.sampling import Negatives, bpr
from training.baselines.windows import WindowBatch, WindowRanker, Windows, with_bias, with_one
from training.datasets.base import Dataset
from training.evaluate.splits import Split


@dataclass(frozen=True)
class HgnSettings(NeuralSettings):
    length: int = 5
    ahead: int = 3
    negatives: int = 1
    dropout: float = 0.0
    weight_decay: float = 1e-5
    batch_size: int = 1024


class HgnRanker(WindowRanker):
    def __init__(self, n_users: int, n_items: int, settings: HgnSettings, negatives: Negatives) -> None:
        super().__init__(negatives, settings.negatives, settings.length, bpr)
        dim, length = settings.dim, settings.length
        self.user = nn.Embedding(n_users, dim)
        self.item = nn.Embedding(n_items + 1, dim, padding_idx=0)  # 0: no item
        self.feature_item = nn.Linear(dim, dim)
        self.feature_user = nn.Linear(dim, dim, bias=False)
        self.instance_item = nn.Linear(dim, 1, bias=False)
        self.instance_user = nn.Linear(dim, length, bias=False)
        self.out = nn.Embedding(n_items, dim)
        self.bias = nn.Parameter(torch.zeros(n_items))
        for table in (self.user, self.item, self.out):
            nn.init.normal_(table.weight, std=1.0 / dim)
        nn.init.zeros_(self.item.weight[0])

    def state(self, users: Tensor, windows: Tensor) -> Tensor:
        """The sum of the user, the pooled gated items and the items; its dot product with an item is the score."""
        user, items = self.user(users), self.item(windows + 1)
        gated = items * torch.sigmoid(self.feature_item(items) + self.feature_user(user).unsqueeze(1))
        weight = torch.sigmoid(self.instance_item(gated).squeeze(-1) + self.instance_user(user))
        weight = weight * (windows >= 0)
        pooled = torch.bmm(weight.unsqueeze(1), gated).squeeze(1) / weight.sum(1, keepdim=True)
        return with_one(user + pooled + items.sum(1))

    def catalogue(self) -> Tensor:
        return with_bias(self.out.weight, self.bias)


class Hgn(Neural[WindowBatch, HgnSettings]):
    name = "hgn"

    def __init__(self, settings: HgnSettings | None = None, device: torch.device | None = None) -> None:
        super().__init__(settings or HgnSettings(), device)

    def build(self, dataset: Dataset, split: Split) -> tuple[HgnRanker, Batches[WindowBatch]]:
        settings = self.settings
        model = HgnRanker(dataset.n_users, dataset.n_items, settings, Negatives(split, dataset.n_items))
        return model, Windows(split.train, length=settings.length, ahead=settings.ahead, batch_size=settings.batch_size)
