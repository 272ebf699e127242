"""One station's training: its rows, its tokenizer and its folders, from the first step to what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from transformers import TrainerCallback

from marwright.config import FineTuningConfig, TrainingConfig
from marwright.console.progress import say
from marwright.encoder.kept_parts import KeptParts
from marwright.files import read_json, stable_json, write_text
from marwright.processes.launched import is_main
from marwright.training.answers import draw_curves, logits_of
from marwright.training.checkpoint import freeze_word_embeddings, load_classifier, set_dropout
from marwright.training.dataset import TokenizedSplit, collator_for, tokenized_splits
from marwright.training.fitting import fit
from marwright.training.objective import Objective
from marwright.training.precision import soft_targets_in
from marwright.training.structure import put_back
from marwright.workspace import DataFolder, ModelFolder

Epoch = dict[str, float]
"""Losses and validation scores of an epoch."""


class Session:
    """A training of one model.

    Args:
        what: the name shown to the user.
        data: the splits.
        tokenizer: of the model.
        seed: of new layers, shuffling and dropout; set at once.
        output: an empty folder.
        work: checkpoints go here; those of a killed run are resumed.
    """

    def __init__(
        self, what: str, data: DataFolder, tokenizer: Tokenizer, *, seed: int, output: Path, work: Path
    ) -> None:
        self._started = time.monotonic()
        transformers.set_seed(seed)
        self.what, self.tokenizer, self.seed, self.work = what, tokenizer, seed, work
        self.folder = ModelFolder(output)
        self.task, self.labels = data.task, read_json(data.labels)
        self.splits = tokenized_splits(data, tokenizer)
        self.collator = collator_for(tokenizer)

    def answered_train(self, teacher: ModelFolder) -> TokenizedSplit:
        """The train split with a teacher's logits."""
        train = self.splits["train"]
        return TokenizedSplit(train.rows, train.labels, np.load(teacher.logits("train")))

    def fit(
        self,
        model: Any,
        config: TrainingConfig,
        objective: Objective,
        train: TokenizedSplit | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        *,
        freeze: bool = True,
    ) -> list[Epoch]:
        """Train a model in place and leave it with the weights of its best epoch.

        Args:
            model: a transformers classifier.
            config: the optimisation.
            objective: the loss.
            train: what it learns from; the train split if nothing else is given.
            callbacks: of a technique that takes part in every step.
            freeze: the word embeddings, where the configuration has them so.

        Returns:
            one entry per epoch.
        """
        set_dropout(model, config.dropout)
        if freeze and config.freeze_word_embeddings:
            freeze_word_embeddings(model)
        return fit(
            model,
            train or self.splits["train"],
            self.splits["validation"],
            self.collator,
            config,
            objective,
            what=self.what,
            seed=self.seed,
            work=self.work,
            callbacks=callbacks,
        )

    def fine_tune(
        self, model: Any, config: FineTuningConfig, teacher: ModelFolder, callbacks: Sequence[TrainerCallback] = ()
    ) -> list[Epoch]:
        """Let a model that was changed learn from the teacher again, in place; callbacks keep it as it was changed."""
        objective = Objective(self.task, temperature=config.temperature, alpha=config.alpha)
        return self.fit(model, config, objective, self.answered_train(teacher), callbacks)

    def finish(
        self,
        model: Any,
        history: Sequence[Epoch],
        config: TrainingConfig,
        *,
        about: Mapping[str, Any] | None = None,
        removed: tuple[KeptParts | None, Path] = (None, Path()),
    ) -> None:
        """Fill the :class:`ModelFolder`; of several processes the main one does.

        Args:
            model: the trained classifier.
            history: one entry per epoch.
            config: of its training.
            about: more to say beside the scores.
            removed: what is left of a checkpoint from which parts were removed. The model is written in its full shape,
                with zeros in their places.
        """
        if not is_main():
            return
        kept, checkpoint = removed
        if kept is not None:
            small, model = model, load_classifier(checkpoint, self.labels)
            put_back(model, small, kept)
        model.config.problem_type = self.task.problem_type
        model.save_pretrained(self.folder.checkpoint)
        if kept is not None:
            kept.write(self.folder.checkpoint)
        self.tokenizer.save(str(self.folder.tokenizer))
        metrics: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters()), **(about or {})}
        for name, split in self.splits.items():
            # Train logits are soft targets; the others are what the exported module is held against.
            dtype = soft_targets_in(config.precision) if name == "train" else torch.float32
            logits = logits_of(model, split, self.collator, f"{self.what}: {name} answers", dtype=dtype)
            np.save(self.folder.logits(name), logits)
            if name != "train":
                metrics[name] = self.task.scores(logits, split.labels, split.counted_as_wrong)
        metrics["seconds"] = round(time.monotonic() - self._started)
        write_text(self.folder.metrics, stable_json(metrics))
        write_text(self.folder.history, stable_json(list(history)))
        draw_curves(history, self.task.figures, self.what, self.folder.curves)
        told = ", ".join(f"{name} {metrics['test'][key]:.2%}" for key, name in self.task.figures.items())
        say(f"  {self.what}: test {told}, {metrics['seconds']} s")
