"""Writes what a training station leaves behind: checkpoint, tokenizer, answers, scores and curves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from marwright.config import TrainingPrecision
from marwright.console.progress import say
from marwright.files import stable_json, write_text
from marwright.metrics.classification import scores
from marwright.training.answers import draw_curves, logits_of
from marwright.training.dataset import TokenizedSplit, collator_for
from marwright.training.precision import soft_targets_in
from marwright.workspace import SPLITS, ModelFolder


def write_results(
    model: Any,
    tokenizer: Tokenizer,
    splits: dict[str, TokenizedSplit],
    history: Sequence[dict[str, float]],
    folder: ModelFolder,
    *,
    what: str,
    started: float,
    precision: TrainingPrecision = "auto",
    about: Mapping[str, Any] | None = None,
) -> None:
    """Fill a :class:`ModelFolder`.

    Args:
        model: the trained classifier.
        tokenizer: the one it was trained with.
        splits: all three; logits of each are kept.
        history: one entry per epoch.
        folder: where to write.
        what: the name shown to the user.
        started: ``time.monotonic()`` when the station began.
        precision: in which it was trained.
        about: more to say beside the scores.
    """
    model.save_pretrained(folder.checkpoint)
    tokenizer.save(str(folder.tokenizer))
    metrics: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters()), **(about or {})}
    for split in SPLITS:
        # Train logits are soft targets; the others are what the exported module is held against.
        logits = logits_of(
            model,
            splits[split],
            collator_for(tokenizer),
            f"{what}: {split} answers",
            dtype=soft_targets_in(precision) if split == "train" else torch.float32,
        )
        np.save(folder.logits(split), logits)
        if split != "train":
            metrics[split] = scores(logits, splits[split].labels, splits[split].counted_as_wrong)
    metrics["seconds"] = round(time.monotonic() - started)
    write_text(folder.metrics, stable_json(metrics))
    write_text(folder.history, stable_json(list(history)))
    draw_curves(history, what, folder.curves)
    test = metrics["test"]
    say(f"  {what}: test accuracy {test['accuracy']:.2%}, macro-F1 {test['macro_f1']:.2%}, {metrics['seconds']} s")
