"""One training run with ``transformers.Trainer``: best checkpoint by macro-F1, early stopping, resume after a kill."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments

from marwright.config import TrainingConfig
from marwright.console.progress import progress_bar, say
from marwright.processes.launched import is_main
from marwright.training.dataset import Collator, TokenizedSplit
from marwright.training.objective import Objective, ObjectiveTrainer
from marwright.training.precision import trained_in

EVALUATION_BATCH = 64


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """A live bar on a terminal, and one line an epoch everywhere."""

    def __init__(self, what: str, figures: Mapping[str, str]) -> None:
        self.what = what
        self.figures = figures
        self.bar = progress_bar()
        self.loss = float("nan")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if is_main():
            self.bar.start()
        self.task = self.bar.add_task(self.what, total=state.max_steps, completed=state.global_step, note="")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        self.loss = (logs or {}).get("loss", self.loss)
        self.bar.update(self.task, note=f"loss {self.loss:.3f}")

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        told = ", ".join(f"{name} {(metrics or {})[f'eval_{key}']:.1%}" for key, name in self.figures.items())
        epoch = f"epoch {round(state.epoch or 0)} of {args.num_train_epochs}"
        say(f"  {self.what}: {epoch}, loss {self.loss:.3f}, validation {told}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.stop()


def fit(
    model: Any,
    train: TokenizedSplit,
    validation: TokenizedSplit,
    collator: Collator,
    config: TrainingConfig,
    objective: Objective,
    *,
    what: str,
    seed: int,
    work: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train a transformers classifier in place and leave it with the weights of its best epoch.

    Args and result are those of :meth:`marwright.training.session.Session.fit`; the validation rows pick the best epoch
    and stop early, and a killed run is resumed from its checkpoints in ``work``.
    """
    task = objective.task
    steps = -(-len(train) // config.batch_size) * config.epochs
    dtype = trained_in(config.precision)
    arguments = TrainingArguments(
        output_dir=str(work),
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
        metric_for_best_model=task.best_by,
        greater_is_better=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
    )
    told = ProgressCallback(what, task.figures)
    trainer = ObjectiveTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collator,
        compute_metrics=lambda output: task.scores(output.predictions, output.label_ids),
        callbacks=[told, EarlyStoppingCallback(config.early_stopping_patience), *callbacks],
        objective=objective,
    )
    # Trainer prints every log entry; the progress callback already says what matters.
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(work)
    if last is not None:
        say(f"  {what}: going on from {last.name}")
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    # Trainer leaves the model wrapped in bfloat16 autocast; what it answers from here on must be its own precision.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return _history(trainer.state.log_history, task.followed)


def last_checkpoint(work: Path) -> Path | None:
    """The last whole checkpoint that a killed run has left; a half-written one does not count."""
    found = sorted(work.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]), reverse=True)
    return next((folder for folder in found if _is_whole(folder)), None)


def _is_whole(checkpoint: Path) -> bool:
    """Trainer writes the state after the weights and the optimizer."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _history(log: list[dict[str, float]], followed: Iterable[str]) -> list[dict[str, float]]:
    """One entry per epoch from Trainer's log: mean training loss, validation loss and scores."""
    epochs = []
    losses: list[float] = []
    for entry in log:
        if "loss" in entry:
            losses.append(entry["loss"])
        elif "eval_loss" in entry:
            about = {"epoch": round(entry["epoch"]), "train_loss": round(float(np.mean(losses)), 5)}
            scores = {score: round(entry[f"eval_{score}"], 5) for score in followed}
            epochs.append(about | scores | {"validation_loss": round(entry["eval_loss"], 5)})
            losses = []
    return epochs
