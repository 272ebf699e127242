"""One station's training: its rows, its tokenizer and its folders, from the first step to what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback, TrainingArguments

from marwright.config import FineTuningConfig, TrainingConfig
from marwright.console.progress import say
from marwright.encoder.kept_parts import KeptParts
from marwright.files import read_json, stable_json, write_text
from marwright.pretrained.tokenization import pad_id
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.processes.launched import is_main
from marwright.training.answers import EVALUATION_BATCH, draw_curves, logits_of
from marwright.training.checkpoint import freeze_word_embeddings, load_classifier, set_dropout
from marwright.training.dataset import Collator, TokenizedSplit, tokenized_splits
from marwright.training.fitting import ProgressCallback, history_of, last_checkpoint
from marwright.training.objective import Objective, ObjectiveTrainer
from marwright.training.precision import soft_targets_in, trained_in
from marwright.training.structure import put_back
from marwright.workspace import DataFolder, ModelFolder

Epoch = dict[str, float]
"""Losses and validation scores of an epoch."""


class Session:
    """A training of one model.

    Args:
        what: the name shown to the user.
        data: the splits.
        read_by: the checkpoint that has the tokenizer.
        max_length: tokens at which texts are cut.
        seed: of new layers, shuffling and dropout; set at once.
        output: an empty folder.
        work: checkpoints go here; those of a killed run are resumed.
    """

    def __init__(
        self, what: str, data: DataFolder, read_by: str, max_length: int, *, seed: int, output: Path, work: Path
    ) -> None:
        self.tokenizer = load_tokenizer(read_by, max_length)
        self._started = time.monotonic()
        transformers.set_seed(seed)
        self.what, self.seed, self.work = what, seed, work
        self.folder = ModelFolder(output)
        self.task, self.labels = data.task, read_json(data.labels)
        self.splits = tokenized_splits(data, self.tokenizer)
        self.collator = Collator(pad_id(self.tokenizer))

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
        """Train a model in place and leave it with the weights of its best epoch on validation rows.

        It stops early where they get no better, and a killed run is resumed from its checkpoints in ``work``.

        Args:
            model: a transformers classifier.
            config: the optimisation.
            objective: the loss.
            train: what it learns from; the train split if nothing else is given.
            callbacks: of a technique that takes part in every step.
            freeze: the word embeddings, where the configuration has them so.
        """
        set_dropout(model, config.dropout)
        if freeze and config.freeze_word_embeddings:
            freeze_word_embeddings(model)
        train = train or self.splits["train"]
        steps = -(-len(train) // config.batch_size) * config.epochs
        dtype = trained_in(config.precision)
        arguments = TrainingArguments(
            output_dir=str(self.work),
            num_train_epochs=config.epochs,
            per_device_train_batch_size=config.batch_size,
            per_device_eval_batch_size=EVALUATION_BATCH,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            warmup_steps=round(steps * config.warmup_fraction),
            train_sampling_strategy="group_by_length",
            bf16=dtype == torch.bfloat16,
            fp16=dtype == torch.float16,
            use_cpu=not torch.cuda.is_available(),
            eval_strategy="epoch",
            save_strategy="epoch",
            logging_strategy="steps",
            logging_steps=max(1, steps // (config.epochs * 4)),
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model=self.task.best_by,
            greater_is_better=True,
            remove_unused_columns=False,
            label_names=["labels"],
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to="none",
            disable_tqdm=True,
            seed=self.seed,
            data_seed=self.seed,
        )
        told = ProgressCallback(self.what, self.task.figures)
        trainer = ObjectiveTrainer(
            model=model,
            args=arguments,
            train_dataset=train,
            eval_dataset=self.splits["validation"],
            data_collator=self.collator,
            compute_metrics=lambda output: self.task.scores(output.predictions, output.label_ids),
            callbacks=[told, EarlyStoppingCallback(config.early_stopping_patience), *callbacks],
            objective=objective,
        )
        # Trainer prints every log entry; the progress callback already says what matters.
        trainer.remove_callback(PrinterCallback)
        last = last_checkpoint(self.work)
        if last is not None:
            say(f"  {self.what}: going on from {last.name}")
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        # Trainer leaves the model wrapped in bfloat16 autocast; what it answers from here on must be its own precision.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        return history_of(trainer.state.log_history, self.task.followed)

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
            logits = logits_of(model, split, self.collator.filler, f"{self.what}: {name} answers", dtype=dtype)
            np.save(self.folder.logits(name), logits)
            if name != "train":
                metrics[name] = self.task.scores(logits, split.labels, split.counted_as_wrong)
        metrics["seconds"] = round(time.monotonic() - self._started)
        write_text(self.folder.metrics, stable_json(metrics))
        write_text(self.folder.history, stable_json(list(history)))
        draw_curves(history, self.task.figures, self.what, self.folder.curves)
        told = ", ".join(f"{name} {metrics['test'][key]:.2%}" for key, name in self.task.figures.items())
        say(f"  {self.what}: test {told}, {metrics['seconds']} s")
