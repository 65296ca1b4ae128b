"""Caser: convolutions over the latest items, read as an image, plus an embedding of the user.

Tang and Wang, "Personalized top-N sequential recommendation via convolutional sequence embedding", WSDM 2018
(arXiv 1809.07426): L = 5 items read, T = 3 items predicted, horizontal filters of every height and vertical ones,
binary cross-entropy with 3 random negatives. The width is 64 here, as in all methods that we compare.

We are not sure of any published figure on this protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.baselines.neural import Neural
from training.baselines.ranker import Batches, NeuralSettings
from training.baselines.sampling import Negatives, bce
from training.baselines.windows import WindowBatch, WindowRanker, Windows, with_bias, with_one
from training.datasets.base import Dataset
from training.evaluate.splits import Split


@dataclass(frozen=True)
class CaserSettings(NeuralSettings):
    length: int = 5
    ahead: int = 3
    horizontal: int = 16
    vertical: int = 4
    negatives: int = 3
    weight_decay: float = 1e-6
    batch_size: int = 512


class CaserRanker(WindowRanker):
    def __init__(self, n_users: int, n_items: int, settings: CaserSettings, negatives: Negatives) -> None:
        super().__init__(negatives, settings.negatives, settings.length, bce)
        dim, length = settings.dim, settings.length
        self.user = nn.Embedding(n_users, dim)
        self.item = nn.Embedding(n_items + 1, dim, padding_idx=0)  # 0: no item
        self.horizontal = nn.ModuleList(nn.Conv1d(dim, settings.horizontal, height) for height in range(1, length + 1))
        self.vertical = nn.Linear(length, settings.vertical, bias=False)
        self.combine = nn.Linear(settings.horizontal * length + settings.vertical * dim, dim)
        self.dropout = nn.Dropout(settings.dropout)
        self.out = nn.Embedding(n_items, 2 * dim)
        self.bias = nn.Parameter(torch.zeros(n_items))
        for table in (self.user, self.item, self.out):
            nn.init.normal_(table.weight, std=1.0 / table.embedding_dim)
        nn.init.zeros_(self.item.weight[0])

    def state(self, users: Tensor, windows: Tensor) -> Tensor:
        image = self.item(windows + 1).transpose(1, 2)  # [n, dim, length]
        across = [F.relu(convolution(image)).amax(-1) for convolution in self.horizontal]
        along = self.vertical(image).flatten(1)
        read = F.relu(self.combine(self.dropout(torch.cat([*across, along], dim=-1))))
        return with_one(torch.cat([read, self.user(users)], dim=-1))

    def catalogue(self) -> Tensor:
        return with_bias(self.out.weight, self.bias)


class Caser(Neural[WindowBatch, CaserSettings]):
    name = "caser"

    def __init__(self, settings: CaserSettings | None = None, device: torch.device | None = None) -> None:
        super().__init__(settings or CaserSettings(), device)

    def build(self, dataset: Dataset, split: Split) -> tuple[CaserRanker, Batches[WindowBatch]]:
        settings = self.settings
        model = CaserRanker(dataset.n_users, dataset.n_items, settings, Negatives(split, dataset.n_items))
        return model, Windows(split.train, length=settings.length, ahead=settings.ahead, batch_size=settings.batch_size)
