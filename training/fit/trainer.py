"""The training loop: takes batches, keeps the best weights by validation, and can resume after every epoch."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, optim

from model.recommender import SequenceRecommender
from model.text import NoText, SentenceEncoder, TextEncoder, TfidfEncoder
from model.tokenizer import HybridTokenizer
from training.config import Recipe
from training.datasets.base import Dataset, Indices
from training.evaluate.metrics import Ranks, monitored, protocol_of
from training.evaluate.negatives import NEGATIVES_SEED, NOT_SAMPLED, can_sample, draw_negatives
from training.evaluate.ranking import boosts_of, full_ranks, queries, sampled_ranks
from training.evaluate.splits import EvaluationCases, Split, leave_one_out, training_popularity
from training.fit.batches import Batch, TrainingBatches
from training.fit.checkpoint import locked, resume_run, save_run, snapshot
from training.fit.codebooks import initialise_codebooks, replace_dead_codewords, scale_latents
from training.fit.neighbours import count_neighbours
from training.fit.objective import JointModel, Losses
from training.fit.progress import EpochReport, Progress
from training.fit.shrinkage import make_permanent, shrink

# Seeds of epochs lie far apart, so that runs with neighbouring seeds never share random numbers.
_SEED_STRIDE = 100_003


class Trainer:
    """Trains one recipe on one data set.

    After `fit`, `model` holds the best weights and the `codes` of the whole catalogue. Deterministic on a CPU: the same
    data, recipe, seed and number of threads give the same weights. `recipe` is the given one, except that the monitor
    falls back to full ranking if this data set is too small for sampling.
    """

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        seed: int = 0,
        device: torch.device | None = None,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        self.dataset, self.recipe, self.seed = dataset, recipe, seed
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.split: Split = leave_one_out(dataset)
        self._notice: str | None = None
        if recipe.monitor == "sampled_mrr" and not can_sample(self.evaluated_sequences, dataset.n_items):
            self.recipe = recipe = recipe.override({"monitor": "full_ndcg@10"})
            self._notice = NOT_SAMPLED
        if not len(self.split.valid):
            raise ValueError("data: no user has three interactions, so nothing can be held out to validate on")
        weights = dataset.weights
        self.batches = TrainingBatches(
            self.split.train,
            batch_size=recipe.batch_size,
            max_length=recipe.max_length,
            weights=weights and [row[: len(kept)] for row, kept in zip(weights, self.split.train, strict=True)],
        )
        self.popularity = training_popularity(self.split, dataset.n_items)
        if recipe.loss == "bce" and (self.popularity > 0).sum() < 2:
            raise ValueError("data: training has one item only, so bce has no negative to draw")
        self.text_encoder = text_encoder or fit_text_encoder(dataset, recipe, seed)
        torch.manual_seed(seed)
        texts = [item.to_text() for item in dataset.items]
        text = torch.from_numpy(self.text_encoder.encode(texts))
        tokenizer = HybridTokenizer(recipe.tokenizer_config(text.shape[1]), dataset.n_items)
        if recipe.id_shrinkage and tokenizer.config.has_id:
            shrink(tokenizer, torch.from_numpy(self.popularity), recipe.id_shrinkage)
        recommender = SequenceRecommender(recipe.recommender_config(tokenizer.dim))
        self.neighbours = count_neighbours(self.split.train, texts, recipe)
        trained = torch.from_numpy(self.popularity > 0)
        self.model = JointModel(tokenizer, recommender, text, trained).to(self.device)
        self.optimizer = optim.Adam(
            self.model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.mixed_precision = self.device.type == "cuda"
        self.history: list[dict[str, Any]] = []
        self._negatives: np.ndarray[Any, np.dtype[np.int64]] | None = None

    @cached_property
    def key(self) -> dict[str, Any]:
        """A checkpoint must have the same key for this run to resume from it."""
        return {"dataset": self.dataset.fingerprint(), "recipe": self.recipe.model_dump(mode="json"), "seed": self.seed}

    def fit(self, checkpoint: Path | None = None, progress: Progress | None = None) -> None:
        """Train for `epochs`; without `decay`, stop once the monitored metric has not improved for `patience` epochs.
        Then restore the best weights.

        checkpoint: the run writes it after every epoch, and resumes from it if it exists. Raises CheckpointError if it
        belongs to another run, or if another process trains into it.
        """
        with locked(checkpoint):
            self._fit(checkpoint, progress or Progress())

    def _fit(self, checkpoint: Path | None, progress: Progress) -> None:
        if self._notice is not None:
            progress.message(self._notice)
        best, best_epoch, first = -1.0, -1, 0
        best_weights: dict[str, Tensor] = {}
        if checkpoint is not None and checkpoint.exists():
            best_weights, loop, self.history = resume_run(
                checkpoint, self.key, "data, recipe or seed", self.model, self.optimizer
            )
            best, best_epoch, first = loop["best"], loop["best_epoch"], loop["epoch"] + 1
            progress.message(f"resuming from {checkpoint}, after epoch {first}")
        else:
            self._initialise_tokenizer(progress)
        if not self.recipe.joint:
            self._freeze_tokenizer()
        for epoch in range(first, self.recipe.epochs):
            if not self.recipe.decay and epoch - best_epoch > self.recipe.patience and best_epoch >= 0:
                break
            report = self._epoch(epoch, best, progress)
            if report.best:
                best, best_epoch, best_weights = report.monitored, epoch, snapshot(self.model)
            self.history.append(
                {"epoch": epoch, "monitored": report.monitored, "seconds": round(report.seconds, 2), **report.losses}
            )
            if checkpoint is not None:
                loop = {"best": best, "best_epoch": best_epoch, "epoch": epoch}
                save_run(checkpoint, self.key, self.model, self.optimizer, best_weights, loop, self.history)
            progress.epoch(report)
        self.model.load_state_dict(best_weights)
        make_permanent(self.model.tokenizer)
        self.model.eval()

    def _epoch(self, epoch: int, best: float, progress: Progress) -> EpochReport:
        started = time.perf_counter()
        torch.manual_seed(self.seed * _SEED_STRIDE + epoch + 1)
        self.model.train()
        sums: dict[str, float] = {}
        for done, batch in enumerate(self.batches.epoch(np.random.default_rng([self.seed, epoch])), start=1):
            self._set_learning_rate(epoch + (done - 1) / len(self.batches))
            losses = self._step(batch)
            for name, value in vars(losses).items():
                sums[name] = sums.get(name, 0.0) + value.item()
            if not np.isfinite(sums["total"]):
                raise FloatingPointError(f"epoch {epoch}: the loss is no longer finite; try a lower learning rate")
            progress.step(done, len(self.batches), sums["total"] / done)
        replaced = self._refresh(epoch)
        trained = time.perf_counter()
        monitored = self.validate()
        if not np.isfinite(monitored):
            raise FloatingPointError(f"epoch {epoch}: scores are no longer finite; try a lower learning rate")
        return EpochReport(
            epoch=epoch,
            seconds=trained - started,
            validation_seconds=time.perf_counter() - trained,
            losses={name: value / len(self.batches) for name, value in sums.items()},
            monitored=monitored,
            best=monitored > best,
            replaced_codewords=replaced,
        )

    def _set_learning_rate(self, epochs_done: float) -> None:
        remaining = 1.0 - epochs_done / self.recipe.epochs if self.recipe.decay else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * remaining

    def _step(self, batch: Batch) -> Losses:
        # Mixed precision pays on a GPU; the tokenizer keeps full precision (see JointModel._quantize).
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision):
            losses: Losses = self.model(batch.to(self.device), self.recipe)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return losses

    def _refresh(self, epoch: int) -> int:
        """Replace dead codewords and tokenize the catalogue again, so that we validate what we would export."""
        self.model.eval()
        if not self.model.tokenizer.config.has_semantic:
            return 0
        generator = torch.Generator().manual_seed(self.seed * _SEED_STRIDE + epoch + 1)
        replaced = replace_dead_codewords(self.model.tokenizer.quantizer, self.model.latents(), generator)
        self.model.refresh_codes()
        return replaced

    def _initialise_tokenizer(self, progress: Progress) -> None:
        tokenizer = self.model.tokenizer
        if not tokenizer.config.has_semantic:
            return
        progress.message(f"k-means initialisation of {tokenizer.config.levels} codebooks over the catalogue")
        latents = scale_latents(tokenizer, self.model.latents())
        initialise_codebooks(tokenizer.quantizer, latents, self.seed)
        self._refresh(-1)
        for epoch in range(self.recipe.warmup_epochs):
            self._warm_up(epoch, progress)
        self._refresh(-1)

    def _freeze_tokenizer(self) -> None:
        """Freeze encoder and codebooks after the warm-up, so that semantic IDs no longer change."""
        if self.model.tokenizer.config.has_semantic:
            for module in (self.model.tokenizer.encoder, self.model.tokenizer.quantizer):
                module.requires_grad_(False)

    def _warm_up(self, epoch: int, progress: Progress) -> None:
        """One pass over the catalogue that trains the tokenizer's own losses."""
        self.model.train()
        losses = []
        for items in torch.split(torch.randperm(self.dataset.n_items, device=self.device), 1024):
            loss = self.model.tokenizer_loss(items, self.recipe)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            losses.append(loss.item())
        progress.message(f"tokenizer warm-up {epoch + 1}/{self.recipe.warmup_epochs}: loss {np.mean(losses):.4f}")

    def validate(self) -> float:
        """The monitored metric on the validation split."""
        return monitored(self.ranks(self.split.valid, protocol_of(self.recipe.monitor)), self.recipe.monitor)

    @property
    def evaluated_sequences(self) -> list[Indices]:
        """Whole sequences of the evaluated users."""
        return [self.dataset.sequences[user] for user in self.split.test.users]

    def ranks(self, cases: EvaluationCases, protocol: str) -> Ranks:
        """Ranks of the targets with the current weights; protocol "full" or "sampled"."""
        catalogue = self.model.catalogue()
        query = queries(self.model.recommender, catalogue, cases.histories)
        targets = cases.targets.astype(np.int64)
        boosts = boosts_of(self.neighbours, cases.histories, self.recipe.max_length)
        if protocol == "full":
            return full_ranks(query, catalogue, targets, cases.histories, boosts)
        if self._negatives is None:
            self._negatives = draw_negatives(self.evaluated_sequences, self.dataset.n_items, NEGATIVES_SEED)
        return sampled_ranks(query, catalogue, targets, self._negatives, boosts)


def fit_text_encoder(dataset: Dataset, recipe: Recipe, seed: int) -> TextEncoder:
    """The recipe's frozen text encoder. Fits TF-IDF on the catalogue's texts. ID tokens alone read no text.

    Raises ValueError if the recipe reads texts and no item has one.
    """
    if recipe.tokens == "id":
        return NoText()
    texts = [item.to_text() for item in dataset.items]
    if not any(texts):
        raise ValueError("no item has a text: give an items file, or train ID tokens alone with --tokens id")
    if recipe.text_encoder == "tfidf":
        return TfidfEncoder.fit(texts, dim=recipe.text_dim, seed=seed)
    return SentenceEncoder(recipe.text_encoder)
