"""What stations share that change a trained model and let it learn from the teacher again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from marwright.config import FineTuningConfig
from marwright.encoder.kept_parts import KeptParts
from marwright.training.checkpoint import freeze_word_embeddings, load_classifier, set_dropout
from marwright.training.dataset import Collator, TokenizedSplit
from marwright.training.distillation import DistillationTrainer
from marwright.training.fitting import fit
from marwright.training.structure import put_back
from marwright.workspace import ModelFolder


def fine_tune(
    model: Any,
    splits: dict[str, TokenizedSplit],
    teacher: ModelFolder,
    collator: Collator,
    config: FineTuningConfig,
    *,
    what: str,
    seed: int,
    work: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train a model in place on the teacher's logits and the labels.

    Args:
        model: a transformers classifier.
        splits: tokenized rows; it learns from train, validation picks the best epoch.
        teacher: its logits of the train split are learnt from.
        collator: makes batches.
        config: the optimisation.
        what: the name shown to the user.
        seed: of shuffling and dropout.
        work: checkpoints go here; those of a killed run are resumed.
        callbacks: keep the model as it was changed.

    Returns:
        one entry per epoch: loss and validation scores.
    """
    set_dropout(model, config.dropout)
    if config.freeze_word_embeddings:
        freeze_word_embeddings(model)
    train = TokenizedSplit(splits["train"].rows, splits["train"].labels, np.load(teacher.logits("train")))
    return fit(
        model,
        train,
        splits["validation"],
        collator,
        config,
        what=what,
        seed=seed,
        work=work,
        trainer_class=DistillationTrainer,
        callbacks=callbacks,
        temperature=config.temperature,
        alpha=config.alpha,
    )


def in_full_shape(small: Any, kept: KeptParts | None, checkpoint: Path, labels: list[str]) -> Any:
    """The model as transformers loads it, with zeros where something was removed.

    Args:
        small: what was trained.
        kept: what is left of it; nothing was removed if none is given.
        checkpoint: what it was removed from.
        labels: all label names.
    """
    if kept is None:
        return small
    model = load_classifier(checkpoint, labels)
    put_back(model, small, kept)
    return model
