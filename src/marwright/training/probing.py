"""Fits the new last layer before anything else is trained (linear probing, then fine-tuning; Kumar et al. 2022).

A last layer with random weights sends noise through the pretrained layers in the first steps and distorts what they
know. Fitted first, it keeps them closer to it: fewer epochs, and better answers on texts unlike those in train.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marwright.console.progress import say
from marwright.encoder.layer_parts import last_layer
from marwright.errors import first_line
from marwright.tasks import Task
from marwright.training.answers import logits_of
from marwright.training.dataset import Collator, TokenizedSplit

# A logistic regression on more rows would take longer than the epoch it saves.
MOST_ROWS = 20_000
# Of each label that has so many; the rest of the rows are taken at random.
ROWS_OF_EACH_LABEL = 5
# A hundred steps are enough for a start, and ten are better than none.
MOST_STEPS, LEAST_STEPS = 100, 10
# Multiplications of the whole regression, a minute or so on one core. Counted and not timed: the same rows give the
# same start on every machine.
MOST_PRODUCTS = 1.0e12
# Scores of all rows and labels, which the regression holds several times.
MOST_SCORES = 3.0e7


def fit_last_layer(
    model: Any, train: TokenizedSplit, collator: Collator, task: Task, *, seed: int, dtype: torch.dtype = torch.float32
) -> None:
    """Give the last layer the weights of the task's probe of what reaches it; it stays as it is where that fails.

    At most ``MOST_ROWS`` rows, some of each label, are used, as the seed has it; matrices are multiplied in ``dtype``.
    """
    if len(np.unique(task.strata(train.labels))) < 3:
        return  # two labels are learnt quickly anyway
    try:
        hindrance = _fit(model, train, collator, task, seed, dtype)
    # Of a model whose layers do not give what those of others do.
    except (RuntimeError, ValueError, LookupError) as error:
        hindrance = f"with this model it fails ({first_line(error)[:100]})"
    if hindrance is not None:
        say(f"  teacher: its last layer starts at random; no linear probe, since {hindrance}")


def _fit(
    model: Any, train: TokenizedSplit, collator: Collator, task: Task, seed: int, dtype: torch.dtype
) -> str | None:
    """Fit the last layer, or say why it stays as it is."""
    labels = int(model.config.num_labels)
    last = last_layer(model)
    if last is None:
        return "the model's answers do not come from one linear layer"
    rows, steps = affordable(len(train), labels, last.in_features)
    if not rows:
        return f"{labels:,} labels are too many for it"
    chosen = choose_rows(task.strata(train.labels), rows, seed)
    part = TokenizedSplit([train.rows[index] for index in chosen], train.labels[chosen])
    caught: list[Tensor] = []
    with last.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0])):
        inputs = logits_of(
            model, part, collator.filler, "fitting the last layer", dtype=dtype, read=lambda _: caught.pop()
        )
    found = task.probe(inputs.reshape(len(part), last.in_features), part.labels, steps)
    if found is None:
        return "a logistic regression finds nothing in what the encoder makes of the texts"
    with torch.no_grad():
        # Labels that the choice missed start as improbable, not as random.
        last.weight.zero_()
        last.weight[found.labels] = torch.from_numpy(found.weights).to(last.weight)
        if last.bias is not None:
            last.bias.fill_(float(found.biases.min()))
            last.bias[found.labels] = torch.from_numpy(found.biases).to(last.bias)
    return None


def affordable(rows: int, labels: int, features: int) -> tuple[int, int]:
    """How many of the rows, and how many steps, a regression of bounded cost may have; none if it is not worth it."""
    # A step computes all scores and all gradients, and now and then one of them twice.
    for_steps = MOST_PRODUCTS / (4.0 * labels * features)
    kept = int(min(rows, MOST_ROWS, MOST_SCORES / labels, for_steps / LEAST_STEPS))
    if kept < min(rows, labels):
        return 0, 0
    return kept, int(min(MOST_STEPS, for_steps / kept))


def choose_rows(labels: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Indices of so many rows, chosen at random, but for a few of each label that come first."""
    order = np.random.default_rng(seed).permutation(len(labels))
    if count >= len(order):
        return order
    # How many of the same label come before each row of the order.
    by_label = np.argsort(labels[order], kind="stable")
    starts = np.flatnonzero(np.diff(labels[order][by_label], prepend=-1))
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_label] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    few = max(1, min(ROWS_OF_EACH_LABEL, count // max(1, len(starts))))
    return order[np.argsort(np.where(rank < few, rank, few), kind="stable")[:count]]
