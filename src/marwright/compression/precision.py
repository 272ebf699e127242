"""Precision per layer: finds the layers that int8 harms and keeps them in float32.

Each layer is quantized alone, and the change of the logits says how much it costs. The costliest ones then get their
float weights back, one after another, until the whole module changes no more answers than allowed.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from marwright.compression.choosing import COMPARED_ROWS
from marwright.console.progress import say, track
from marwright.encoder.logits import logits_of
from marwright.schemes import Fitted, Texts
from marwright.schemes.calibration import evenly
from marwright.schemes.dynamic_int8 import DynamicInt8
from marwright.tasks import Task
from marwright.tasks.task import same

# A layer's cost is a mean over logits: a few rows tell it as well as many.
COST_ROWS = 256


def mixed_precision(
    module: nn.Module, validation: Texts, task: Task, *, max_drop: float, int8_embeddings: bool
) -> Fitted:
    """Quantize what can be quantized without changing more than the share ``max_drop`` of the labels.

    The module, in float32, is not changed. Word embeddings that are to be int8 stay as they are if they are what costs.

    Returns:
        the weights; layers in float32, the costliest first; the share of validation rows with the float module's label;
        and what each layer alone does to the logits when it is int8: mean squared change over their mean square.
    """
    scheme = DynamicInt8()
    _, all_int8 = scheme.mixed(module, frozenset(), int8_embeddings=int8_embeddings)
    names = [*all_int8.linears, *all_int8.embeddings]
    few, many = evenly(validation.rows, COST_ROWS), validation.rows[:COMPARED_ROWS]
    wanted = logits_of(module, few, validation.filler)
    costs = {}
    for name in track(names, "what int8 costs in each layer", total=len(names)):
        alone, _ = scheme.mixed(module, frozenset(names) - {name}, int8_embeddings=int8_embeddings)
        change = np.square(logits_of(alone, few, validation.filler) - wanted).mean()
        costs[name] = float(change) / float(np.square(wanted).mean())
    order = sorted(names, key=lambda name: -costs[name])
    answers = task.answers(logits_of(module, many, validation.filler))
    for count in track(range(len(names) + 1), "layers kept in fp32", total=len(names) + 1):
        candidate, weights = scheme.mixed(module, frozenset(order[:count]), int8_embeddings=int8_embeddings)
        agreement = float(same(task.answers(logits_of(candidate, many, validation.filler)), answers).mean())
        if 1 - agreement <= max_drop:
            break
    kept = order[:count]
    say(
        f"  precision per layer: {count} of {len(costs)} layers stay in fp32 ({', '.join(kept)}): "
        f"{agreement:.2%} same labels"
    )
    notes = {
        "kept_in_fp32": kept,
        "max_drop": max_drop,
        "same_label": agreement,
        "costs": {name: float(f"{cost:.3g}") for name, cost in costs.items()},
    }
    return Fitted(weights, notes)
