"""Chooses between static and dynamic activation scales by measuring both on validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from marwright.encoder.logits import logits_of
from marwright.metrics.latency import Latencies
from marwright.pretrained.tokenization import padded
from marwright.processes.threads import one_thread
from marwright.schemes import Texts
from marwright.tasks import Task
from marwright.tasks.task import same

# Rows that are classified to see whether a candidate answers as the float module does.
COMPARED_ROWS = 1000
# A faster candidate may answer differently on so much more of them: a handful of rows either way is chance.
TOLERATED = 0.005
TIMED_TEXTS = 16
TIMED_ROUNDS = 15


@dataclass(frozen=True)
class Measured:
    """What was found of one candidate."""

    same_label: float
    """Share of validation rows with the float module's label."""
    ms: float
    """Median time of 16 texts on one thread."""


def measure(
    candidates: Mapping[str, nn.Module], reference: nn.Module, validation: Texts, task: Task
) -> dict[str, Measured]:
    """Compare candidates, by name, with the float module, and with each other in speed, taking turns."""
    rows, filler = validation.rows, validation.filler
    compared = rows[:COMPARED_ROWS]
    answers = task.answers(logits_of(reference, compared, filler))
    batch = padded([rows[index % len(rows)] for index in range(TIMED_TEXTS)], filler)
    times = {name: Latencies(warm_up=3) for name in candidates}
    with one_thread(), torch.inference_mode():
        for _ in range(TIMED_ROUNDS + 3):
            for name, module in candidates.items():
                with times[name].call():
                    module(*batch)
    return {
        name: Measured(
            same_label=float(same(task.answers(logits_of(module, compared, filler)), answers).mean()),
            ms=times[name].percentile(50),
        )
        for name, module in candidates.items()
    }


def choose(found: Mapping[str, Measured], max_drop: float = 1.0) -> str | None:
    """The fastest candidate of those that answer about as well as the best one.

    There is none if all of them give more than the share ``max_drop`` of the rows another label than float does.
    """
    found = {name: each for name, each in found.items() if 1 - each.same_label <= max_drop}
    if not found:
        return None
    best = max(each.same_label for each in found.values())
    good = {name: each for name, each in found.items() if each.same_label >= best - TOLERATED}
    return min(good, key=lambda name: good[name].ms)
