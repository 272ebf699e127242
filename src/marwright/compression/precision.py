"""Precision per layer: finds the layers that int8 harms and keeps them in float32.

Each layer is quantized alone, and the change of the logits says how much it costs. The costliest ones then get their
float weights back, one after another, until the whole module changes no more answers than allowed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from marwright.compression.choosing import COMPARED_ROWS
from marwright.logits import logits_of
from marwright.modules.calibration import evenly
from marwright.modules.quantized import quantize_embeddings, quantize_linears
from marwright.progress import track

# A layer's cost is a mean over logits: a few rows tell it as well as many.
COST_ROWS = 256


@dataclass(frozen=True)
class MixedPrecision:
    """A module that is int8 but for some layers."""

    module: nn.Module
    kept: tuple[str, ...]
    """Layers in float32, the costliest first."""
    costs: dict[str, float]
    """What each layer alone does to the logits when it is int8: mean squared change over their mean square."""
    same_label: float
    """Share of validation rows with the float module's label."""


def mixed_precision(
    module: nn.Module,
    always_kept: frozenset[str],
    rows: Sequence[Sequence[int]],
    filler: int,
    *,
    max_drop: float,
    embeddings: bool,
) -> MixedPrecision:
    """Quantize what can be quantized without changing more than ``max_drop`` of the labels.

    Args:
        module: in float32; it is not changed.
        always_kept: names of linear layers that are not quantized anyway.
        rows: token ids of validation texts.
        filler: the padding id.
        max_drop: share of rows that may get another label.
        embeddings: quantize word embeddings too, unless they are what costs.
    """

    def quantized(kept: frozenset[str]) -> nn.Module:
        made = copy.deepcopy(module)
        quantize_linears(made, always_kept | kept)
        if embeddings:
            quantize_embeddings(made, torch.float32, keep=kept)
        return made

    whole = copy.deepcopy(module)
    names = quantize_linears(whole, always_kept)
    names += quantize_embeddings(whole, torch.float32) if embeddings else []
    few, many = evenly(rows, COST_ROWS), rows[:COMPARED_ROWS]
    wanted = logits_of(module, few, filler)
    costs = {
        name: float(np.square(logits_of(quantized(frozenset(names) - {name}), few, filler) - wanted).mean())
        / float(np.square(wanted).mean())
        for name in track(names, "what int8 costs in each layer", total=len(names))
    }
    order = sorted(names, key=lambda name: -costs[name])
    labels = logits_of(module, many, filler).argmax(1)

    def same(candidate: nn.Module) -> float:
        return float((logits_of(candidate, many, filler).argmax(1) == labels).mean())

    for count in track(range(len(names) + 1), "layers kept in fp32", total=len(names) + 1):
        candidate = quantized(frozenset(order[:count]))
        agreement = same(candidate)
        if 1 - agreement <= max_drop:
            break
    return MixedPrecision(candidate, tuple(order[:count]), costs, agreement)
